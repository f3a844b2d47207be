"""Messages: each one that a test's WebSocket gets is held against the AsyncAPI document."""

import json
from functools import cache
from typing import Any

import jsonschema_rs
from trio_websocket import WebSocketConnection

from courier.schemas.contract import asyncapi, json_schema
from courier.schemas.contract.shapes import Schema
from courier.schemas.registry import default_registry


def check_message(message: str | bytes) -> None:
    """Fail for a message that the document does not have: of another type, or with more or fewer fields."""
    if isinstance(message, str) and message in _plain_texts():
        return
    said = json.loads(message)
    assert said["type"] in _validators(), f"the document has no message {said['type']!r}"
    _validators()[said["type"]].validate(said)


def checked(websocket: WebSocketConnection) -> WebSocketConnection:
    """The same, but what it gets is checked first."""
    get_message = websocket.get_message

    async def get_checked() -> str | bytes:
        message: str | bytes = await get_message()
        check_message(message)
        return message

    websocket.get_message = get_checked  # type: ignore[method-assign]
    return websocket


def closed(schema: Any) -> Any:
    """The schema without room for fields that it does not name.

    Documents leave room, so that whoever reads bears a newer Courier; what this one says is all there.
    """
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
        found.setdefault("additionalProperties", False)
    return found


@cache
def _document() -> Schema:
    return asyncapi(json_schema(default_registry()))


@cache
def _plain_texts() -> frozenset[str]:
    messages = _document()["components"]["messages"].values()
    return frozenset(each["payload"]["const"] for each in messages if each["contentType"] == "text/plain")


@cache
def _validators() -> dict[str, jsonschema_rs.Draft202012Validator]:
    """By type. Only messages that Courier sends: a refresh is none of them."""
    document = _document()
    schemas = closed(document["components"]["schemas"])
    names = [
        each["$ref"].rpartition("/")[2]
        for each in document["operations"]["send.user"]["messages"]
        if each["$ref"].rpartition("/")[2] in schemas
    ]
    return {
        schemas[name]["properties"]["type"]["const"]: jsonschema_rs.Draft202012Validator(
            {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        )
        for name in names
    }
