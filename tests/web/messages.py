"""Messages: each one that a test's WebSocket gets is held against the AsyncAPI document."""

import json
from functools import cache
from typing import Any

import jsonschema_rs
from trio_websocket import WebSocketConnection

from courier.schemas.contract import asyncapi, json_schema
from courier.schemas.contract.shapes import Schema
from courier.schemas.registry import Registry, default_registry


def check_message(message: str | bytes, registry: Registry | None = None) -> None:
    """Fail for a message that the document does not have: of another type, or with more or fewer fields."""
    known = registry or default_registry()
    if isinstance(message, str) and message in _plain_texts():
        return
    said, validators = json.loads(message), _validators(known)
    assert said["type"] in validators, f"the document has no message {said['type']!r}"
    validators[said["type"]].validate(said)


def checked(websocket: WebSocketConnection, registry: Registry) -> WebSocketConnection:
    """The same, but what it gets is checked first."""
    get_message = websocket.get_message

    async def get_checked() -> str | bytes:
        message: str | bytes = await get_message()
        check_message(message, registry)
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
def _document(registry: Registry) -> Schema:
    return asyncapi(json_schema(registry), registry)


@cache
def _plain_texts() -> frozenset[str]:
    messages = _document(default_registry())["components"]["messages"].values()
    return frozenset(each["payload"]["const"] for each in messages if each["contentType"] == "text/plain")


@cache
def _validators(registry: Registry) -> dict[str, jsonschema_rs.Draft202012Validator]:
    """By type. Only messages that Courier sends: a refresh is none of them."""
    document = _document(registry)
    schemas = closed(document["components"]["schemas"])
    names = [
        each["$ref"].rpartition("/")[2]
        for operation in ("send.user", "send.many")
        for each in document["operations"][operation]["messages"]
        if each["$ref"].rpartition("/")[2] in schemas
    ]
    return {
        schemas[name]["properties"]["type"]["const"]: jsonschema_rs.Draft202012Validator(
            {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        )
        for name in names
    }
