"""OpenAPI 3.1 of the HTTP side: every example of it is sent to, or got from, a running server."""

import ast
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from inspect import iscoroutinefunction
from operator import methodcaller
from pathlib import Path
from typing import Any

import jsonschema_rs
import jwt
import pytest
import trio
from openapi_spec_validator import OpenAPIV31SpecValidator

from courier import web
from courier.actors.errors import ChannelFailed, NodeFull, TooManyChannels
from courier.actors.hub import Hub
from courier.backplane import BackplaneAway, BackplaneRefused, DiskRefused, InboxFull
from courier.schemas import Registry
from courier.schemas.contract.shapes import Schema
from courier.serving.desk import http
from courier.web import body, readers
from courier.web.access import AccessUnknown, Rules
from courier.web.auth import KeysUnavailable, Verifier
from courier.web.errors import HttpError
from courier.web.openapi import openapi
from courier.web.publishing import single
from tests.web.messages import closed
from tests.web.servers import SECRET, Response, TestServer, a_server, exchange, token

PUBLISH, ENVELOPE, BATCH, HISTORY = "/publish/{channel}", "/publish", "/publish/batch", "/history/{channel}"
EVENTS, EVENTS_OF = "/events/{channel}", "/events"
LIMIT = 100


@pytest.fixture(scope="module")
def document(registry: Registry, bundle: Schema) -> Schema:
    return openapi(registry, bundle)


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    """A node that asks services for tokens, and lets each publish a hundred events."""
    async with a_server(publish_auth="required", rate_limit=LIMIT) as server:
        yield server


def told(document: Schema, path: str, status: int) -> dict[str, Any]:
    """By name, the examples of one answer."""
    [operation] = document["paths"][path].values()
    answer = operation["responses"][str(status)]
    return {name: each["value"] for name, each in answer["content"]["application/json"]["examples"].items()}


def told_of(document: Schema, path: str, *statuses: int) -> list[Any]:
    """All examples of several answers."""
    return [example for status in statuses for example in told(document, path, status).values()]


def sent(document: Schema, path: str, media_type: str = "application/json") -> dict[str, Any]:
    """By name, the examples of a request."""
    content = document["paths"][path]["post"]["requestBody"]["content"]
    return {name: each["value"] for name, each in content[media_type]["examples"].items()}


def judge(document: Schema, schema: str) -> jsonschema_rs.Draft202012Validator:
    """A validator that leaves no room for fields that the document does not name."""
    schemas = closed(document["components"]["schemas"])
    whole = {"$ref": f"#/components/schemas/{schema}", "components": {"schemas": schemas}}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def service_token(service: str, **claims: Any) -> str:
    known = {"service": service, "iat": 1_700_000_000, "exp": 4_000_000_000}
    return jwt.encode(known | claims, SECRET, algorithm="HS256")


def headers(service: str = "shop", **more: str | None) -> dict[str, str]:
    """Those of a good publish, but for what is said otherwise; None leaves one out."""
    found: dict[str, str | None] = {
        "X-Service-Name": service,
        "Authorization": f"Bearer {service_token(service)}",
        "Content-Type": "application/json",
    }
    found |= {name.replace("_", "-"): value for name, value in more.items()}
    return {name: value for name, value in found.items() if value is not None}


# The document


@pytest.mark.parametrize("which", ["registry", "acme"])
def test_it_is_valid_openapi(which: str, request: pytest.FixtureRequest) -> None:
    registry = request.getfixturevalue(which)
    bundle = request.getfixturevalue("bundle" if which == "registry" else "acme_bundle")
    OpenAPIV31SpecValidator(openapi(registry, bundle)).validate()


def test_every_answer_has_an_example_that_is_as_its_schema_says(document: Schema) -> None:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            for status, answer in operation["responses"].items():
                for media_type, content in answer.get("content", {}).items():
                    if content["schema"] == {"type": "object"}:
                        continue  # a document
                    assert content["examples"], (path, status, media_type)
                    if content["schema"] == {"type": "string"}:
                        continue  # a text
                    names = content["schema"].get("anyOf", [content["schema"]])
                    judges = [judge(document, name["$ref"].rpartition("/")[2]) for name in names]
                    for example in content["examples"].values():
                        assert any(each.is_valid(example["value"]) for each in judges), example


def test_every_example_of_a_request_is_as_its_schema_says(document: Schema) -> None:
    for path, schema in ((PUBLISH, "CourierEvent"), (ENVELOPE, "Envelope"), (BATCH, "Batch")):
        for example in sent(document, path).values():
            judge(document, schema).validate(example)


def test_all_statuses_of_the_contract_are_there(document: Schema) -> None:
    [operation] = document["paths"][PUBLISH].values()
    every = {200, 400, 401, 403, 408, 409, 413, 415, 429, 500, 503}
    assert {int(status) for status in operation["responses"]} == every
    assert document["components"]["responses"].keys() == {"NotFound", "MethodNotAllowed"}


REFUSING = (
    *("body", "documents", "errors", "reader", "readers", "history/request", "events/request"),
    *("publishing/batch", "publishing/judge", "publishing/lines"),
    *("admin/channels", "admin/connections", "admin/gate", "admin/listing"),
)
"""Where the sentences are that HTTP callers are told."""
ELSEWHERE = {
    "Internal error",  # a fault of ours, of which nothing can be promised
    "Line is too long",  # of one line, in a stream's 200
    "Too many attempts to sign in",  # of the page's own form
    "Wrong admin token",  # likewise
}


def sentences(*modules: str) -> Iterator[tuple[int, str]]:
    """The status and the sentence of every refusal in the code; the beginning of one that is put together."""
    for name in modules:
        tree = ast.parse(Path(web.__path__[0], f"{name}.py").read_text(encoding="utf-8"))
        for call in ast.walk(tree):
            match call:
                case ast.Call(
                    func=ast.Name(id="HttpError" | "ErrorAnswer"),
                    args=[ast.Constant(value=int(status)), sentence, *_],
                ):
                    for part in ast.walk(sentence):
                        if isinstance(part, ast.Constant) and isinstance(part.value, str):
                            yield status, part.value
                            break


def test_every_refusal_in_the_code_is_in_the_document(document: Schema) -> None:
    answers = [
        (int(status), answer)
        for path in document["paths"].values()
        for operation in path.values()
        for status, answer in operation["responses"].items()
    ]
    answers += zip((404, 405), document["components"]["responses"].values(), strict=True)
    shown = {
        (status, example["value"]["detail"]["error"])
        for status, answer in answers
        for content in answer.get("content", {}).values()
        for example in content.get("examples", {}).values()
        if "detail" in example["value"]
    }
    told = [found for found in sentences(*REFUSING) if found[1] not in ELSEWHERE]
    assert len(told) > 20
    for status, sentence in told:
        assert any(status == one and text.startswith(sentence) for one, text in shown), sentence
    # What the hub and the tokens refuse, a publish may meet in any case.
    of_a_publish = {
        example["detail"]["error"]
        for example in told_of(document, PUBLISH, 400, 401, 409, 500, 503) + told_of(document, EVENTS, 503)
    }
    of_all = {text for status, text in sentences("errors") if status not in (404, 405)} - ELSEWHERE
    assert [text for text in of_all if not any(map(methodcaller("startswith", text), of_a_publish))] == []


# What is taken


async def test_every_example_of_an_event_is_published_alone_in_an_envelope_and_in_a_batch(
    document: Schema, server: TestServer
) -> None:
    receipt, results = judge(document, "Receipt"), judge(document, "BatchReceipt")
    events = sent(document, PUBLISH)
    assert len(events) == 27
    for event in events.values():
        response = await server.request("POST", "/publish/user.alice", json.dumps(event).encode(), headers())
        assert response.status == 200, response.body
        receipt.validate(response.json)
    [envelope] = sent(document, ENVELOPE).values()
    response = await server.request("POST", ENVELOPE, json.dumps(envelope).encode(), headers())
    receipt.validate(response.json)
    [batch] = sent(document, BATCH).values()
    batch["events"] = [{"channel": "user.alice", "data": event} for event in events.values()]
    response = await server.request("POST", BATCH, json.dumps(batch).encode(), headers())
    results.validate(response.json)
    assert (response.json["published"], response.json["failed"]) == (len(events), 0)


async def test_the_example_of_a_stream_is_published_and_its_receipt_is_as_it_says(
    document: Schema, server: TestServer
) -> None:
    [lines] = sent(document, BATCH, "application/x-ndjson").values()
    lines += '{"channel":"nope"}\n'
    given = headers(Content_Type="application/x-ndjson")
    response = await server.request("POST", BATCH, lines.encode(), given)
    judge(document, "StreamReceipt").validate(response.json)
    counts = {key: response.json[key] for key in ("published", "failed", "last_line")}
    assert counts == {key: told(document, BATCH, 200)["lines"][key] for key in counts}


async def test_a_repeat_and_a_stretch_of_history_are_as_it_says(document: Schema, server: TestServer) -> None:
    event = next(iter(sent(document, PUBLISH).values()))
    given = headers(Idempotency_Key="order-17")
    answers = [
        await server.request("POST", "/publish/user.alice", json.dumps(event).encode(), given)
        for _ in range(2)
    ]
    for answer in answers:
        judge(document, "Receipt").validate(answer.json)
    assert [answer.json.keys() for answer in answers] == [
        told(document, PUBLISH, 200)[name].keys() for name in ("first", "repeated")
    ]
    bearer = {"Authorization": f"Bearer {token('alice')}"}
    stretch = await server.request("GET", "/history/user.alice", headers=bearer)
    judge(document, "History").validate(stretch.json)
    assert len(stretch.json["events"]) == 1


async def test_the_answers_about_health_are_as_it_says(
    document: Schema, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path, schema in (("/health", "Health"), ("/health/live", "Live"), ("/health/ready", "Ready")):
        response = await server.request("GET", path)
        assert response.status == 200
        judge(document, schema).validate(response.json)
        examples = told(document, path, 200).values()
        assert any(response.json.keys() == example.keys() for example in examples)
    for name, trouble in (
        ("redis_unreachable", "Redis unreachable"),
        ("redis_refused", "Redis refused the write: OOM"),
    ):
        monkeypatch.setattr("courier.backplane.memory.MemoryBackplane.trouble", trouble, raising=True)
        response = await server.request("GET", "/health/ready")
        assert response.status == 503
        assert response.json == told(document, "/health/ready", 503)[name]


# What is refused: each by a request that provokes it

Provoke = Callable[[str, dict[str, Any]], Awaitable[Response]]


class Provoker:
    """Makes a server refuse, in every way that the document has."""

    def __init__(self, server: TestServer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server = server
        self._monkeypatch = monkeypatch

    @contextmanager
    def raising(self, target: object, name: str, error: Exception | None) -> Iterator[None]:
        """Within the block `target` fails; with None, the node drains."""

        def fail(*_: object, **__: object) -> Any:
            assert error is not None
            raise error

        async def fail_later(*_: object, **__: object) -> Any:
            fail()

        failing = fail_later if iscoroutinefunction(getattr(target, name)) else fail
        with self._monkeypatch.context() as patch:
            patch.setattr(target, name, True if error is None else failing)
            yield

    async def post(self, path: str, content: Any, **more: str | None) -> Response:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        service = more.pop("service", None) or "shop"
        return await self.server.request("POST", path, data, headers(service, **more))

    async def too_slow(self, path: str, **more: str | None) -> Response:
        with self._monkeypatch.context() as patch:
            for module in (body, http):
                patch.setattr(module, "REQUEST_SECONDS", 0.02)
            async with await self.server.connect() as stream:
                given = headers("shop", Content_Length="10", **more)
                with trio.fail_after(5):
                    return await exchange(stream, "POST", path, b"", given, whole=False)

    async def fill(self, service: str) -> None:
        event = {"type": "system.service_status", "source": service, "service": "a", "status": "down"}
        batch = {"events": [{"channel": "global", "data": event}] * LIMIT}
        assert (await self.post(BATCH, batch, service=service)).json["published"] == LIMIT

    async def request(self, path: str, name: str, good: Any) -> Response | None:
        """What a publish or a batch has in common; None when it is none of these."""
        match name:
            case "draining":
                with self.raising(Hub, "draining", None):
                    return await self.post(path, good)
            case "too_large":
                return await self.post(path, b" " * (1024 * 1024 + 1 if path == BATCH else 65_537))
            case "too_slow":
                return await self.too_slow(path)
            case "service_missing":
                return await self.post(path, good, X_Service_Name=None)
            case "service_name":
                return await self.post(path, good, X_Service_Name="The Shop")
            case "token_missing":
                return await self.post(path, good, Authorization=None)
            case "token_invalid":
                return await self.post(path, good, Authorization="Bearer junk")
            case "claim_invalid":
                return await self.post(path, good, Authorization=f"Bearer {token('alice')}")
            case "token_expired":
                return await self.post(
                    path, good, Authorization=f"Bearer {service_token('shop', exp=1_700_000_001)}"
                )
            case "keys_unavailable":
                with self.raising(Verifier, "service_nowait", KeysUnavailable()):
                    return await self.post(path, good)
            case "other_service":
                return await self.post(path, good, Authorization=f"Bearer {service_token('bank')}")
            case "rate":
                await self.fill(f"busy{len(path)}")
                return await self.post(path, good, service=f"busy{len(path)}")
            case "media_type":
                return await self.post(path, good, Content_Type="text/plain")
            case "key":
                return await self.post(path, good, Idempotency_Key="not a key")
            case _:
                return None

    async def publish(self, path: str, name: str, event: dict[str, Any]) -> Response:
        def whole(data: Any, channel: str = "user.alice") -> tuple[str, Any]:
            if path == ENVELOPE:
                return ENVELOPE, {"channel": channel, "data": data}
            return f"/publish/{channel}", data

        where, good = whole(event)
        if (response := await self.request(where, name, good)) is not None:
            return response
        failing = {
            "redis_unreachable": BackplaneAway(),
            "redis_refused": BackplaneRefused("the write: OOM"),
            "disk_refused": DiskRefused("disk is full"),
            "too_many_channels": TooManyChannels(),
            "inbox_full": InboxFull(),
            "channel_failed": ChannelFailed(),
        }
        if name in failing:
            with self.raising(Hub, "publish_nowait", failing[name]):
                return await self.post(where, good)
        of_the_kind = {
            "event_type": HttpError(400, "Event type is not allowed on this channel"),
            "publisher": HttpError(403, "Service may not publish to this channel"),
        }
        if name in of_the_kind:  # the kinds of this node take all
            with self.raising(single, "check_rights", of_the_kind[name]):
                return await self.post(where, good)
        match name:
            case "not_json":
                return await self.post(where, b'{"type": ')
            case "not_an_object":
                return await self.post(where, b"[]")
            case "channel":
                return await self.post(*whole(event, "users.alice"))
            case "schema":
                return await self.post(*whole({**event, "unknown_field": 1}))
            case "source":
                return await self.post(where, good, service="bank")
            case "key_conflict":
                key = f"key-{len(path)}"
                await self.post(*whole({**event, "chunk": "another"}), Idempotency_Key=key)
                return await self.post(where, good, Idempotency_Key=key)
        raise AssertionError(f"nothing provokes {name!r}")

    async def batch(self, path: str, name: str, event: dict[str, Any]) -> Response:
        good = {"events": [{"channel": "user.alice", "data": event}]}
        if (response := await self.request(path, name, good)) is not None:
            return response
        match name:
            case "not_json":
                return await self.post(path, b'{"events": [')
            case "not_a_batch":
                return await self.post(path, {"event": []})
            case "too_many_events":
                return await self.post(path, {"events": [0] * 1001})
            case "rate_never":
                return await self.post(path, {"events": good["events"] * (LIMIT + 1)})
        raise AssertionError(f"nothing provokes {name!r}")

    async def history(self, path: str, name: str, event: dict[str, Any]) -> Response:
        async def get(
            where: str = "user.alice", bearer: str | None = token("alice"), id: str = ""
        ) -> Response:
            given = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
            given |= {"Last-Event-ID": id} if id else {}
            if path == EVENTS_OF and not where.startswith("?"):
                where = f"?channel={where.replace('?', '&')}&channel=global"
            below = path.removesuffix("{channel}") if "{" in path else EVENTS_OF
            return await self.server.request("GET", f"{below}{where}", headers=given)

        streams = path != HISTORY
        called = "joining" if streams else "read"
        if streams and path == EVENTS_OF:
            called = "subscribing"
        failing: dict[str, tuple[object, str, Exception | None]] = {
            "draining": (Hub, "draining", None),
            "keys_unavailable": (Verifier, "subscriber_nowait", KeysUnavailable()),
            "access_unknown": (Rules, "admit", AccessUnknown()),
            "redis_unreachable": (Hub, called, BackplaneAway()),
            "redis_refused": (Hub, called, BackplaneRefused("the read: NOPERM")),
            "disk_refused": (Hub, called, DiskRefused("file is damaged")),
            "too_many_channels": (Hub, called, TooManyChannels()),
            "node_full": (Hub, called, NodeFull()),
        }
        if name in failing:
            with self.raising(*failing[name]):
                return await get()
        match name:
            case "channels":
                return await self.server.request("GET", EVENTS_OF)
            case "channel_twice":
                return await self.server.request("GET", f"{EVENTS_OF}?channel=global&channel=global")
            case "path_and_query":
                return await self.server.request("GET", f"{EVENTS_OF}/global?channel=global")
            case "since_of_several":
                return await self.server.request(
                    "GET",
                    f"/events?channel=user.alice&channel=global&since=k3v9x0qa-42&token={token('alice')}",
                )
            case "last_event_id":
                return await self.server.request(
                    "GET", f"/events/global?token={token()}", headers={"Last-Event-ID": "yesterday"}
                )
            case "last_event_ids":
                return await self.server.request(
                    "GET",
                    f"/events?channel=user.alice&channel=global&token={token('alice')}",
                    headers={"Last-Event-ID": "yesterday"},
                )
            case "token_missing":
                return await get(bearer=None)
            case "token_invalid":
                return await get(bearer="junk")
            case "claim_invalid":
                return await get(bearer=token("alice", exp=None))
            case "token_expired":
                return await get(bearer=token("alice", exp=1_700_000_000, iat=1_600_000_000))
            case "channel":
                return await get("users.alice")
            case "access":
                return await get("user.bob")
            case "since":
                if path == EVENTS_OF:
                    return await self.server.request(
                        "GET", f"/events?channel=global&since=yesterday&token={token()}"
                    )
                return await get("user.alice?since=yesterday")
            case "limit":
                return await get("user.alice?limit=ten")
            case "order":
                return await get("user.alice?order=newest")
            case "before":
                return await get("user.alice?before=yesterday&order=desc")
            case "wait":
                return await get("user.alice?wait=61")
            case "before_alone":
                return await get("user.alice?before=k3v9x0qa-42")
            case "since_desc":
                return await get("user.alice?since=k3v9x0qa-42&order=desc")
            case "wait_desc":
                return await get("user.alice?wait=1&order=desc")
            case "too_many_of_user":
                with self._monkeypatch.context() as fewer:
                    fewer.setattr(readers, "READERS_PER_USER", 0)
                    return await get()
            case "too_many_of_node":
                with self._monkeypatch.context() as fewer:
                    fewer.setattr(readers, "READERS", 0)
                    return await get()
        raise AssertionError(f"nothing provokes {name!r}")


@pytest.mark.parametrize("path", [PUBLISH, ENVELOPE, BATCH, HISTORY, EVENTS, EVENTS_OF])
async def test_every_refusal_is_what_a_server_answers(
    path: str, document: Schema, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = next(iter(sent(document, PUBLISH).values()))
    provoker = Provoker(server, monkeypatch)
    reads = dict.fromkeys((HISTORY, EVENTS, EVENTS_OF), provoker.history)
    provoke = (reads | {BATCH: provoker.batch}).get(path, provoker.publish)
    [operation] = document["paths"][path].values()
    for status, answer in operation["responses"].items():
        if status == "200":
            continue
        for name, expected in told(document, path, int(status)).items():
            response = await provoke(path, name, event)
            assert (response.status, masked(response.json)) == (int(status), masked(expected)), name
            for header in answer.get("headers", {}):
                said = document["components"]["headers"][header]
                given = response.headers.get(header.lower())
                assert given is not None or not said.get("required"), (name, header)
                if given is not None:
                    jsonschema_rs.Draft202012Validator(said["schema"]).validate(given)


async def test_what_is_none_of_ours_is_refused_as_it_says(document: Schema, server: TestServer) -> None:
    answers = document["components"]["responses"]
    for name, method, path in (("NotFound", "GET", "/nowhere"), ("MethodNotAllowed", "GET", "/publish")):
        response = await server.request(method, path)
        [example] = answers[name]["content"]["application/json"]["examples"].values()
        assert response.json == example["value"]
        for header in answers[name].get("headers", {}):
            assert header.lower() in response.headers


def masked(body: Any) -> Any:
    """Without what is of the moment, or was made quicker for this test."""
    detail = {key: value for key, value in body["detail"].items() if key not in ("reset_at", "seconds")}
    if "cause" in detail:
        detail["cause"] = re.sub(r"\d+ s", "… s", detail["cause"])
    return {"detail": detail}
