"""Operators: the paths for those who run a node."""

from collections.abc import Iterable
from typing import Any

from courier.schemas.contract.shapes import Schema
from courier.schemas.names import SERVICE_NAME_PATTERN
from courier.schemas.registry import Registry
from courier.web.admin import channels, connections, listing, refusals, revocations
from courier.web.admin.overview import LATEST
from courier.web.admin.routes import SOURCE
from courier.web.errors import HttpError
from courier.web.openapi.answers import (
    RATE,
    TEXT,
    answer,
    body_of,
    channel_parameter,
    content_of,
    example_named,
    refusals_of,
    refused,
    values,
)
from courier.web.openapi.refusals import (
    Refusals,
    admin_action_refusals,
    admin_publish_refusals,
    admin_refusals,
    anywhere,
    listing_refusals,
    opened_channel_refusals,
    overview_refusals,
    redis_refusals,
)
from courier.web.publishing.judge import JSON

_ADMIN: list[Schema] = [{"adminToken": []}, {}]
_TEXTS = ("text/plain", "application/openmetrics-text")
_METRIC = """\
# HELP courier_websocket_connections_active WebSockets that are connected; many: those for many channels
# TYPE courier_websocket_connections_active gauge
courier_websocket_connections_active{channel="user"} 2.0
"""


_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 128}
_SECONDS: Schema = {"type": "integer", "minimum": 1}
_USER: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"user_id": _NAME},
    "required": ["user_id"],
}
_REVOKED: Schema = {
    "description": "One of `user_id`, `token_id` (the claim `jti`) and `service`.",
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "properties": {
        "user_id": _NAME,
        "token_id": {"type": "string", "minLength": 1, "maxLength": 256},
        "service": {"type": "string", "pattern": SERVICE_NAME_PATTERN},
        "issued_before": {
            "type": "integer",
            "minimum": 0,
            "description": "Unix seconds: tokens made then, or before, count no more. Left out: now.",
        },
        "keep_seconds": {
            **_SECONDS,
            "description": "How long it is remembered. Left out: COURIER_REVOCATION_SECONDS.",
        },
    },
}


def operators(registry: Registry, bundle: Schema, event: Any) -> Schema:
    """The paths, by path; `event` is the one of the examples."""

    def asked(name: str, about: str, schema: str, refused: Refusals, *parameters: Schema) -> Schema:
        told = {"example": example_named(schema, bundle)}
        return _operation(
            name, about, {**answer(schema, told, about, ()), **refusals_of(refused)}, *parameters
        )

    of_channels, of_connections = channels.TABLE.columns, connections.TABLE.columns
    of_refusals, of_revocations = refusals.TABLE.columns, revocations.TABLE.columns

    def posting(
        name: str, about: str, schema: str, refused: Refusals, body: Schema, told: dict[str, Any]
    ) -> Schema:
        content = {JSON: {"schema": body, "examples": values(told)}}
        return {**asked(name, about, schema, refused), "requestBody": body_of(content)}

    id = {"name": "id", "in": "path", "required": True, "schema": TEXT, "example": "c-17"}
    receipt = {k: v for k, v in example_named("Receipt", bundle).items() if k != "deduplicated"}
    return {
        "/metrics": {"get": _metrics()},
        "/stats": {
            "get": asked("stats", "What the node has counted, and its channels.", "Stats", admin_refusals())
        },
        "/admin/overview": {
            "get": asked(
                "overview",
                "The node, now and in its last fifteen minutes.",
                "Overview",
                overview_refusals(),
                _number("since", "Only the samples after this one's `at`.", 0, 0, LATEST),
            )
        },
        "/admin/channels": {
            "get": asked(
                "listChannels",
                "One page of the node's channels.",
                "ChannelPage",
                listing_refusals(of_channels),
                *_page(of_channels),
            )
        },
        "/admin/channels/{channel}": {
            "get": asked(
                "openChannel",
                "One channel, a page of its subscribers, and its latest events.",
                "OpenedChannel",
                opened_channel_refusals(registry, of_connections),
                channel_parameter(registry.kinds),
                *_page(of_connections),
                _number("events", "How many events at most.", channels.EVENTS, 1, channels.LARGEST_EVENTS),
                {
                    "name": "since",
                    "in": "query",
                    "description": "Only events after this position, or ISO 8601 time.",
                    "schema": TEXT,
                    "example": "2026-01-31T12:00:00Z",
                },
            )
        },
        "/admin/connections": {
            "get": asked(
                "listConnections",
                "One page of the node's subscribers.",
                "ConnectionPage",
                listing_refusals(of_connections),
                *_page(of_connections),
            )
        },
        "/admin/connections/{id}/close": {
            "post": asked(
                "closeConnection",
                "End one subscription; its user may come back.",
                "Closing",
                {**admin_action_refusals(), "not_there": connections.not_there()},
                id,
            )
        },
        "/admin/refusals": {
            "get": asked(
                "listRefusals",
                "One page of the last requests that were refused, with why.",
                "RefusalPage",
                listing_refusals(of_refusals),
                *_page(of_refusals, refusals.ORDER),
            )
        },
        "/admin/revocations": {
            "get": asked(
                "listRevocations",
                "One page of the revocations that count.",
                "RevocationPage",
                {**listing_refusals(of_revocations), **redis_refusals()},
                *_page(of_revocations, revocations.ORDER),
            ),
            "post": posting(
                "revoke",
                "Refuse tokens of a user or a service, or one token, on all nodes.",
                "Revoked",
                {**admin_action_refusals(), **redis_refusals(), "body": HttpError(400, revocations.EXPECTED)},
                _REVOKED,
                {"user": {"user_id": "alice"}, "token": {"token_id": "5f7c8ec7"}},
            ),
        },
        "/admin/revocations/{id}": {
            "delete": asked(
                "takeBackRevocation",
                "Let a revocation count no more.",
                "TakenBack",
                {**admin_action_refusals(), **redis_refusals(), "not_there": revocations.not_there()},
                id,
            )
        },
        "/admin/disconnect": {
            "post": posting(
                "disconnectUser",
                "Close all connections of a user, on all nodes; it may come back.",
                "Disconnecting",
                {
                    **admin_action_refusals(),
                    **redis_refusals(),
                    "body": HttpError(400, revocations.EXPECTED_USER),
                },
                _USER,
                {"user": {"user_id": "alice"}},
            )
        },
        "/admin/schemas": {
            "get": asked(
                "eventSchemas",
                "What the form for a test event is made from.",
                "EventSchemas",
                admin_refusals(),
            )
        },
        "/admin/publish": {
            "post": {
                **_operation(
                    "publishTestEvent",
                    "Publish one event without a service's token.",
                    {
                        **answer("Receipt", {"first": receipt}, "The event is in its channel's log.", RATE),
                        **refusals_of(admin_publish_refusals(registry, event)),
                    },
                    {
                        "name": "X-Service-Name",
                        "in": "header",
                        "description": "The event's `source`.",
                        "schema": {"type": "string", "pattern": SERVICE_NAME_PATTERN, "default": SOURCE},
                        "example": "shop",
                    },
                ),
                "requestBody": body_of(
                    {
                        JSON: content_of(
                            "Envelope", {"envelope": {"value": {"channel": "user.alice", "data": event}}}
                        )
                    }
                ),
            }
        },
    }


def _operation(name: str, about: str, responses: Schema, *parameters: Schema) -> Schema:
    return {
        "operationId": name,
        "tags": ["Operators"],
        "summary": about,
        "security": _ADMIN,
        "parameters": list(parameters),
        "responses": responses,
    }


def _metrics() -> Schema:
    text = {"schema": TEXT, "examples": {"gauge": {"value": _METRIC}}}
    openmetrics = {"schema": TEXT, "examples": {"gauge": {"value": _METRIC + "# EOF\n"}}}
    told = {
        "description": "Every metric, in the format that `Accept` asks for.",
        "content": dict(zip(_TEXTS, (text, openmetrics), strict=True)),
    }
    hidden = refused({"hidden": anywhere()["nothing_here"]}, 404)
    operation = _operation("metrics", "What the node counts, for Prometheus.", {"200": told, "404": hidden})
    return {**operation, "security": [{"metricsToken": []}, {"adminToken": []}, {}]}


def _page(columns: Iterable[str], order: str = "asc") -> list[Schema]:
    """The parameters of one page of rows that have these columns, in that order by default."""
    names = list(columns)
    return [
        _number("limit", "How many rows at most.", listing.LIMIT, 1, listing.LARGEST_LIMIT),
        _number("offset", "How many rows to pass over.", 0, 0, listing.LARGEST_OFFSET),
        {
            "name": "search",
            "in": "query",
            "description": "Only rows that have this text, in any case of letters.",
            "schema": {**TEXT, "maxLength": listing.LONGEST_SEARCH},
            "example": "alice",
        },
        _choice("sort", "The column to sort by.", names),
        _choice(
            "order", "From the smallest, or from the largest.", sorted(("asc", "desc"), key=order.__ne__)
        ),
    ]


def _choice(name: str, about: str, choices: list[str]) -> Schema:
    """A parameter that is one of these, the first one by default."""
    schema = {"type": "string", "enum": choices, "default": choices[0]}
    return {"name": name, "in": "query", "description": about, "schema": schema}


def _number(name: str, about: str, default: int, least: int, most: int) -> Schema:
    schema = {"type": "integer", "minimum": least, "maximum": most, "default": default}
    return {"name": name, "in": "query", "description": about, "schema": schema}
