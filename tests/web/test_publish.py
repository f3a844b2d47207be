"""Publishing over HTTP: what is accepted, and by which clear error each bad request is refused."""

import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from typing import Any

import h11
import jwt
import pytest
import trio

from courier.actors.channel import Channel
from courier.actors.messages import Deliver, Message
from courier.node import Node
from courier.schemas.events.base import Event
from courier.schemas.registry import Registry, default_registry
from courier.web.head import PATH_SENTENCE
from courier.web.server import serve
from tests.schemas.examples import EXAMPLES
from tests.web.servers import (
    SECRET,
    Response,
    TestServer,
    a_server,
    announcement,
    closed,
    events,
    exchange,
    read_response,
    settings_for,
    token,
)

UNKNOWN_CHANNEL = default_registry().kinds.unknown

JSON = {"Content-Type": "application/json"}
CALLER = JSON | {"X-Service-Name": "tests"}

Headers = dict[str, str]


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


GOOD = as_json(announcement())


def service_token(name: str = "tests", *, secret: str = SECRET, **claims: Any) -> str:
    """A service's token; a claim that is None is left out."""
    now = int(time.time())
    full = {"service": name, "iat": now, "exp": now + 3600} | claims
    return jwt.encode({k: v for k, v in full.items() if v is not None}, secret, algorithm="HS256")


def progress(number: bytes) -> bytes:
    """A backtest's progress, given as it is spelled."""
    return as_json(EXAMPLES["backtest.progress"] | {"source": "tests", "progress": 7}).replace(
        b"7", number, 1
    )


def parameters(value: bytes) -> bytes:
    """A backtest's start, whose parameters are spelled so."""
    return as_json(EXAMPLES["backtest.started"] | {"source": "tests", "parameters": 7}).replace(
        b"7", value, 1
    )


def without(field: str) -> bytes:
    return as_json({key: value for key, value in announcement().items() if key != field})


class Route:
    """One of the two ways to publish: the channel in the path, or in an envelope."""

    def __init__(self, enveloped: bool) -> None:
        self.enveloped = enveloped

    async def post(
        self,
        server: TestServer,
        event: bytes,
        headers: Headers = CALLER,
        channel: str = "global",
        stream: trio.SocketStream | None = None,
    ) -> Response:
        path, body = self.request(event, channel)
        if stream is None:
            return await server.request("POST", path, body, headers)
        return await exchange(stream, "POST", path, body, headers)

    def request(self, event: bytes, channel: str = "global") -> tuple[str, bytes]:
        """The path and the body."""
        if self.enveloped:
            return "/publish", b'{"channel":%b,"data":%b}' % (as_json(channel), event)
        return f"/publish/{channel}", event


ROUTES = [pytest.param(Route(True), id="envelope"), pytest.param(Route(False), id="path")]
both_routes = pytest.mark.parametrize("route", ROUTES)


def schema(loc: list[Any], kind: str, msg: str) -> dict[str, Any]:
    error = {"loc": loc, "msg": msg, "type": kind}
    return {"error": "Invalid event schema", "validation_errors": [error]}


NOT_ONE_OF = "Input should be one of " + ", ".join(sorted(EXAMPLES))
FINITE = "Input should be a finite number"
DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000
NO_SERVICE = "Header X-Service-Name is required"
BAD_SERVICE = "Header X-Service-Name must be 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or a digit"

INVALID_EVENTS = [
    pytest.param(
        as_json(announcement(type="acme.sold")),
        schema(["type"], "union_tag_invalid", NOT_ONE_OF),
        id="unknown type",
    ),
    pytest.param(without("type"), schema(["type"], "union_tag_not_found", NOT_ONE_OF), id="no type"),
    pytest.param(without("message"), schema(["message"], "missing", "Field required"), id="missing field"),
    pytest.param(without("source"), schema(["source"], "missing", "Field required"), id="no source"),
    pytest.param(
        progress(b"1.01"),
        schema(["progress"], "less_than_equal", "Input should be less than or equal to 1"),
        id="out of range",
    ),
    pytest.param(
        progress(b"-0.1"),
        schema(["progress"], "greater_than_equal", "Input should be greater than or equal to 0"),
        id="below the range",
    ),
    pytest.param(
        progress(b'"0.5"'),
        schema(["progress"], "float_type", "Input should be a valid number"),
        id="a number as a string",
    ),
    pytest.param(progress(b"NaN"), schema(["progress"], "finite_number", FINITE), id="NaN"),
    pytest.param(progress(b"-Infinity"), schema(["progress"], "finite_number", FINITE), id="-Infinity"),
    pytest.param(progress(b"1e400"), schema(["progress"], "finite_number", FINITE), id="1e400"),
    pytest.param(
        parameters(b'{"a":[{"b":NaN}]}'),
        schema(["parameters", "a", 0, "b"], "finite_number", FINITE),
        id="NaN deep in an object",
    ),
    pytest.param(
        parameters(b'{"a":[1,{"b":1e400}]}'),
        schema(["parameters", "a", 1, "b"], "finite_number", FINITE),
        id="1e400 deep in an object",
    ),
    pytest.param(
        as_json(announcement(colour="red")),
        schema(["colour"], "extra_forbidden", "Extra inputs are not permitted"),
        id="unknown field",
    ),
    pytest.param(
        as_json(announcement(id="aaaaaaaa-1")),
        schema(["id"], "extra_forbidden", "Extra inputs are not permitted"),
        id="an id of its own",
    ),
    pytest.param(
        as_json(announcement(source="other")),
        {"error": "Event source must match X-Service-Name header"},
        id="wrong source",
    ),
]


@asynccontextmanager
async def a_subscriber_that_gets_what_comes_next(server: TestServer, route: Route) -> AsyncIterator[None]:
    """After the block, a good publish works, and is the only event delivered."""
    async with server.subscribe("global") as websocket:
        yield
        good = await route.post(server, as_json(announcement("the next")))
        assert good.status == 200, good.body
        [event] = await events(websocket, 1)
        assert event["title"] == "the next"
        assert event["id"].endswith("-1")


@both_routes
@pytest.mark.parametrize(("event", "detail"), INVALID_EVENTS)
async def test_an_event_that_fits_no_schema_is_400_and_the_next_good_one_works(
    route: Route, event: bytes, detail: dict[str, Any]
) -> None:
    async with a_server() as server, a_subscriber_that_gets_what_comes_next(server, route):
        response = await route.post(server, event)
        assert (response.status, response.error) == (400, detail)
        assert response.headers["content-type"] == "application/json"


@both_routes
@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        pytest.param(b'{"type":', r"Expected JSON \(RFC 8259\), got something else: .*", id="broken JSON"),
        pytest.param(b"{'type': 1}", r"Expected JSON \(RFC 8259\), got something else: .*", id="quotes"),
        pytest.param(
            GOOD.replace(b'"t"', b'"\xff"'),
            r"Expected JSON in UTF-8, got a byte that is not, at position \d+",
            id="not UTF-8",
        ),
        pytest.param(
            announcement("é").__repr__().replace("'", '"').encode("utf-16"),
            r"Expected JSON in UTF-8, got a byte that is not, at position \d+",
            id="UTF-16",
        ),
        pytest.param(
            GOOD.replace(b'"t"', rb'"\ud800"'),
            r"Expected whole characters, got half a surrogate pair .*",
            id="half a surrogate pair",
        ),
        pytest.param(DEEP, "Expected JSON nested at most 200 levels deep, got more", id="5,000 levels"),
        pytest.param(
            parameters(DEEP),
            "Expected JSON nested at most 200 levels deep, got more",
            id="5,000 levels below a field",
        ),
        pytest.param(
            b"[" * 5000, "Expected JSON nested at most 200 levels deep, got more", id="5,000 arrays"
        ),
    ],
)
async def test_a_body_that_is_no_json_is_400_and_the_next_good_one_works(
    route: Route, event: bytes, sentence: str
) -> None:
    async with a_server() as server, a_subscriber_that_gets_what_comes_next(server, route):
        response = await route.post(server, event)
        assert response.status == 400
        assert set(response.error) == {"error"}
        assert re.fullmatch(sentence, response.error["error"])


@pytest.mark.parametrize("path", ["/publish", "/publish/global"])
@pytest.mark.parametrize(
    ("body", "got"),
    [
        (b"[]", "an array"),
        (b'"x"', "a string"),
        (b"7", "a number"),
        (b"true", "a boolean"),
        (b"null", "null"),
        (b"", "an empty body"),
        (b"  \n", "an empty body"),
    ],
)
async def test_a_body_that_is_no_object_is_400(path: str, body: bytes, got: str) -> None:
    async with a_server() as server, a_subscriber_that_gets_what_comes_next(server, Route(False)):
        response = await server.request("POST", path, body, CALLER)
        assert (response.status, response.error) == (400, {"error": f"Expected a JSON object, got {got}"})


@both_routes
@pytest.mark.parametrize(
    "channel",
    [
        "user.",
        "user",
        "USER.u1",
        "user.u1.evil",
        "room.1",
        "global.1",
        "user.ü",
        "forge.1",
        f"user.{'x' * 129}",
        "user.a b",
    ],
)
async def test_a_channel_that_there_is_not_is_400_and_is_not_echoed(route: Route, channel: str) -> None:
    async with a_server() as server, a_subscriber_that_gets_what_comes_next(server, route):
        if route.enveloped:
            response = await route.post(server, GOOD, channel=channel)
        else:
            quoted = channel.replace(" ", "%20").replace("ü", "%C3%BC")
            response = await route.post(server, GOOD, channel=quoted)
        assert (response.status, response.error) == (400, {"error": UNKNOWN_CHANNEL})


async def test_an_escaped_slash_is_refused_before_the_channel_is_looked_at() -> None:
    async with a_server() as server:
        response = await server.publish("user.u1%2Fevil", announcement())
        assert (response.status, response.error) == (400, {"error": PATH_SENTENCE})


@pytest.mark.parametrize("channel", ["user.u1/evil", "a/b", "", "global/"])
async def test_a_channel_with_a_slash_is_no_channel(channel: str) -> None:
    async with a_server() as server:
        response = await server.publish(channel, announcement())
        assert (response.status, response.error) == (400, {"error": UNKNOWN_CHANNEL})


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        pytest.param({}, {"error": UNKNOWN_CHANNEL}, id="nothing"),
        pytest.param({"data": announcement()}, {"error": UNKNOWN_CHANNEL}, id="no channel"),
        pytest.param(
            {"channel": 5, "data": announcement()}, {"error": UNKNOWN_CHANNEL}, id="channel a number"
        ),
        pytest.param({"channel": "global"}, schema(["data"], "missing", "Field required"), id="no data"),
        pytest.param(
            {"channel": "global", "data": []},
            schema(["data"], "dict_type", "Input should be an object"),
            id="data no object",
        ),
        pytest.param(
            {"channel": "global", "data": announcement(), "more": 1},
            schema(["more"], "extra_forbidden", "Extra inputs are not permitted"),
            id="an unknown field",
        ),
    ],
)
async def test_an_envelope_that_is_none_is_400(body: dict[str, Any], detail: dict[str, Any]) -> None:
    async with a_server() as server, a_subscriber_that_gets_what_comes_next(server, Route(True)):
        response = await server.request("POST", "/publish", as_json(body), CALLER)
        assert (response.status, response.error) == (400, detail)


@both_routes
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (None, NO_SERVICE),
        ("", BAD_SERVICE),
        ("Tests", BAD_SERVICE),
        ("-tests", BAD_SERVICE),
        ("te sts", BAD_SERVICE),
        ("t" * 65, BAD_SERVICE),
    ],
)
async def test_a_service_without_a_good_name_is_400(route: Route, name: str | None, sentence: str) -> None:
    async with a_server() as server, a_subscriber_that_gets_what_comes_next(server, route):
        headers = JSON if name is None else JSON | {"X-Service-Name": name}
        response = await route.post(server, GOOD, headers)
        assert (response.status, response.error) == (400, {"error": sentence})


async def test_a_service_name_that_is_not_ascii_is_400() -> None:
    async with a_server() as server, await server.connect() as stream:
        head = b"POST /publish/global HTTP/1.1\r\nHost: t\r\n"
        await stream.send_all(head + b"X-Service-Name: t\xe9sts\r\nContent-Length: 2\r\n\r\n{}")
        response = await answer(stream)
        assert (response.status, response.error) == (400, {"error": BAD_SERVICE})


@both_routes
@pytest.mark.parametrize(
    "given", [None, "", "text/plain", "application/jsonx", "application/x-www-form-urlencoded"]
)
async def test_another_media_type_is_415(route: Route, given: str | None) -> None:
    async with a_server() as server, a_subscriber_that_gets_what_comes_next(server, route):
        headers = {"X-Service-Name": "tests"} | ({} if given is None else {"Content-Type": given})
        response = await route.post(server, GOOD, headers)
        assert (response.status, response.error) == (
            415,
            {"error": "Media type must be application/json", "content_type": given},
        )


@both_routes
@pytest.mark.parametrize(
    "given", ["application/json; charset=utf-8", "Application/JSON", "application/json ;a=b"]
)
async def test_a_media_type_is_compared_without_case_and_parameters(route: Route, given: str) -> None:
    async with a_server() as server:
        assert (await route.post(server, GOOD, CALLER | {"Content-Type": given})).status == 200


# Size


TOO_LARGE = {"error": "Request body is too large", "limit_bytes": 65_536}


@both_routes
async def test_a_body_of_exactly_the_limit_is_taken_and_one_byte_more_is_413(route: Route) -> None:
    async with a_server() as server, a_subscriber_that_gets_what_comes_next(server, route):
        size = 65_536 - len(route.request(as_json(announcement("t", message="")))[1])
        long = await route.post(server, as_json(announcement("t", message="x" * (size + 1))))
        assert (long.status, long.error) == (413, TOO_LARGE)
    async with a_server() as server:
        assert (await route.post(server, as_json(announcement("t", message="x" * size)))).status == 200


async def test_content_length_alone_is_enough_for_413() -> None:
    async with a_server() as server, await server.connect() as stream:
        await stream.send_all(b"POST /publish HTTP/1.1\r\nHost: t\r\nContent-Length: 65537\r\n\r\n")
        with trio.fail_after(5):
            response = await answer(stream)
        assert (response.status, response.error) == (413, TOO_LARGE)
        assert response.headers["connection"] == "close"


async def test_chunks_without_a_length_are_413_as_soon_as_that_much_has_come() -> None:
    async with (
        a_server() as server,
        a_subscriber_that_gets_what_comes_next(server, Route(False)),
        await server.connect() as stream,
    ):
        await stream.send_all(
            b"POST /publish/global HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(17):
            await stream.send_all(b"1000\r\n" + b" " * 0x1000 + b"\r\n")
        with trio.fail_after(5):
            response = await answer(stream)  # although the last chunk has not come
        assert (response.status, response.error) == (413, TOO_LARGE)
        await ends(stream)


async def test_chunks_that_together_are_an_event_are_published() -> None:
    async with (
        a_server() as server,
        server.subscribe("global") as websocket,
        await server.connect() as stream,
    ):
        head = "POST /publish/global HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in CALLER.items())
        await stream.send_all(head.encode() + b"\r\n")
        for byte in GOOD:
            await stream.send_all(b"1\r\n%c\r\n" % byte)
        await stream.send_all(b"0\r\n\r\n")
        assert (await answer(stream)).status == 200
        assert len(await events(websocket, 1)) == 1


async def test_a_length_that_promises_more_than_comes_publishes_nothing() -> None:
    async with (
        a_server() as server,
        a_subscriber_that_gets_what_comes_next(server, Route(False)),
        await server.connect() as stream,
    ):
        await stream.send_all(request_bytes(GOOD, length=len(GOOD) + 1))
        await stream.send_eof()
        with trio.fail_after(5):
            assert b"200" not in await stream.receive_some()


async def test_a_length_that_promises_less_than_comes_publishes_nothing_that_was_cut() -> None:
    async with (
        a_server() as server,
        a_subscriber_that_gets_what_comes_next(server, Route(False)),
        await server.connect() as stream,
    ):
        await stream.send_all(request_bytes(GOOD, length=len(GOOD) - 1))
        with trio.fail_after(5):
            response = await answer(stream)
        assert response.status == 400
        assert response.error["error"].startswith("Expected JSON")


async def test_a_service_that_waits_to_be_asked_for_the_body_is_asked() -> None:
    async with a_server() as server, await server.connect() as stream:
        await stream.send_all(request_bytes(b"", length=len(GOOD), extra=b"Expect: 100-continue\r\n"))
        with trio.fail_after(5):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 100 ")
            await stream.send_all(GOOD)
            assert (await answer(stream)).status == 200


@pytest.mark.parametrize("extra", [b"", b"TE: trailers\r\n"], ids=["the desk", "the general path"])
async def test_a_body_that_does_not_come_is_408_and_costs_no_task(
    extra: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("courier.web.body.REQUEST_SECONDS", 0.1)
    monkeypatch.setattr("courier.serving.desk.http.REQUEST_SECONDS", 0.1)
    async with a_server() as server, await server.connect() as stream:
        await stream.send_all(request_bytes(b"{", length=100, extra=extra))
        with trio.fail_after(5):
            response = await answer(stream)
        assert (response.status, response.error["error"]) == (408, "Request body did not come in time")
        await ends(stream)


def request_bytes(body: bytes, *, length: int, extra: bytes = b"") -> bytes:
    head = b"POST /publish/global HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
    return b"%bX-Service-Name: tests\r\n%bContent-Length: %d\r\n\r\n%b" % (head, extra, length, body)


async def answer(stream: trio.SocketStream) -> Response:
    """The next answer on a connection that was written to by hand."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="POST", target="/", headers=[("Host", "t"), ("Content-Length", "0")]))
    return await read_response(stream, connection)


async def ends(stream: trio.SocketStream) -> None:
    """The server closes, and says nothing more."""
    await stream.send_eof()
    with trio.fail_after(5):
        assert await stream.receive_some() == b""


# The order of judgement


async def test_of_all_that_is_wrong_with_a_request_it_is_told_the_first() -> None:
    """One request with every fault; they are mended one by one, from the first that is judged."""
    async with a_server(publish_auth="required", rate_limits={"late": 1}) as server:

        async def judge(
            body: bytes, channel: str = "nope", kind: str = "text/plain", **headers: str
        ) -> tuple[int, str]:
            given = {"Content-Type": kind} | {key.replace("_", "-"): value for key, value in headers.items()}
            response = await server.request("POST", f"/publish/{channel}", body, given)
            return response.status, response.error["error"]

        good = await server.publish(
            "global", announcement(source="late"), service="late", **authorized("late")
        )
        assert good.status == 200

        broken = b'{"title":'
        assert await judge(broken + b" " * 65_536) == (413, "Request body is too large")
        assert await judge(broken) == (400, NO_SERVICE)
        assert await judge(broken, X_Service_Name="late") == (401, "Service token required")
        other = {"X_Service_Name": "late", **authorized("other")}
        assert await judge(broken, **other) == (403, "Service token is another service's than X-Service-Name")
        late = {"X_Service_Name": "late", **authorized("late")}
        assert await judge(broken, **late) == (429, "Rate limit exceeded")
        ours = {"X_Service_Name": "tests", **authorized("tests")}
        assert await judge(broken, **ours) == (415, "Media type must be application/json")
        status, sentence = await judge(broken, kind="application/json", **ours)
        assert (status, sentence[:13]) == (400, "Expected JSON")
        no_event = as_json(announcement(source="other", extra=1))
        assert await judge(no_event, kind="application/json", **ours) == (400, UNKNOWN_CHANNEL)
        assert await judge(no_event, "global", "application/json", **ours) == (400, "Invalid event schema")
        another_s = as_json(announcement(source="other"))
        assert await judge(another_s, "global", "application/json", **ours) == (
            400,
            "Event source must match X-Service-Name header",
        )
        assert (await server.publish("global", announcement(), **authorized())).status == 200


async def test_an_envelope_is_judged_in_the_same_order() -> None:
    async with a_server() as server:

        async def judge(body: bytes) -> str:
            sentence: str = (await server.request("POST", "/publish", body, CALLER)).error["error"]
            return sentence

        no_event = as_json(announcement(source="other", extra=1))
        assert (await judge(b'{"channel":"nope","data":%b' % no_event)).startswith("Expected JSON")
        assert await judge(b'{"channel":"nope","data":%b}' % no_event) == UNKNOWN_CHANNEL
        assert await judge(b'{"data":%b,"channel":"nope"}' % no_event) == UNKNOWN_CHANNEL
        assert await judge(b'{"channel":"global","data":%b}' % no_event) == "Invalid event schema"


async def test_while_a_node_drains_nothing_else_is_judged() -> None:
    async with draining() as server, await server.connect() as stream:
        await stream.send_all(b"POST /publish HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n")
        response = await answer(stream)
        assert (response.status, response.error) == (
            503,
            {"error": "Node is draining; publish to another one"},
        )
        assert response.headers["retry-after"] == "1"
        assert (await server.request("POST", "/publish/nope", b"")).status == 503
        assert (await server.publish("global", announcement())).status == 503


async def test_an_event_whose_body_was_on_its_way_when_the_drain_began_is_503() -> None:
    async with (
        a_server_to_drain() as (server, begin),
        await server.connect() as stream,
        server.subscribe("global") as websocket,
    ):
        await stream.send_all(request_bytes(GOOD[:-1], length=len(GOOD)))
        begin()
        with trio.fail_after(5):
            assert await closed(websocket) == (1001, "Server shutting down for maintenance")
            await stream.send_all(GOOD[-1:])
            assert (await answer(stream)).status == 503


@asynccontextmanager
async def a_server_to_drain() -> AsyncIterator[tuple[TestServer, Callable[[], None]]]:
    """A server, and what begins its drain; it stops at the end of the block, whoever is still there."""
    begun, over = trio.Event(), trio.Event()
    drain = Node.drain

    async def drain_and_stay(self: Node) -> None:
        await drain(self)
        await over.wait()

    with pytest.MonkeyPatch.context() as patch, trio.fail_after(30):
        patch.setattr(Node, "drain", drain_and_stay)
        async with trio.open_nursery() as nursery:

            async def start(task_status: trio.TaskStatus[list[str]]) -> None:
                await serve(settings_for(), shutdown_trigger=begun.wait, task_status=task_status)

            [url] = await nursery.start(start)
            try:
                yield TestServer(url), begun.set
            finally:
                begun.set()
                over.set()


@asynccontextmanager
async def draining() -> AsyncIterator[TestServer]:
    """A server that has begun to drain and is still there to be asked."""
    async with a_server_to_drain() as (server, begin), server.subscribe("user.u1") as websocket:
        begin()
        await closed(websocket)
        yield server


def authorized(service: str = "tests", **claims: Any) -> Headers:
    """The header of a service's token, as a keyword of `TestServer.publish`."""
    return {"Authorization": f"Bearer {service_token(service, **claims)}"}


# The service's token


@both_routes
@pytest.mark.parametrize(
    ("bearer", "status", "sentence"),
    [
        pytest.param(None, 401, "Service token required", id="none"),
        pytest.param("Basic dTpw", 401, "Service token required", id="another scheme"),
        pytest.param("Bearer", 401, "Service token required", id="empty"),
        pytest.param("Bearer junk", 401, "Invalid service token", id="junk"),
        pytest.param(
            f"Bearer {service_token(secret='x' * 40)}", 401, "Invalid service token", id="wrong secret"
        ),
        pytest.param(f"Bearer {token('tests')}", 401, "Invalid service token", id="a subscriber's"),
        pytest.param(f"Bearer {service_token(exp=1)}", 401, "Service token expired", id="expired"),
        pytest.param(f"Bearer {service_token(exp=None)}", 401, "Invalid service token", id="no end"),
        pytest.param(
            f"Bearer {service_token('other')}",
            403,
            "Service token is another service's than X-Service-Name",
            id="another's",
        ),
    ],
)
async def test_with_auth_required_a_service_must_prove_its_name(
    route: Route, bearer: str | None, status: int, sentence: str
) -> None:
    headers = CALLER if bearer is None else CALLER | {"Authorization": bearer}
    async with a_server(publish_auth="required") as server:
        response = await route.post(server, GOOD, headers)
        assert (response.status, response.error["error"]) == (status, sentence)
        assert ("www-authenticate" in response.headers) == (status == 401)
        good = await route.post(server, GOOD, CALLER | {"Authorization": f"bearer {service_token()}"})
        assert good.status == 200


async def test_with_auth_reported_what_would_be_refused_is_let_pass(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with a_server(publish_auth="report", log_format="json") as server:
        for headers in ({}, {"Authorization": "Bearer junk"}, authorized("other"), authorized(exp=1)):
            assert (await server.publish("global", announcement(), **headers)).status == 200
        reported = [line for line in capsys.readouterr().err.splitlines() if "would be refused" in line]
        assert len(reported) == 4
        assert (await server.publish("global", announcement(), **authorized())).status == 200
        assert "would be refused" not in capsys.readouterr().err


async def test_with_auth_off_no_token_is_looked_at() -> None:
    async with a_server(publish_auth="off") as server:
        assert (await server.publish("global", announcement(), Authorization="Bearer junk")).status == 200


# The rate limit


async def test_the_101st_publish_in_a_minute_is_429_with_all_its_facts() -> None:
    async with a_server(rate_limit=100) as server, await server.connect() as stream:
        started = time.time()
        for left in reversed(range(100)):
            response = await exchange(stream, "POST", "/publish/global", GOOD, CALLER)
            assert response.status == 200
            assert response.headers["x-ratelimit-limit"] == "100"
            assert response.headers["x-ratelimit-remaining"] == str(left)
            assert started + 59 < int(response.headers["x-ratelimit-reset"]) <= time.time() + 61
        response = await exchange(stream, "POST", "/publish/global", GOOD, CALLER)
        assert response.status == 429
        error = response.error
        reset_at = datetime.fromisoformat(error.pop("reset_at"))
        assert error == {"error": "Rate limit exceeded", "limit": 100, "window_seconds": 60, "remaining": 0}
        assert reset_at.utcoffset() is not None
        assert started + 59 < reset_at.timestamp() < started + 62
        assert response.headers["x-ratelimit-limit"] == "100"
        assert response.headers["x-ratelimit-remaining"] == "0"
        assert 0 <= int(response.headers["x-ratelimit-reset"]) - reset_at.timestamp() < 1
        assert 50 <= int(response.headers["retry-after"]) <= 60

        other = await server.publish("global", announcement(source="other"), service="other")
        assert other.status == 200
        assert other.headers["x-ratelimit-remaining"] == "99"


async def test_after_its_window_a_service_publishes_again() -> None:
    async with a_server(rate_limit=1, rate_window_seconds=1) as server:
        assert (await server.publish("global", announcement())).status == 200
        refused = await server.publish("global", announcement())
        assert refused.status == 429
        assert refused.headers["retry-after"] == "1"
        with trio.fail_after(3):
            await trio.sleep(1)  # what Retry-After says
            assert (await server.publish("global", announcement())).status == 200


async def test_a_service_may_have_a_limit_of_its_own_or_none() -> None:
    async with a_server(rate_limit=1, rate_limits={"big": 3, "free": 0}) as server:

        async def statuses(service: str) -> list[int]:
            event = announcement(source=service)
            return [(await server.publish("global", event, service=service)).status for _ in range(4)]

        assert await statuses("small") == [200, 429, 429, 429]
        assert await statuses("big") == [200, 200, 200, 429]
        assert await statuses("free") == [200, 200, 200, 200]


@pytest.mark.parametrize(
    ("event", "headers", "status"),
    [
        (GOOD, {}, 200),
        (GOOD, {"Content-Type": "text/plain"}, 415),
        (b"{", {}, 400),
        (as_json(announcement(extra=1)), {}, 400),
        (as_json(announcement(source="other")), {}, 400),
    ],
)
async def test_from_the_rate_step_on_every_answer_bears_the_rate(
    event: bytes, headers: Headers, status: int
) -> None:
    async with a_server(rate_limit=10) as server:
        response = await server.request("POST", "/publish/global", event, CALLER | headers)
        assert response.status == status
        assert response.headers["x-ratelimit-remaining"] == "9"


async def test_before_the_rate_step_nothing_is_counted() -> None:
    async with a_server(rate_limit=10) as server:
        response = await server.request("POST", "/publish/global", GOOD, JSON)
        assert response.status == 400
        assert "x-ratelimit-remaining" not in response.headers
        assert (await server.publish("global", announcement(message="x" * 70_000))).status == 413
        good = await server.publish("global", announcement())
        assert good.headers["x-ratelimit-remaining"] == "9"


# The channel is behind


@contextmanager
def channels_that_do_nothing() -> Iterator[trio.Event]:
    """Within the block a channel that starts handles nothing, until the event is set."""
    go = trio.Event()
    run = Channel.run

    async def wait_and_run(self: Channel) -> None:
        await go.wait()
        await run(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Channel, "run", wait_and_run)
        yield go


class Attempts:
    """Publishes under way, and the answers as they come."""

    def __init__(self, server: TestServer, nursery: trio.Nursery) -> None:
        self._server = server
        self._nursery = nursery
        self._sender, self._answers = trio.open_memory_channel[Response](100)

    def start(self, channel: str, count: int) -> None:
        for _ in range(count):
            self._nursery.start_soon(self._publish, channel)

    async def next(self) -> Response:
        with trio.fail_after(5):
            return await self._answers.receive()

    async def _publish(self, channel: str) -> None:
        self._sender.send_nowait(await self._server.publish(channel, announcement()))


async def test_a_full_inbox_is_503_and_what_it_holds_is_published_all_the_same() -> None:
    async with a_server(inbox_events=3, inbox_wait_seconds=0.05, rate_limit=10) as server:
        with channels_that_do_nothing() as go:
            async with trio.open_nursery() as nursery:
                attempts = Attempts(server, nursery)
                attempts.start("global", 4)
                response = await attempts.next()
                assert (response.status, response.error) == (
                    503,
                    {"error": "Channel's inbox is full; try again later"},
                )
                assert response.headers["retry-after"] == "1"
                assert response.headers["x-ratelimit-limit"] == "10"
                go.set()
                assert [(await attempts.next()).status for _ in range(3)] == [200, 200, 200]
        assert (await server.publish("global", announcement())).json["id"].endswith("-4")


async def test_a_publisher_that_waits_for_room_gets_it() -> None:
    async with a_server(inbox_events=1, inbox_wait_seconds=5) as server:
        with channels_that_do_nothing() as go:
            async with trio.open_nursery() as nursery:
                attempts = Attempts(server, nursery)
                attempts.start("global", 5)
                await server.request("GET", "/health/live")
                go.set()
                assert [(await attempts.next()).status for _ in range(5)] == [200] * 5


async def test_a_full_inbox_is_its_own_channels_and_no_other_s() -> None:
    async with a_server(inbox_events=1, inbox_wait_seconds=0) as server:
        assert (await server.publish("global", announcement())).status == 200
        with channels_that_do_nothing() as go:
            async with trio.open_nursery() as nursery:
                attempts = Attempts(server, nursery)
                attempts.start("user.u1", 2)
                assert (await attempts.next()).status == 503
                assert (await server.publish("global", announcement())).status == 200
                go.set()
                assert (await attempts.next()).status == 200


@contextmanager
def channels_that_crash(times: int) -> Iterator[None]:
    """Within the block, taking an event raises so many times."""
    apply = Channel.apply

    def crash(self: Channel, message: Message) -> None:
        nonlocal times
        if isinstance(message, Deliver) and times:
            times -= 1
            raise ZeroDivisionError("a bug in a channel")
        apply(self, message)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Channel, "apply", crash)
        yield


async def test_a_channel_that_crashes_is_500_without_a_word_of_why_and_the_node_lives() -> None:
    async with a_server() as server, server.subscribe("user.u1") as websocket:
        with channels_that_crash(1):
            response = await server.publish("user.u1", announcement("lost"))
        assert response.status == 500
        assert response.error == {"error": "Channel failed before the event was in its log; publish it again"}
        assert (await server.publish("user.u1", announcement("again"))).status == 200
        assert [event["title"] for event in await events(websocket, 1)] == ["again"]


async def test_a_channel_that_crashes_again_and_again_closes_its_own_subscribers_only() -> None:
    async with (
        a_server() as server,
        server.subscribe("user.u1") as ours,
        server.subscribe("global") as others,
    ):
        with channels_that_crash(5):
            for _ in range(5):
                assert (await server.publish("user.u1", announcement())).status == 500
        with trio.fail_after(5):
            assert await closed(ours) == (1011, "Channel failed")
        assert (await server.publish("user.u1", announcement())).status == 200
        assert (await server.publish("global", announcement("still here"))).status == 200
        assert [event["title"] for event in await events(others, 1)] == ["still here"]


async def test_an_event_that_cannot_be_written_is_500_and_takes_no_room_from_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A user's own model may have a serializer that raises."""
    encode = Registry.encode

    def fail_at_bad(self: Registry, event: Event) -> bytes:
        if getattr(event, "title", None) == "bad":
            raise ValueError("a bug in somebody's serializer")
        return encode(self, event)

    monkeypatch.setattr(Registry, "encode", fail_at_bad)
    async with a_server(inbox_events=1, inbox_wait_seconds=0.05, drain_seconds=5) as server:
        response = await server.publish("global", announcement("bad"))
        assert (response.status, response.error) == (500, {"error": "Internal error"})
        assert (await server.publish("global", announcement())).status == 200
        before_drain = trio.current_time()
    assert trio.current_time() - before_drain < 3, "the drain waited for a publish that had failed"


async def test_a_node_with_too_many_channels_is_503_for_one_more() -> None:
    async with a_server(max_channels=1) as server:
        assert (await server.publish("user.u1", announcement())).status == 200
        response = await server.publish("user.u2", announcement())
        assert response.status == 503
        assert response.error == {"error": "Node has no room for another channel; try again later"}
        assert response.headers["retry-after"] == "1"
        assert (await server.publish("user.u1", announcement())).status == 200


# What is answered


@both_routes
async def test_every_type_of_event_arrives_in_order_with_id_and_channel(route: Route) -> None:
    async with (
        a_server() as server,
        server.subscribe("user.u1") as websocket,
        await server.connect() as stream,
    ):
        receipts = []
        for example in EXAMPLES.values():
            headers = CALLER | {"X-Service-Name": example["source"]}
            receipts.append((await route.post(server, as_json(example), headers, "user.u1", stream)).json)
        delivered = await events(websocket, len(EXAMPLES))
    epoch = delivered[0]["id"].partition("-")[0]
    assert re.fullmatch("[a-z0-9]{8}", epoch)
    for number, (receipt, event, example) in enumerate(
        zip(receipts, delivered, EXAMPLES.values(), strict=True), start=1
    ):
        assert event.pop("id") == receipt["id"] == f"{epoch}-{number}"
        assert event.pop("channel") == "user.u1"
        assert {key: _moment(value) for key, value in event.items()} == {
            key: _moment(value) for key, value in example.items()
        }


def _moment(value: Any) -> Any:
    """A time as a time, however it is spelled."""
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value):
        return datetime.fromisoformat(value)
    return value


async def test_a_receipt_has_all_its_fields() -> None:
    async with a_server() as server:
        before = time.time()
        response = await server.publish("user.u1", announcement())
        receipt = response.json
        assert response.headers["content-type"] == "application/json"
        arrived = datetime.fromisoformat(receipt.pop("timestamp"))
        assert before <= arrived.timestamp() <= time.time() + 0.001, "a millisecond, rounded up"
        assert re.fullmatch(r"[a-z0-9]{8}-1", receipt.pop("id"))
        assert receipt == {
            "status": "published",
            "channel": "user.u1",
            "event_type": "system.announcement",
            "clients_reached": 0,
        }
        async with server.subscribe("user.u1"), server.subscribe("user.u1"), server.subscribe("global"):
            assert (await server.publish("user.u1", announcement())).json["clients_reached"] == 2


async def test_a_time_that_is_left_out_is_now_and_other_fields_stay_out() -> None:
    async with a_server() as server, server.subscribe("global") as websocket:
        before = time.time()
        await server.publish("global", announcement())
        [event] = await events(websocket, 1)
        assert event["timestamp"].endswith("Z")
        assert before - 0.002 < datetime.fromisoformat(event["timestamp"]).timestamp() <= time.time()
        assert set(event) == {"id", "channel", "timestamp", *announcement()}


# HTTP


async def test_pipelined_publishes_are_answered_in_order_and_their_events_keep_it() -> None:
    async with (
        a_server() as server,
        server.subscribe("global") as websocket,
        await server.connect() as stream,
    ):
        count = 30
        requests = b""
        for number in range(count):
            body = as_json(
                announcement(str(number), extra=1) if number % 3 == 1 else announcement(str(number))
            )
            requests += request_bytes(body, length=len(body))
        await stream.send_all(requests)
        buffered = b""
        statuses: list[int] = []
        with trio.fail_after(10):
            while len(statuses) < count:
                buffered += await stream.receive_some()
                statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3})", buffered)]
        assert statuses == [400 if number % 3 == 1 else 200 for number in range(count)]
        wanted = [str(number) for number in range(count) if number % 3 != 1]
        assert [event["title"] for event in await events(websocket, len(wanted))] == wanted


async def test_after_an_error_a_connection_whose_body_was_read_goes_on() -> None:
    async with a_server() as server, await server.connect() as stream:
        for event, status in ((b"{", 400), (as_json(announcement(extra=1)), 400), (GOOD, 200)):
            assert (await exchange(stream, "POST", "/publish/global", event, CALLER)).status == status


@pytest.mark.parametrize("path", ["/nowhere", "/health/live", "/publish/a/b"])
async def test_after_an_answer_to_a_body_that_was_not_read_the_connection_is_in_step_or_closed(
    path: str,
) -> None:
    async with a_server() as server, await server.connect() as stream:
        smuggled = b"GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n"
        head = b"POST %b HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(smuggled))
        await stream.send_all(head + smuggled)
        response = await answer(stream)
        assert response.status in (400, 404, 405)
        received = b""
        try:
            await stream.send_all(b"GET /health HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
            await stream.send_eof()
            with trio.fail_after(5):
                while chunk := await stream.receive_some():
                    received += chunk
        except trio.BrokenResourceError:
            pass
        assert b"alive" not in received


async def test_an_endless_body_to_nowhere_is_cut() -> None:
    async with a_server() as server, await server.connect() as stream:
        await stream.send_all(b"POST /nowhere HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert (await answer(stream)).status == 404
        with trio.fail_after(10), pytest.raises(trio.BrokenResourceError):
            while True:
                await stream.send_all(b"10000\r\n" + bytes(0x10000) + b"\r\n")


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/publish", 405, {"POST"}),
        ("HEAD", "/publish", 405, {"POST"}),
        ("OPTIONS", "/publish", 405, {"POST"}),
        ("PUT", "/publish/global", 405, {"POST"}),
        ("DELETE", "/publish/global", 405, {"POST"}),
        ("OPTIONS", "/health", 405, {"GET", "HEAD"}),
        ("POST", "/health/ready", 405, {"GET", "HEAD"}),
        ("POST", "/nowhere", 404, None),
        ("GET", "/", 404, None),
        ("GET", "/publish/", 405, {"POST"}),
        ("GET", "/%00", 404, None),
    ],
)
async def test_another_method_or_path_is_told_as_json(
    method: str, path: str, status: int, allowed: set[str] | None
) -> None:
    async with a_server() as server:
        response = await server.request(method, path, None, CALLER)
        assert response.status == status
        assert response.headers["content-type"] == "application/json"
        if allowed is None:
            assert "allow" not in response.headers
        else:
            assert {each.strip() for each in response.headers["allow"].split(",")} == allowed
        if method == "HEAD":
            assert response.body == b""
        else:
            assert isinstance(response.error["error"], str)


async def test_head_is_answered_as_get_is_but_without_a_body() -> None:
    async with a_server() as server, await server.connect() as stream:
        for path in ("/health", "/health/live", "/health/ready"):
            head = await exchange(stream, "HEAD", path)
            assert (head.status, head.body) == (200, b"")
        assert (await exchange(stream, "GET", "/health/live")).json == {"status": "alive"}


async def test_a_plain_request_to_a_channel_is_refused_as_json() -> None:
    async with a_server() as server:
        response = await server.request("GET", "/ws/global")
        assert response.status in (400, 404, 426)
        assert isinstance(response.error["error"], str)


async def test_no_error_echoes_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    secret = service_token("other")
    async with a_server(publish_auth="required", log_level="debug") as server:
        response = await server.publish("global", announcement(), Authorization=f"Bearer {secret}")
        assert response.status == 403
        assert secret.encode() not in response.body
    assert secret not in capsys.readouterr().err
