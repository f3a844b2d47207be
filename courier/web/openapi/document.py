"""Document: OpenAPI 3.1 of every path, with an example of every answer."""

import json
from typing import Any

from courier.schemas.channels import CHANNEL_PATTERN
from courier.schemas.contract.bundle import PUBLISHED, VERSION, members
from courier.schemas.contract.examples import example_of
from courier.schemas.contract.shapes import Schema, renamed
from courier.schemas.names import SERVICE_NAME_PATTERN
from courier.schemas.registry import BATCH_EVENTS, Registry
from courier.web.batch import NDJSON
from courier.web.history import LARGEST_LIMIT, LIMIT
from courier.web.openapi.refusals import (
    Refusals,
    anywhere,
    batch_refusals,
    examples,
    history_refusals,
    publish_refusals,
)
from courier.web.publish import JSON

COMPONENTS = "#/components/schemas/"

_DESCRIPTION = """\
Services publish typed events over HTTP; subscribers get them over WebSocket, as `/asyncapi.json` describes. A
`200` means that the event is in its channel's log.

Every answer that is no success has the body `{"detail": {"error": "<a sentence>", …}}`. A request is judged
in a fixed order, and the first fault is the answer. Any other path is 404, another method 405."""

_STATUS = {
    400: "The request is wrong, as the sentence says.",
    401: "The token is missing, invalid or expired.",
    403: "The token is good, but not for this.",
    404: "There is nothing of this name.",
    405: "The path takes another method.",
    408: "The body took too long to come.",
    409: "The idempotency key was used for another event.",
    413: "The body is too large, or holds too many events.",
    415: "The body is of another media type.",
    429: "The service has published as much as it may for now.",
    500: "The channel crashed; the event is not in the log.",
    503: "Not now: try again after `Retry-After`, best at another node.",
}

_TEXT: Schema = {"type": "string"}
_HEADERS: Schema = {
    "Retry-After": {
        "description": "Seconds to wait.",
        "required": True,
        "schema": {"type": "string", "pattern": r"^\d+$"},
    },
    "WWW-Authenticate": {"description": "RFC 6750.", "required": True, "schema": _TEXT},
    "Allow": {"description": "The methods that the path takes.", "required": True, "schema": _TEXT},
    "ETag": {"description": "Changes with the document.", "required": True, "schema": _TEXT},
    "X-RateLimit-Limit": {
        "description": "Events in a window. Left out where there is no limit.",
        "schema": {"type": "string", "pattern": r"^\d+$"},
    },
    "X-RateLimit-Remaining": {
        "description": "Events that are left.",
        "schema": {"type": "string", "pattern": r"^\d+$"},
    },
    "X-RateLimit-Reset": {
        "description": "When there will be more: Unix seconds.",
        "schema": {"type": "string", "pattern": r"^\d+$"},
    },
}
_RATE = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_STATUS_HEADERS = {
    401: ("WWW-Authenticate",),
    405: ("Allow",),
    429: ("Retry-After", *_RATE),
    503: ("Retry-After",),
}

_SERVICE: Schema = {
    "name": "X-Service-Name",
    "in": "header",
    "required": True,
    "description": "The service that publishes: the event's `source`.",
    "schema": {"type": "string", "pattern": SERVICE_NAME_PATTERN},
    "example": "shop",
}
_KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "For a publish that may be repeated: the same key and event give the first receipt again.",
    "schema": {"type": "string", "pattern": r"^[\x21-\x7e]{1,255}$"},
    "example": "order-17",
}
_SINCE: Schema = {
    "name": "since",
    "in": "query",
    "description": "A position or an ISO 8601 time with a `T` and a zone; left out: the newest events.",
    "schema": _TEXT,
    "example": "2026-01-31T12:00:00Z",
}
_LIMIT: Schema = {
    "name": "limit",
    "in": "query",
    "description": "How many events at most.",
    "schema": {"type": "integer", "minimum": 1, "maximum": LARGEST_LIMIT, "default": LIMIT},
    "example": 10,
}

_BY_SERVICE: list[Schema] = [{"serviceToken": []}, {}]
_BY_SUBSCRIBER: list[Schema] = [{"subscriberToken": []}, {"subscriberQuery": []}]


def openapi(registry: Registry, bundle: Schema) -> Schema:
    """OpenAPI 3.1 of the HTTP side of a node with this registry, whose contract is `bundle`."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Courier",
            "version": VERSION,
            "summary": "Events in over HTTP, out over WebSocket, never lost silently.",
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "This node."}],
        "tags": [
            {"name": "Publish", "description": "For services."},
            {"name": "History", "description": "For subscribers."},
            {"name": "Health", "description": "For whatever watches the node."},
            {"name": "Contract", "description": "These documents."},
        ],
        "paths": {**_publish(registry, bundle), **_history(bundle), **_health(), **_documents()},
        "components": {
            "schemas": _schemas(bundle),
            "responses": {
                "NotFound": _refused(anywhere(), 404),
                "MethodNotAllowed": _refused(anywhere(), 405),
            },
            "headers": _HEADERS,
            "securitySchemes": _SECURITY,
        },
    }


_JWT = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
_SECURITY: Schema = {
    "serviceToken": {
        **_JWT,
        "description": "A JWT with `service`, which equals `X-Service-Name`, `exp` and `iat`. Needed where"
        " `COURIER_PUBLISH_AUTH` is `required`.",
    },
    "subscriberToken": {
        **_JWT,
        "description": "A JWT with `user_id`, `wallet_address`, `exp` and `iat`.",
    },
    "subscriberQuery": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "The same, where headers cannot be set.",
    },
}


def _publish(registry: Registry, bundle: Schema) -> Schema:
    events = {
        schema["properties"]["type"]["const"]: schema["examples"][0]
        for schema in (bundle["$defs"][name] for name in members(bundle, PUBLISHED))
        if "examples" in schema
    }
    # In the examples the service is `shop` and the channel alice's, whatever the event.
    first = next(iter(events.values()), {"type": next(iter(registry.models)), "source": "shop"})
    envelope = {"channel": "user.alice", "data": first}
    refusals = publish_refusals(registry, first)
    receipt = _example("Receipt", bundle)
    again = {"first": {k: v for k, v in receipt.items() if k != "deduplicated"}, "repeated": receipt}
    single = {**_answer("Receipt", again, "The event is in its channel's log."), **_refusals(refusals)}
    one = {name: {"summary": name, "value": event} for name, event in events.items()}
    return {
        "/publish/{channel}": {
            "post": {
                "operationId": "publish",
                "tags": ["Publish"],
                "summary": "Publish one event.",
                "security": _BY_SERVICE,
                "parameters": [_channel(), _SERVICE, _KEY],
                "requestBody": _body({JSON: _content(PUBLISHED, one)}),
                "responses": single,
            }
        },
        "/publish": {
            "post": {
                "operationId": "publishEnvelope",
                "tags": ["Publish"],
                "summary": "Publish one event, with the channel in the body.",
                "security": _BY_SERVICE,
                "parameters": [_SERVICE, _KEY],
                "requestBody": _body({JSON: _content("Envelope", {"envelope": {"value": envelope}})}),
                "responses": single,
            }
        },
        "/publish/batch": {
            "post": {
                "operationId": "publishBatch",
                "tags": ["Publish"],
                "summary": "Publish many events at once, or as a stream of lines.",
                "description": "Each is judged by itself, and the good ones are published though others fail."
                f" As JSON at most {BATCH_EVENTS} events and 1 MiB; as lines, one envelope a line, any"
                " number, read as they come. Event i has the idempotency key `<key>/<i>`.",
                "security": _BY_SERVICE,
                "parameters": [_SERVICE, _KEY],
                "requestBody": _body(
                    {
                        JSON: _content("Batch", {"batch": {"value": {"events": [envelope]}}}),
                        NDJSON: {
                            "schema": {"type": "string", "description": "One envelope a line."},
                            "examples": {"lines": {"value": _line(envelope) + _line(envelope)}},
                        },
                    }
                ),
                "responses": {
                    "200": {
                        "description": "What became of each.",
                        "headers": _headers(_RATE),
                        "content": {
                            JSON: {
                                "schema": {"anyOf": [_ref("BatchReceipt"), _ref("StreamReceipt")]},
                                "examples": {
                                    "batch": {"value": _example("BatchReceipt", bundle)},
                                    "lines": {"value": _example("StreamReceipt", bundle)},
                                },
                            }
                        },
                    },
                    **_refusals(batch_refusals(registry)),
                },
            }
        },
    }


def _history(bundle: Schema) -> Schema:
    stretch = {"stretch": _example("History", bundle)}
    return {
        "/history/{channel}": {
            "get": {
                "operationId": "history",
                "tags": ["History"],
                "summary": "What a channel's log holds.",
                "description": "For whoever may join the channel.",
                "security": _BY_SUBSCRIBER,
                "parameters": [_channel(), _SINCE, _LIMIT],
                "responses": {
                    **_answer("History", stretch, "A stretch of the log, oldest first.", ()),
                    **_refusals(history_refusals()),
                },
            }
        }
    }


def _health() -> Schema:
    whole = {
        "status": "healthy",
        "version": VERSION,
        "environment": "development",
        "uptime_seconds": 3600.5,
        "components": {"backplane": {"status": "healthy", "kind": "memory"}},
        "metrics": {
            "active_connections": 2,
            "active_channels": 1,
            "total_messages_sent": 20,
            "total_messages_received": 10,
        },
        "timestamp": "2026-01-31T12:00:00Z",
    }
    return {
        "/health": _question(
            "health",
            "How the node is.",
            "Health",
            {"whole": whole, "status_only": {"status": "healthy"}},
            {"draining": {"status": "draining"}, "degraded": {"status": "degraded"}},
            [{}, {"serviceToken": []}],
        ),
        "/health/live": _question(
            "live", "Whether the process answers.", "Live", {"alive": {"status": "alive"}}
        ),
        "/health/ready": _question(
            "ready",
            "Whether the node may be sent traffic.",
            "Ready",
            {"ready": {"status": "ready", "ready": True}},
            {
                "draining": {"status": "not_ready", "ready": False, "reason": "Node is draining"},
                "redis_away": {"status": "not_ready", "ready": False, "reason": "Redis cannot be reached"},
            },
        ),
    }


def _documents() -> Schema:
    found: Schema = {}
    for path, name, about in (
        ("/openapi.json", "openapi", "This document."),
        ("/asyncapi.json", "asyncapi", "AsyncAPI 3.0 of the WebSocket side."),
        ("/schemas", "schemas", "The whole contract as one JSON Schema."),
    ):
        found[path] = {"get": _document(name, about)}
    one = _document("schema", "The JSON Schema of one type.")
    one["parameters"] = [
        {
            "name": "type",
            "in": "path",
            "required": True,
            "description": "An event's type, or that of one of Courier's own messages.",
            "schema": _TEXT,
            "example": "courier.gap",
        }
    ]
    one["responses"] |= {
        "404": {
            "description": _STATUS[404],
            "content": {
                JSON: {
                    "schema": _ref("Refusal"),
                    "examples": {
                        "type": {
                            "value": {"detail": {"error": "There is no such type", "near": ["courier.gap"]}}
                        }
                    },
                }
            },
        }
    }
    found["/schemas/{type}"] = {"get": one}
    return found


def _document(name: str, about: str) -> Schema:
    headers = _headers(("ETag",))
    return {
        "operationId": name,
        "tags": ["Contract"],
        "summary": about,
        "security": [],
        "responses": {
            "200": {
                "description": about,
                "headers": headers,
                "content": {JSON: {"schema": {"type": "object"}}},
            },
            "304": {"description": "The one that `If-None-Match` names is still good.", "headers": headers},
        },
    }


def _question(
    name: str,
    about: str,
    schema: str,
    yes: dict[str, Any],
    no: dict[str, Any] | None = None,
    security: list[Schema] | None = None,
) -> Schema:
    responses = {"200": {"description": "Yes.", "content": {JSON: _content(schema, _values(yes))}}}
    if no is not None:
        responses["503"] = {"description": "No.", "content": {JSON: _content(schema, _values(no))}}
    return {
        "get": {
            "operationId": name,
            "tags": ["Health"],
            "summary": about,
            "security": security or [],
            "responses": responses,
        }
    }


def _answer(name: str, told: dict[str, Any], about: str, headers: tuple[str, ...] = _RATE) -> Schema:
    return {
        "200": {
            "description": about,
            "headers": _headers(headers),
            "content": {JSON: _content(name, _values(told))},
        }
    }


def _refusals(refusals: Refusals) -> Schema:
    statuses = sorted({example.status for example in examples(refusals)})
    return {str(status): _refused(refusals, status) for status in statuses}


def _refused(refusals: Refusals, status: int) -> Schema:
    told = {
        example.name: {"summary": example.body["detail"]["error"], "value": example.body}
        for example in examples(refusals)
        if example.status == status
    }
    response: Schema = {"description": _STATUS[status], "content": {JSON: _content("Refusal", told)}}
    if status in _STATUS_HEADERS:
        response["headers"] = _headers(_STATUS_HEADERS[status])
    return response


def _channel() -> Schema:
    return {
        "name": "channel",
        "in": "path",
        "required": True,
        "description": "`global`, `user.<id>`, `strategy.<id>`, `backtest.<id>` or `forge.job.<id>`.",
        "schema": {"type": "string", "pattern": CHANNEL_PATTERN},
        "example": "user.alice",
    }


def _schemas(bundle: Schema) -> Schema:
    """The contract's own, and the two that only requests have."""
    schemas = renamed(bundle["$defs"], lambda name: name, COMPONENTS)
    schemas[PUBLISHED]["discriminator"] = {
        "propertyName": "type",
        "mapping": {
            bundle["$defs"][name]["properties"]["type"]["const"]: COMPONENTS + name
            for name in members(bundle, PUBLISHED)
        },
    }
    schemas["Envelope"] = {
        "description": "An event, and the channel that it goes to.",
        "type": "object",
        "additionalProperties": False,
        "properties": {"channel": {"type": "string", "pattern": CHANNEL_PATTERN}, "data": _ref(PUBLISHED)},
        "required": ["channel", "data"],
    }
    schemas["Batch"] = {
        "description": "Events for any channels. One that is no envelope fails alone.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "events": {"type": "array", "items": _ref("Envelope"), "maxItems": BATCH_EVENTS},
        },
        "required": ["events"],
    }
    return schemas  # type: ignore[no-any-return]


def _body(content: Schema) -> Schema:
    return {"required": True, "content": content}


def _content(schema: str, told: dict[str, Any]) -> Schema:
    return {"schema": _ref(schema), "examples": told}


def _values(told: dict[str, Any]) -> dict[str, Any]:
    return {name: {"value": value} for name, value in told.items()}


def _example(name: str, bundle: Schema) -> Any:
    return example_of(bundle["$defs"][name], bundle["$defs"])


def _headers(names: tuple[str, ...]) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _ref(name: str) -> Schema:
    return {"$ref": COMPONENTS + name}


def _line(envelope: Any) -> str:
    return json.dumps(envelope) + "\n"
