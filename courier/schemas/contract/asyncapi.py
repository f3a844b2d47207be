"""AsyncAPI 3.0 of the WebSocket side: channels, what Courier sends and takes, and every message."""

from courier.schemas.channels import SEGMENT_SAID, ChannelKind
from courier.schemas.closing import CloseReason
from courier.schemas.contract.bundle import CONNECTION, CONTROL, DELIVERED, REFRESH, SAID, members
from courier.schemas.contract.shapes import Schema, renamed, with_nested
from courier.schemas.registry import Registry
from courier.version import VERSION

COMPONENTS = "#/components/schemas/"

JOINED = "CourierJoined"
MANY = "many"
"""The address for many channels; no kind is called so."""

_HEARTBEATS = {
    "Ping": ("ping", "Are you there? The answer is `pong`."),
    "Pong": ("pong", "The answer to `ping`."),
}

_DESCRIPTION = """\
Events out over WebSocket, never lost silently: a subscriber gets every event of its channel once and in
order, or a `courier.gap` that says where some are missing. Services publish over HTTP: `/openapi.json`.

Courier is the application: it sends events, and receives what subscribers say. Each message is one text
frame. A join that is refused is accepted and closed with a code and a reason; `x-close-codes` lists them."""

_QUERY: Schema = {
    "type": "object",
    "properties": {
        "token": {"type": "string", "description": "A subscriber's JWT."},
        "since": {
            "type": "string",
            "description": "Where to start: after a position, `<epoch>-<offset>`, or after an ISO 8601 time"
            " with a `T` and a zone. Left out: with the next event.",
            "examples": ["k3v9x0qa-42", "2026-01-31T12:00:00Z"],
        },
    },
}
_QUERY_OF_MANY: Schema = {
    "type": "object",
    "properties": {"token": {"type": "string", "description": "A subscriber's JWT."}},
}
_HEADERS: Schema = {
    "type": "object",
    "properties": {
        "Authorization": {"type": "string", "description": "`Bearer <token>`, instead of `?token=`."},
        "Sec-WebSocket-Protocol": {
            "type": "string",
            "description": "`courier.v1` for Courier's own messages, or `courier.plain`; beside one of them"
            " `courier.bearer.<token>`, for browsers, instead of `?token=`.",
            "examples": ["courier.v1, courier.bearer.<token>"],
        },
    },
}


def asyncapi(bundle: Schema, registry: Registry) -> Schema:
    """AsyncAPI 3.0 of what `json_schema` made of a registry, as if asked of the node itself."""
    kinds, security = registry.kinds, _security(registry)
    received = [REFRESH, *_HEARTBEATS]
    sent = {kind: [*_taken(bundle, kind), *members(bundle, CONTROL), *_HEARTBEATS] for kind in kinds}
    of_all = dict.fromkeys(name for kind in kinds for name in _taken(bundle, kind))
    controls = [name for name in members(bundle, CONTROL) if name != JOINED]
    sent_to_many = [*of_all, *controls, *members(bundle, CONNECTION), *_HEARTBEATS]
    received_of_many = [*members(bundle, SAID), *_HEARTBEATS]
    told = [name for union in (DELIVERED, CONTROL, CONNECTION, SAID) for name in members(bundle, union)]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Courier",
            "version": VERSION,
            "description": _DESCRIPTION,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "node": {
                "host": "{host}",
                "protocol": "ws",
                "description": "A node; `wss` where it, or the proxy before it, has a certificate.",
                "variables": {"host": {"default": "127.0.0.1:8766", "description": "Host and port."}},
                "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in security],
                "bindings": {"ws": {}},
            }
        },
        "channels": {
            **{_key(kind): _channel(kind, sent[kind], received) for kind in kinds},
            MANY: _many(sent_to_many, received_of_many),
        },
        "operations": {
            **{f"send.{kind.name}": _operation("send", _key(kind), sent[kind]) for kind in kinds},
            **{f"receive.{kind.name}": _operation("receive", _key(kind), received) for kind in kinds},
            f"send.{MANY}": _operation("send", MANY, sent_to_many),
            f"receive.{MANY}": _operation("receive", MANY, received_of_many),
        },
        "components": {
            "messages": {
                **{name: _message(bundle, name) for name in told},
                **{name: _heartbeat(name, *said) for name, said in _HEARTBEATS.items()},
            },
            "schemas": _schemas(bundle, told),
            "securitySchemes": security,
        },
        "x-close-codes": [
            {"code": each.code, "reason": each.reason, "comeBack": each.come_back.value}
            for each in CloseReason
        ],
    }


def _security(registry: Registry) -> Schema:
    return {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": token_said(registry),
        },
        "query": {
            "type": "httpApiKey",
            "name": "token",
            "in": "query",
            "description": "The same, where headers cannot be set. A browser should rather offer a"
            " subprotocol.",
        },
    }


def token_said(registry: Registry) -> str:
    """What a subscriber's token must have, as a sentence."""
    of_tokens = ("exp", "iat")
    fields = registry.claims.model_fields.items()
    required = [name for name, field in fields if field.is_required() and name not in of_tokens]
    return f"A JWT with {', '.join(f'`{name}`' for name in required)}, `exp` and `iat`."


def _key(kind: ChannelKind) -> str:
    return kind.name.replace(".", "_")


def _channel(kind: ChannelKind, sent: list[str], received: list[str]) -> Schema:
    names = ["id"] if kind.id_segments == 1 else [f"id{place + 1}" for place in range(kind.id_segments)]
    channel: Schema = {
        "address": f"/ws/{kind.name}" + "".join(f".{{{name}}}" for name in names),
        "description": kind.about or f"{kind.form}: {who_may_join(kind)}",
        "messages": {
            name: {"$ref": f"#/components/messages/{name}"} for name in dict.fromkeys([*sent, *received])
        },
        "bindings": {"ws": {"method": "GET", "query": _QUERY, "headers": _HEADERS}},
    }
    if names:
        channel["parameters"] = {
            name: {
                "description": f"{SEGMENT_SAID}; percent-encoded as `encodeURIComponent` does it.",
                "examples": ["alice", "auth0|5f7c8ec7"],
            }
            for name in names
        }
    return channel


def _many(sent: list[str], received: list[str]) -> Schema:
    return {
        "address": "/ws",
        "description": "Many channels on one connection: `courier.subscribe` begins one,"
        " `courier.unsubscribe` ends it. The subprotocol is `courier.v1`; what a channel sends is"
        " as on its own address.",
        "messages": {
            name: {"$ref": f"#/components/messages/{name}"} for name in dict.fromkeys([*sent, *received])
        },
        "bindings": {"ws": {"method": "GET", "query": _QUERY_OF_MANY, "headers": _HEADERS}},
    }


def _taken(bundle: Schema, kind: ChannelKind) -> list[str]:
    """The events that may be published to channels of the kind, by their names in the bundle."""
    names = members(bundle, DELIVERED)
    return [name for name in names if kind.takes(bundle["$defs"][name]["properties"]["type"]["const"])]


def who_may_join(kind: ChannelKind) -> str:
    """The rule of a kind, as a sentence."""
    match kind.join:
        case "everyone":
            return "Any valid token may join."
        case "owner":
            return "The user whom the first segment names may join."
        case "granted":
            return "Users with a grant for it may join."
        case "ask":
            return "Your own service says who may join."
        case _:
            return "A rule of the node says who may join."


def _operation(action: str, key: str, names: list[str]) -> Schema:
    said = "What Courier sends to a subscriber." if action == "send" else "What a subscriber may say."
    channel = f"#/channels/{key}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "summary": said,
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name in names],
    }


def _message(bundle: Schema, name: str) -> Schema:
    schema = bundle["$defs"][name]
    event_type = schema["properties"]["type"]["const"]
    message: Schema = {
        "name": event_type,
        "title": name,
        "summary": schema.get("description", ""),
        "contentType": "application/json",
        "payload": {"$ref": COMPONENTS + name},
    }
    if "examples" in schema:
        message["examples"] = [{"name": event_type, "payload": each} for each in schema["examples"]]
    return message


def _heartbeat(name: str, text: str, about: str) -> Schema:
    return {
        "name": text,
        "title": name,
        "summary": about,
        "contentType": "text/plain",
        "payload": {"type": "string", "const": text},
        "examples": [{"name": text, "payload": text}],
    }


def _schemas(bundle: Schema, names: list[str]) -> Schema:
    all_of_them = bundle["$defs"]
    chosen = {name: all_of_them[name] for name in names}
    chosen |= with_nested(chosen, all_of_them)
    return {name: renamed(schema, lambda each: each, COMPONENTS) for name, schema in chosen.items()}
