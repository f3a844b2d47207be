"""Bundle: the whole contract as one JSON Schema, the source of all other documents."""

import json
import re
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError

from courier.schemas import admin, answers
from courier.schemas.channels import Kinds
from courier.schemas.closing import CloseReason
from courier.schemas.contract.examples import TIME, example_of
from courier.schemas.contract.shapes import (
    HERE,
    Definitions,
    Schema,
    Shape,
    shape_of,
    with_nested,
)
from courier.schemas.control import ConnectionMessage, ControlMessage, SaidMessage, StreamClosed
from courier.schemas.events.base import Event
from courier.schemas.position import POSITION_PATTERN
from courier.schemas.registry import Registry
from courier.version import VERSION

DIALECT = "https://json-schema.org/draft/2020-12/schema"

PUBLISHED = "CourierEvent"
DELIVERED = "DeliveredEvent"
CONTROL = "ControlMessage"
CONNECTION = "ConnectionMessage"
SAID = "SubscriberMessage"
REFRESH = "CourierRefresh"
CLOSE_REASON = "CloseReason"
HISTORY = "History"
KINDS = "x-courier-kinds"
"""Where a bundle says what kinds of channels there are."""

ANSWERS: tuple[type[BaseModel], ...] = (
    answers.Receipt,
    answers.BatchReceipt,
    answers.StreamReceipt,
    answers.History,
    answers.Live,
    answers.Ready,
    answers.Health,
    admin.Stats,
    admin.Overview,
    admin.ChannelPage,
    admin.OpenedChannel,
    admin.ConnectionPage,
    admin.RefusalPage,
    admin.Closing,
    admin.Revoked,
    admin.RevocationPage,
    admin.TakenBack,
    admin.Disconnecting,
    admin.EventSchemas,
    answers.Refusal,
)

DELIVERY: Schema = {
    "id": {
        "type": "string",
        "pattern": POSITION_PATTERN,
        "description": "The event's position in the channel's log: keep the last one, and come back with it.",
        "examples": ["k3v9x0qa-42"],
    },
    "channel": {
        "type": "string",
        "format": answers.CHANNEL,
        "description": "The channel that it was published to.",
        "examples": ["user.alice"],
    },
}
"""What Courier adds to an event when it delivers."""

TAKEN = frozenset(
    {
        *("EventBase", "Delivery", "CourierMessage", "EventType", "EventOf", "DeliveredOf", "Publishable"),
        *("Channel", "FilledIn", "ComeBack", "CloseCode", "CLOSE_CODES"),
        *("Array", "Extract", "Omit", "Partial", "Pick", "Record"),
    }
)
"""Names that mean something in the TypeScript made of it, so that no model has them."""


def json_schema(registry: Registry) -> Schema:
    """The contract as one JSON Schema (draft 2020-12). It is valid for what may be published; `$defs` has
    also what is delivered, Courier's own messages, and what HTTP answers.

    An event's type, `backtest.progress`, is `BacktestProgress` there; as it is delivered,
    `DeliveredBacktestProgress`.
    """
    definitions = Definitions(TAKEN)
    for name in (
        PUBLISHED,
        DELIVERED,
        CONTROL,
        CONNECTION,
        SAID,
        CLOSE_REASON,
        *(each.__name__ for each in ANSWERS),
    ):
        definitions.reserve(name)
    told, on_connections, taken = map(get_args, (ControlMessage, ConnectionMessage, SaidMessage))
    controls = [(_type_of(model), model) for model in (*told, *on_connections, StreamClosed, *taken)]
    for event_type, _ in controls:
        definitions.reserve(pascal(event_type))
    events = [
        _Entry(event_type, model, *_names(definitions, event_type))
        for event_type, model in registry.models.items()
    ]
    for event in events:
        _put_event(definitions, registry, event)
    for event_type, model in controls:
        said = "validation" if model in taken else "serialization"
        schema = definitions.put(pascal(event_type), shape_of(model, said))  # type: ignore[arg-type]
        if model in taken:
            schema["required"] = ["type", *schema["required"]]
        schema["properties"]["type"].pop("default", None)
        schema["examples"] = [example_of(schema, definitions.schemas)]
    for model in ANSWERS:
        definitions.put(model.__name__, shape_of(model, "serialization"))
    unions = {
        PUBLISHED: ("An event as a service publishes it.", [each.published for each in events]),
        DELIVERED: ("An event as subscribers get it.", [each.delivered for each in events]),
        CONTROL: ("What Courier says of its own.", [pascal(_type_of(model)) for model in told]),
        CONNECTION: (
            "What Courier says beside, on a connection for many channels.",
            [pascal(_type_of(model)) for model in on_connections],
        ),
        SAID: ("What a subscriber may say.", [pascal(_type_of(model)) for model in taken]),
    }
    for name, (description, members) in unions.items():
        definitions.schemas[name] = {"description": description, "oneOf": [_ref(each) for each in members]}
    definitions.schemas[CLOSE_REASON] = {
        "description": "Why Courier closes a WebSocket: the reason of the close frame.",
        "type": "string",
        "enum": [each.reason for each in CloseReason],
    }
    definitions.schemas[HISTORY]["properties"]["events"]["items"] = _ref(DELIVERED)  # not any object
    _put_kinds(definitions.schemas, registry.kinds)
    return {
        "$schema": DIALECT,
        "$id": f"urn:courier:contract:{VERSION}",
        "title": "Courier",
        "description": f"The contract of Courier {VERSION}, made from its models.",
        **_ref(PUBLISHED),
        KINDS: [
            {
                "name": kind.name,
                "segments": kind.id_segments,
                "events": list(kind.events),
                "publishers": list(kind.publishers),
            }
            for kind in registry.kinds
        ],
        "$defs": definitions.schemas,
    }


def type_schemas(bundle: Schema) -> dict[str, Schema]:
    """Of each type, an event's as it is published or one of Courier's own, a schema that stands alone."""
    schemas = bundle["$defs"]
    unions = PUBLISHED, CONTROL, CONNECTION, SAID
    names = [name for union in unions for name in members(bundle, union)]
    return {
        schemas[name]["properties"]["type"]["const"]: {
            "$schema": DIALECT,
            "title": name,
            **schemas[name],
            "$defs": with_nested(schemas[name], schemas),
        }
        for name in names
    }


def members(bundle: Schema, union: str) -> list[str]:
    """The names of the schemas that a union chooses from."""
    return [each["$ref"].removeprefix(HERE) for each in bundle["$defs"][union]["oneOf"]]


def pascal(event_type: str) -> str:
    """`trade.order_placed` as `TradeOrderPlaced`, a name in any language."""
    name = "".join(word[:1].upper() + word[1:] for word in re.findall("[A-Za-z0-9]+", event_type))
    return name if name[:1].isalpha() else f"Event{name}"


class _Entry(NamedTuple):
    event_type: str
    model: type[Event]
    published: str
    delivered: str


def _names(definitions: Definitions, event_type: str) -> tuple[str, str]:
    name = pascal(event_type)
    return definitions.reserve(name), definitions.reserve(f"Delivered{name}")


def _put_event(definitions: Definitions, registry: Registry, event: _Entry) -> None:
    own = {"type": "string", "const": event.event_type}
    published = definitions.put(event.published, _typed(shape_of(event.model, "validation"), own, {}))
    shape = _typed(shape_of(event.model, "serialization"), own, DELIVERY)
    delivered = definitions.put(event.delivered, shape, prefix="Delivered")
    example = _example(event.model, published, definitions.schemas)
    if example is None:
        return
    published["examples"] = [example]
    channel = "global" if event.event_type.startswith("system.") else "user.alice"
    said = json.loads(registry.encode(event.model.model_validate_json(json.dumps(example))))
    delivered["examples"] = [{"id": "k3v9x0qa-42", "channel": channel, **said}]


def _put_kinds(schema: Any, kinds: Kinds) -> None:
    """Say, in place, what channels and kinds there are."""
    if isinstance(schema, list):
        for each in schema:
            _put_kinds(each, kinds)
    elif isinstance(schema, dict):
        match schema.get("format"):
            case answers.CHANNEL:
                del schema["format"]
                schema["pattern"] = kinds.pattern
            case answers.KIND:
                del schema["format"]
                schema["enum"] = list(kinds.names)
        for each in schema.values():
            _put_kinds(each, kinds)


def _typed(shape: Shape, own: Schema, before: Schema) -> Shape:
    """The shape with exactly one type, and with what delivery adds."""
    properties = {**before, **shape.schema["properties"], "type": own}
    required = dict.fromkeys([*before, *shape.schema.get("required", []), "type"])
    # `type` first, as people read it; in a delivered event Courier's own fields come before it.
    order = dict.fromkeys([*before, "type", *properties])
    return Shape(
        {
            "type": "object",
            **({"description": shape.schema["description"]} if "description" in shape.schema else {}),
            **{key: value for key, value in shape.schema.items() if key not in ("type", "description")},
            "properties": {name: properties[name] for name in order},
            "required": [name for name in order if name in required],
        },
        shape.nested,
    )


def _example(model: type[Event], schema: Schema, schemas: dict[str, Schema]) -> Any:
    """An example that the model takes; None when ours does not satisfy a rule of its own."""
    example = {**example_of(schema, schemas), "timestamp": TIME}
    try:
        model.model_validate_json(json.dumps(example))
    except ValidationError:
        return None
    return example


def _type_of(model: Any) -> str:
    return str(model.model_fields["type"].default)


def _ref(name: str) -> Schema:
    return {"$ref": HERE + name}
