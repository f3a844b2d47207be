"""Error reports: a crash arrives where Sentry would be, once, and nothing secret goes with it."""

import gzip
import json
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import trio
from hypercorn.config import Config
from pydantic import SecretStr

from courier import error_reports
from courier.actors.channel import Channel
from courier.actors.supervisor import Supervisor
from courier.error_reports import ReportsUnavailable, check_reports, open_error_reports
from courier.logs import configure_logging, get_logger
from courier.schemas.registry import default_registry
from courier.version import VERSION
from courier.web.application import Application
from courier.web.revoking import Revoking
from tests.system.processes import a_free_port
from tests.web.servers import SECRET, TestServer, a_server, announcement, closed, settings_for, token
from tests.web.test_publish import authorized, service_token

ADMIN_TOKEN = "hunter2-the-admin-token"
PAYLOAD = "hunter2-the-payload"
PASSWORD = "hunter2-the-password"


class Sink:
    """A server that takes envelopes, on a thread of its own, as far away as Sentry is."""

    def __init__(self, *, held: bool = False) -> None:
        self.raw: list[bytes] = []
        """All that came: request line, headers and body, decompressed."""
        self.let_go = threading.Event()
        if not held:
            self.let_go.set()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Content-Encoding"] == "gzip":
                    body = gzip.decompress(body)
                sink.raw.append(b"\n".join([self.requestline.encode(), self.headers.as_bytes(), body]))
                sink.let_go.wait(30)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.dsn = f"http://key@127.0.0.1:{self._server.server_port}/1"

    @property
    def reports(self) -> list[dict[str, Any]]:
        return [
            json.loads(line)
            for raw in self.raw
            for line in raw.splitlines()
            if line.startswith(b"{") and b'"exception"' in line
        ]

    def close(self) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def a_sink(*, held: bool = False) -> Iterator[Sink]:
    sink = Sink(held=held)
    try:
        yield sink
    finally:
        sink.close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def crash_text(*more: str) -> str:
    """What a careless exception might quote."""
    return " ".join([SECRET, ADMIN_TOKEN, PAYLOAD, PASSWORD, *more])


async def test_a_channels_crash_arrives_once_and_tells_where_and_no_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bearer, service = token(), service_token()

    def crash(self: Channel, publications: Any) -> Any:
        event = publications[0].event
        assert PAYLOAD.encode() in event
        try:
            raise ValueError(crash_text(bearer))
        except ValueError as error:
            error.add_note(crash_text(service))
            raise ExceptionGroup(crash_text(), [error, KeyError(PAYLOAD)]) from error

    with a_sink() as sink:
        monkeypatch.setattr(Channel, "_append", crash)
        async with a_server(sentry_dsn=sink.dsn, admin_token=ADMIN_TOKEN, publish_auth="required") as server:
            answer = await server.publish("user.u1", announcement(PAYLOAD), **authorized())
            assert answer.status == 500
        [report] = sink.reports
    assert report["message"] == "Channel crashed"
    assert report["tags"] == {"channel_kind": "user"}
    assert (report["level"], report["logger"]) == ("error", "courier.actors.supervisor")
    assert (report["release"], report["environment"]) == (f"courier@{VERSION}", "development")
    exceptions = report["exception"]["values"]
    assert [each["type"] for each in exceptions] == ["KeyError", "ValueError", "ExceptionGroup"]
    functions = [frame["function"] for frame in exceptions[-1]["stacktrace"]["frames"]]
    assert functions[0] == "Supervisor._keep"
    assert functions[-1].endswith("crash")
    everything = b"".join(sink.raw)
    for secret in (SECRET, ADMIN_TOKEN, PAYLOAD, PASSWORD, bearer, service, "user.u1", *bearer.split(".")):
        assert secret.encode() not in everything, secret


async def test_a_joins_crash_arrives_without_the_token_however_that_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bearers = [token(number=number) for number in range(3)]

    def crash(revoking: Any, identity: Any) -> Any:
        raise RuntimeError(crash_text(*bearers))

    monkeypatch.setattr(Revoking, "check_subscriber", crash)
    with a_sink() as sink:
        async with a_server(
            sentry_dsn=sink.dsn, redis_url=f"redis://:{PASSWORD}@127.0.0.1:{a_free_port()}"
        ) as server:
            await refused_by_crash(server, f"/ws/user.u1?token={bearers[0]}")
            header = [(b"authorization", f"Bearer {bearers[1]}".encode()), (b"cookie", PAYLOAD.encode())]
            await refused_by_crash(server, "/ws/user.u1", extra_headers=header)
            subprotocols = ["courier.v1", f"courier.bearer.{bearers[2]}"]
            await refused_by_crash(server, "/ws/user.u1", subprotocols=subprotocols)
        reports = sink.reports
    assert [report["message"] for report in reports] == ["Join failed"] * 3
    everything = b"".join(sink.raw)
    for secret in (SECRET, ADMIN_TOKEN, PAYLOAD, PASSWORD, *bearers, *bearers[0].split(".")):
        assert secret.encode() not in everything, secret


async def refused_by_crash(server: TestServer, path: str, **kwargs: Any) -> None:
    async with server.websocket(path, **kwargs) as websocket:
        assert await closed(websocket) == (1011, "Channel failed")


async def test_a_wires_crash_tells_the_connection() -> None:
    configure_logging("info", "json")
    with a_sink() as sink:
        async with open_error_reports(SecretStr(sink.dsn), "production", default_registry().kinds):
            facts = {"channel": "forge.job.secret-id", "connection_id": "c0ffee"}
            get_logger("courier").error("Wire failed", **facts, exc_info=ValueError())
            get_logger("courier").critical("Node failed", channel="none", exc_info=ValueError())
        wire, node = sink.reports
    assert wire["tags"] == {"channel_kind": "forge.job", "connection_id": "c0ffee"}
    assert (wire["environment"], node["level"]) == ("production", "fatal")
    assert b"secret-id" not in b"".join(sink.raw)


async def test_a_libraries_crash_arrives_without_its_sentence_and_what_is_no_crash_does_not() -> None:
    configure_logging("info", "json")
    with a_sink() as sink:
        async with open_error_reports(SecretStr(sink.dsn), "development", default_registry().kinds):
            try:
                raise ZeroDivisionError
            except ZeroDivisionError:
                logging.getLogger("quart.app").exception("Exception on request GET /?token=%s", PAYLOAD)
            get_logger("courier").error("No exception")
            get_logger("courier").warning("No error", exc_info=ValueError())
        get_logger("courier").error("Too late", exc_info=ValueError())
        assert len(logging.getLogger().handlers) == 1
        [report] = sink.reports
    assert report["message"] == "A library has logged an error"
    assert report["exception"]["values"][0]["type"] == "ZeroDivisionError"
    assert PAYLOAD.encode() not in b"".join(sink.raw)


async def test_a_node_that_fails_is_reported_before_the_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    crash = trio.Event()

    async def sweep(self: Supervisor) -> None:
        await crash.wait()
        raise ZeroDivisionError(PAYLOAD)

    monkeypatch.setattr(Supervisor, "sweep", sweep)
    with a_sink() as sink:
        with pytest.raises(BaseExceptionGroup):
            async with a_server(sentry_dsn=sink.dsn):
                crash.set()
                await trio.sleep_forever()
        [report] = sink.reports
    assert (report["message"], report["level"]) == ("Node failed", "fatal")
    assert "ZeroDivisionError" in [each["type"] for each in report["exception"]["values"]]


async def test_a_sentry_that_does_not_answer_neither_stops_the_loop_nor_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(error_reports, "FLUSH_SECONDS", 0.3)
    monkeypatch.setattr(error_reports, "QUEUED", 3)
    configure_logging("critical", "json")
    with a_sink(held=True) as sink:
        began = trio.current_time()
        async with open_error_reports(SecretStr(sink.dsn), "development", default_registry().kinds):
            for _ in range(1000):
                logging.getLogger("courier").critical("Crash", exc_info=ValueError())
            assert trio.current_time() - began < 2
        assert trio.current_time() - began < 4
        sink.let_go.set()
        with trio.fail_after(10):
            while len(sink.reports) < 4:  # one was on its way, the queue held three, the others were dropped
                await trio.sleep(0.01)


async def test_without_a_dsn_sentrys_client_is_not_even_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)  # to import it would raise
    async with a_server() as server:
        assert (await server.publish("user.u1", announcement())).status == 200


def test_a_dsn_without_sentrys_client_is_one_sentence_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(error_reports, "find_spec", lambda name: None)
    check_reports(None)
    with pytest.raises(ReportsUnavailable) as caught:
        check_reports(SecretStr("http://key@sentry.example.com/1"))
    assert "pip install sentry-sdk" in str(caught.value)
    with pytest.raises(SystemExit) as stopped:
        Application(settings_for(sentry_dsn="http://hunter2@sentry.example.com/1")).prepare(Config())
    sentence = str(stopped.value.code)
    assert sentence.startswith("Courier does not start: COURIER_SENTRY_DSN needs")
    assert "hunter2" not in sentence
    assert "\n" not in sentence
