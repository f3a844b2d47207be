"""AsyncAPI 3.0 of the WebSocket side."""

import json
from pathlib import Path
from typing import Any, get_args

import jsonschema_rs
import pytest

from courier.schemas import CloseReason, ControlMessage, Registry, default_registry
from courier.schemas.contract import asyncapi
from courier.schemas.contract.shapes import Schema
from tests.web.messages import check_message

KINDS = default_registry().kinds


def resolved(document: Schema, value: Any) -> Any:
    """What a reference leads to."""
    while isinstance(value, dict) and "$ref" in value:
        target = document
        for step in value["$ref"].removeprefix("#/").split("/"):
            target = target[step.replace("~1", "/")]
        value = target
    return value


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [each for one in value.values() for each in references(one)]
    return [each for one in value for each in references(one)] if isinstance(value, list) else []


@pytest.mark.parametrize("which", ["bundle", "acme_bundle"])
def test_asyncapis_own_schema_takes_it(
    which: str, request: pytest.FixtureRequest, node_modules: Path
) -> None:
    document = asyncapi(request.getfixturevalue(which), default_registry())
    path = node_modules / "@asyncapi" / "specs" / "schemas" / "3.0.0-without-$id.json"
    jsonschema_rs.Draft7Validator(json.loads(path.read_text(encoding="utf-8"))).validate(document)
    for reference in references(document):
        assert resolved(document, {"$ref": reference})


def test_every_kind_of_channel_can_be_joined_and_says_what_is_sent_and_taken(bundle: Schema) -> None:
    document = asyncapi(bundle, default_registry())
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert addresses == {
        "/ws",
        "/ws/global",
        *(f"/ws/{kind}.{{id}}" for kind in KINDS.names if kind != "global"),
    }
    for operation in document["operations"].values():
        channel = resolved(document, operation["channel"])
        assert ("{id}" in channel["address"]) == ("parameters" in channel)
        for message in operation["messages"]:
            assert resolved(document, message)["payload"]


def test_courier_sends_all_events_and_takes_only_a_refresh_and_the_heartbeat(
    bundle: Schema, registry: Registry
) -> None:
    document = asyncapi(bundle, default_registry())
    said: dict[str, set[str]] = {
        action: {
            resolved(document, message)["name"] for message in document["operations"][action]["messages"]
        }
        for action in ("send.user", "receive.user")
    }
    controls = {model.model_fields["type"].default for model in get_args(ControlMessage)}
    assert said["send.user"] == registry.types | controls | {"ping", "pong"}
    assert said["receive.user"] == {"courier.refresh", "ping", "pong"}


def test_every_example_of_what_is_sent_is_a_message(bundle: Schema) -> None:
    document = asyncapi(bundle, default_registry())
    for message in document["operations"]["send.global"]["messages"]:
        [example] = resolved(document, message)["examples"]
        payload = example["payload"]
        check_message(payload if isinstance(payload, str) else json.dumps(payload))


@pytest.mark.parametrize(
    "message",
    [
        '{"type":"courier.joined"}',
        '{"type":"courier.drain","reconnect_in_ms":1,"more":2}',
        '{"type":"courier.refresh","token":"x"}',
        '{"type":"system.nothing","id":"k3v9x0qa-42","channel":"global"}',
        '{"type":"courier.gap","channel":"global","requested":"x","resumed_from":"x","reason":"expired"}',
    ],
)
def test_what_is_no_message_fails_the_test_that_got_it(message: str) -> None:
    with pytest.raises((AssertionError, jsonschema_rs.ValidationError)):
        check_message(message)


def test_the_close_codes_are_all_there(bundle: Schema) -> None:
    told = [
        (each["code"], each["reason"], each["comeBack"])
        for each in asyncapi(bundle, default_registry())["x-close-codes"]
    ]
    assert told == [(each.code, each.reason, each.come_back) for each in CloseReason]
