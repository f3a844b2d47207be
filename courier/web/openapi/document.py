"""Document: OpenAPI 3.1 of every path, with an example of every answer."""

import json
from typing import Any

from courier.schemas.batch import BATCH_EVENTS
from courier.schemas.contract.asyncapi import token_said
from courier.schemas.contract.bundle import PUBLISHED, members
from courier.schemas.contract.shapes import Schema, renamed
from courier.schemas.names import SERVICE_NAME_PATTERN
from courier.schemas.registry import Registry
from courier.version import VERSION
from courier.web.openapi.answers import (
    COMPONENTS,
    HEADERS,
    RATE,
    STATUS,
    TEXT,
    answer,
    body_of,
    channel_parameter,
    content_of,
    example_named,
    headers_of,
    question,
    ref,
    refusals_of,
    refused,
)
from courier.web.openapi.operators import operators
from courier.web.openapi.readers import readers
from courier.web.openapi.refusals import (
    anywhere,
    batch_refusals,
    publish_refusals,
)
from courier.web.publishing.batch import NDJSON
from courier.web.publishing.judge import JSON

_DESCRIPTION = """\
Services publish typed events over HTTP; subscribers get them over WebSocket, as `/asyncapi.json` describes,
or as server-sent events. A `200` means that the event is in its channel's log.

Every answer that is no success has the body `{"detail": {"error": "<a sentence>", …}}`. A request is judged
in a fixed order, and the first fault is the answer. Any other path is 404, another method 405."""

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
_BY_SERVICE: list[Schema] = [{"serviceToken": []}, {}]


def openapi(registry: Registry, bundle: Schema) -> Schema:
    """OpenAPI 3.1 of the HTTP side of a node with this registry, whose contract is `bundle`."""
    first = _first_event(registry, bundle)
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
            {"name": "History", "description": "For subscribers: what there was."},
            {"name": "Events", "description": "For subscribers: what there is, as it comes."},
            {"name": "Health", "description": "For whatever watches the node."},
            {"name": "Operators", "description": "For those who run the node: what `/admin` is made of."},
            {"name": "Contract", "description": "These documents."},
        ],
        "paths": {
            **_publish(registry, bundle, first),
            **readers(registry, bundle),
            **_health(),
            **operators(registry, bundle, first),
            **_documents(),
        },
        "components": {
            "schemas": _schemas(registry, bundle),
            "responses": {
                "NotFound": refused(anywhere(), 404),
                "MethodNotAllowed": refused(anywhere(), 405),
            },
            "headers": HEADERS,
            "securitySchemes": _security(registry),
        },
    }


_JWT = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


def _security(registry: Registry) -> Schema:
    return {
        "serviceToken": {
            **_JWT,
            "description": "A JWT with `service`, which equals `X-Service-Name`, `exp` and `iat`. Needed"
            " where `COURIER_PUBLISH_AUTH` is `required`.",
        },
        "subscriberToken": {
            **_JWT,
            "description": token_said(registry),
        },
        "subscriberQuery": {
            "type": "apiKey",
            "in": "query",
            "name": "token",
            "description": "The same, where headers cannot be set.",
        },
        "adminToken": {
            "type": "http",
            "scheme": "bearer",
            "description": "`COURIER_ADMIN_TOKEN`; in a browser the session that signing in at `/admin`"
            " gives. A development node without one is open to its own machine.",
        },
        "metricsToken": {"type": "http", "scheme": "bearer", "description": "`COURIER_METRICS_TOKEN`."},
    }


def _events(bundle: Schema) -> dict[str, Any]:
    """An example of each event, by type."""
    return {
        schema["properties"]["type"]["const"]: schema["examples"][0]
        for schema in (bundle["$defs"][name] for name in members(bundle, PUBLISHED))
        if "examples" in schema
    }


def _first_event(registry: Registry, bundle: Schema) -> Any:
    """The event of all examples. In them the service is `shop` and the channel alice's, whatever it is."""
    return next(iter(_events(bundle).values()), {"type": next(iter(registry.models)), "source": "shop"})


def _publish(registry: Registry, bundle: Schema, first: Any) -> Schema:
    envelope = {"channel": "user.alice", "data": first}
    refusals = publish_refusals(registry, first)
    receipt = example_named("Receipt", bundle)
    again = {"first": {k: v for k, v in receipt.items() if k != "deduplicated"}, "repeated": receipt}
    single = {**answer("Receipt", again, "The event is in its channel's log."), **refusals_of(refusals)}
    one = {name: {"summary": name, "value": event} for name, event in _events(bundle).items()}
    return {
        "/publish/{channel}": {
            "post": {
                "operationId": "publish",
                "tags": ["Publish"],
                "summary": "Publish one event.",
                "security": _BY_SERVICE,
                "parameters": [channel_parameter(registry.kinds), _SERVICE, _KEY],
                "requestBody": body_of({JSON: content_of(PUBLISHED, one)}),
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
                "requestBody": body_of({JSON: content_of("Envelope", {"envelope": {"value": envelope}})}),
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
                "requestBody": body_of(
                    {
                        JSON: content_of("Batch", {"batch": {"value": {"events": [envelope]}}}),
                        NDJSON: {
                            "schema": {"type": "string", "description": "One envelope a line."},
                            "examples": {"lines": {"value": _line(envelope) + _line(envelope)}},
                        },
                    }
                ),
                "responses": {
                    "200": {
                        "description": "What became of each.",
                        "headers": headers_of(RATE),
                        "content": {
                            JSON: {
                                "schema": {"anyOf": [ref("BatchReceipt"), ref("StreamReceipt")]},
                                "examples": {
                                    "batch": {"value": example_named("BatchReceipt", bundle)},
                                    "lines": {"value": example_named("StreamReceipt", bundle)},
                                },
                            }
                        },
                    },
                    **refusals_of(batch_refusals(registry)),
                },
            }
        },
    }


def _health() -> Schema:
    whole = {
        "status": "healthy",
        "version": VERSION,
        "environment": "development",
        "uptime_seconds": 3600.5,
        "components": {
            "event_loop": {"status": "healthy", "lag_ms": 0.4},
            "backplane": {"status": "healthy", "kind": "memory"},
            "supervisor": {"status": "healthy", "sweeps": True, "crashes": 0, "given_up": 0},
            "publishing": {"status": "healthy", "failed": 0},
        },
        "metrics": {
            "active_connections": 2,
            "active_channels": 1,
            "total_messages_sent": 20,
            "total_messages_received": 10,
        },
        "timestamp": "2026-01-31T12:00:00Z",
    }
    return {
        "/health": question(
            "health",
            "How the node is.",
            "Health",
            {"whole": whole, "status_only": {"status": "healthy"}},
            {"draining": {"status": "draining"}, "degraded": {"status": "degraded"}},
            [{}, {"serviceToken": []}],
        ),
        "/health/live": question(
            "live", "Whether the process answers.", "Live", {"alive": {"status": "alive"}}
        ),
        "/health/ready": question(
            "ready",
            "Whether the node may be sent traffic.",
            "Ready",
            {"ready": {"status": "ready", "ready": True}},
            {
                "draining": {"status": "not_ready", "ready": False, "reason": "Node is draining"},
                "redis_unreachable": {"status": "not_ready", "ready": False, "reason": "Redis unreachable"},
                "redis_refused": {
                    "status": "not_ready",
                    "ready": False,
                    "reason": "Redis refused the write: OOM",
                },
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
            "schema": TEXT,
            "example": "courier.gap",
        }
    ]
    one["responses"] |= {
        "404": {
            "description": STATUS[404],
            "content": {
                JSON: {
                    "schema": ref("Refusal"),
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
    headers = headers_of(("ETag",))
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


def _schemas(registry: Registry, bundle: Schema) -> Schema:
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
        "properties": {
            "channel": {"type": "string", "pattern": registry.kinds.pattern},
            "data": ref(PUBLISHED),
        },
        "required": ["channel", "data"],
    }
    schemas["Batch"] = {
        "description": "Events for any channels. One that is no envelope fails alone.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "events": {"type": "array", "items": ref("Envelope"), "maxItems": BATCH_EVENTS},
        },
        "required": ["events"],
    }
    return schemas  # type: ignore[no-any-return]


def _line(envelope: Any) -> str:
    return json.dumps(envelope) + "\n"
