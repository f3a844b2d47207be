"""The application: what it refuses to be served by, and how it says so."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio
from hypercorn.config import Config

from courier import logs
from courier.settings import DEVELOPMENT_SECRET, Settings
from courier.web.application import WRONG_SERVER, Application
from tests.web.servers import settings_for

Message = dict[str, Any]


class Lifespan:
    """A server's side of the lifespan protocol (ASGI), whatever it runs on."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self._asked = 0

    async def receive(self) -> Message:
        self._asked += 1
        return {"type": "lifespan.startup" if self._asked == 1 else "lifespan.shutdown"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)


async def lifespan(application: Application) -> list[Message]:
    """Start the application and stop it; what it said."""
    server = Lifespan()
    await application({"type": "lifespan"}, server.receive, server.send)
    return server.sent


def test_on_a_server_that_runs_asyncio_the_start_fails_with_one_sentence_that_says_what_to_run() -> None:
    [message] = asyncio.run(lifespan(Application(settings_for())))
    assert message == {"type": "lifespan.startup.failed", "message": WRONG_SERVER}
    assert "courier serve" in WRONG_SERVER
    assert "hypercorn -k trio courier.web:app" in WRONG_SERVER
    assert "\n" not in WRONG_SERVER


async def test_on_trio_it_starts_and_stops() -> None:
    said = await lifespan(Application(settings_for()))
    assert [message["type"] for message in said] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


async def test_a_server_that_knows_no_lifespan_is_told_what_to_run() -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError

    with pytest.raises(RuntimeError, match="courier serve"):
        await Application(settings_for())({"type": "http"}, never, never)


async def test_a_wrong_setting_fails_the_start_with_a_sentence_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COURIER_RATE_LIMIT", "many")
    [message] = await lifespan(Application())
    assert message["type"] == "lifespan.startup.failed"
    assert message["message"] == "COURIER_RATE_LIMIT must be a whole number, not 'many'"


async def test_a_module_of_events_that_is_not_there_fails_the_start_with_a_sentence_that_names_it() -> None:
    [message] = await lifespan(Application(settings_for(event_modules="acme.events")))
    assert message["type"] == "lifespan.startup.failed"
    assert "'acme.events' cannot be imported" in message["message"]


# What our own server asks before it listens


@contextmanager
def refused() -> Iterator[list[str]]:
    """Within the block the start is refused, with exit code 1 and one sentence, which the list then has."""
    sentences: list[str] = []
    with pytest.raises(SystemExit) as refusal:
        yield sentences
    assert isinstance(refusal.value.code, str), "a text is printed, and the exit code is 1"
    sentences.append(refusal.value.code)
    assert "\n" not in sentences[0]
    assert sentences[0].startswith("Courier does not start: ")


def config(*bind: str, **fields: Any) -> Config:
    given = Config()
    given.bind = list(bind or ["127.0.0.1:0"])
    for name, value in fields.items():
        setattr(given, name, value)
    return given


@pytest.fixture(autouse=True)
def _logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "configure_logging", lambda *_: None)


def test_on_one_worker_and_this_machine_alone_it_is_served() -> None:
    Application(settings_for()).prepare(config())
    Application(settings_for()).prepare(config("unix:/tmp/courier.sock", workers=0))


def test_more_than_one_worker_is_refused() -> None:
    with refused() as sentences:
        Application(settings_for()).prepare(config(workers=2))
    Application(settings_for(redis_url="redis://127.0.0.1")).prepare(config(workers=2))
    assert "one worker, not 2" in sentences[0]


def test_a_wrong_setting_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURIER_HISTORY_EVENTS", "0")
    with refused() as sentences:
        Application().prepare(config())
    assert "COURIER_HISTORY_EVENTS must be at least 1" in sentences[0]


def test_a_module_of_events_that_is_not_there_is_refused() -> None:
    with refused() as sentences:
        Application(settings_for(event_modules="acme.events")).prepare(config())
    assert "acme.events" in sentences[0]


@pytest.mark.parametrize("bind", ["0.0.0.0:8766", "[::]:8766", "192.0.2.1:80", ":8766", "example.com:80"])
def test_what_others_can_reach_is_refused_while_anybody_can_publish(bind: str) -> None:
    with refused() as sentences:
        Application(settings_for()).prepare(config("127.0.0.1:0", bind))
    assert "COURIER_PUBLISH_AUTH" in sentences[0]
    assert bind in sentences[0]


def test_what_others_can_reach_is_refused_while_everybody_knows_the_secret() -> None:
    with refused() as sentences:
        settings = settings_for(jwt_secret=DEVELOPMENT_SECRET, publish_auth="required")
        Application(settings).prepare(config("0.0.0.0:8766"))
    assert "COURIER_JWT_SECRET" in sentences[0]


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(lambda: settings_for(env="development"), id="development in so many words"),
        pytest.param(lambda: settings_for(publish_auth="required"), id="nobody publishes without a token"),
        pytest.param(lambda: settings_for(env="production"), id="production"),
    ],
)
def test_what_others_can_reach_is_served_when_it_is_safe_or_was_asked_for(settings: Any) -> None:
    made: Settings = settings()
    Application(made).prepare(config("0.0.0.0:8766"))


def test_a_plain_address_beside_a_tls_one_is_looked_at_too() -> None:
    with refused() as sentences:
        Application(settings_for()).prepare(config(insecure_bind=["0.0.0.0:80"]))
    assert "0.0.0.0:80" in sentences[0]


async def test_a_node_that_fails_stops_the_server_with_an_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash of the supervisor's own tasks: serving on would be a lie."""
    from courier.actors.supervisor import Supervisor
    from tests.web.servers import a_server

    crash = trio.Event()

    async def sweep(self: Supervisor) -> None:
        await crash.wait()
        raise ZeroDivisionError("a bug in the sweep")

    monkeypatch.setattr(Supervisor, "sweep", sweep)
    with pytest.raises(BaseExceptionGroup) as caught, trio.fail_after(10):
        async with a_server() as server:
            assert (await server.request("GET", "/health/live")).status == 200
            crash.set()
            await trio.sleep_forever()
    exits = caught.value.subgroup(SystemExit)
    assert exits is not None
    assert "Courier stopped: the node failed" in repr(exits)
