"""TypeScript: the contract as types, from its JSON Schema."""

import json
import re
from typing import Any

from courier.schemas.closing import CloseReason
from courier.schemas.contract.bundle import (
    CONNECTION,
    CONTROL,
    DELIVERED,
    DELIVERY,
    KINDS,
    PUBLISHED,
    SAID,
    members,
)
from courier.schemas.contract.shapes import HERE, Schema, with_nested
from courier.version import VERSION

_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_BASE = ("source", "timestamp", "trace_id")
_WIDTH = 110

_HEAD = """\
/**
 * The contract of Courier {version}: every event, Courier's own messages, and why it closes a WebSocket.
 *
 * Made by `courier contract typescript`; do not edit it.
 */

"""

_TAIL = """\
/** What may come as a message of a subscription, beside the texts `ping` and `pong`. */
export type CourierMessage = DeliveredEvent | ControlMessage;

export type EventType = CourierEvent["type"];

/** The event of one type: `EventOf<"backtest.progress">`. */
export type EventOf<T extends EventType> = Extract<CourierEvent, { type: T }>;

/** The same, as a subscriber gets it. */
export type DeliveredOf<T extends EventType> = EventOf<T> & Delivery;

/** The same, as a service may publish it: what Courier fills in may be left out. */
export type Publishable<T extends EventType> = T extends EventType
  ? Omit<EventOf<T>, FilledIn[T]> & Partial<Pick<EventOf<T>, FilledIn[T] & keyof EventOf<T>>>
  : never;

/** What a subscriber that was closed should do next. */
export type ComeBack = (typeof CLOSE_CODES)[number]["comeBack"];

export type CloseCode = (typeof CLOSE_CODES)[number]["code"];

export type CloseReason = (typeof CLOSE_CODES)[number]["reason"];
"""


def typescript(bundle: Schema) -> str:
    """The contract as one TypeScript module without imports; the same text for the same contract."""
    schemas = bundle["$defs"]
    events = dict(zip(members(bundle, PUBLISHED), members(bundle, DELIVERED), strict=True))
    controls = [name for union in (CONTROL, CONNECTION, SAID) for name in members(bundle, union)]
    shown = {name: _without_delivery(schemas[delivered]) for name, delivered in events.items()}
    shown |= {name: schemas[name] for name in controls}
    nested = with_nested(shown, schemas)
    base = schemas[next(iter(events.values()))]
    parts = [
        _interface("EventBase", _pick(base, _BASE, "What every event has.")),
        _interface(
            "Delivery",
            {
                **_pick(base, tuple(DELIVERY), "What Courier adds to an event when it delivers."),
                "required": list(DELIVERY),
            },
        ),
        *(_declaration(name, schema) for name, schema in nested.items()),
        *(_event(name, shown[name], base) for name in events),
        _alias("CourierEvent", list(events), "Every event: `type` tells which."),
        "/** An event as a subscriber gets it. */\nexport type DeliveredEvent = CourierEvent & Delivery;\n",
        *(_interface(name, schemas[name]) for name in controls),
        _alias(CONTROL, members(bundle, CONTROL), "What Courier says of its own."),
        _alias(
            CONNECTION,
            members(bundle, CONNECTION),
            "What Courier says beside, on a connection for many channels.",
        ),
        _alias(SAID, members(bundle, SAID), "What a subscriber may say."),
        _filled_in(schemas, events),
        _channels(bundle[KINDS]),
        _close_codes(),
        _TAIL,
    ]
    return _HEAD.format(version=VERSION) + "\n".join(parts)


def _channels(kinds: list[Schema]) -> str:
    """What a channel can be called, kind by kind."""
    names = [
        f"`{kind['name']}{'.${string}' * kind['segments']}`" if kind["segments"] else f'"{kind["name"]}"'
        for kind in kinds
    ]
    return _alias("Channel", names, "A channel's name, by its kind.")


def type_of(schema: Any) -> str:
    """The type of what a JSON Schema allows; `unknown` where that cannot be said."""
    if not isinstance(schema, dict):
        return "unknown" if schema else "never"
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(HERE)
    if "const" in schema:
        return _literal(schema["const"])
    if "enum" in schema:
        return " | ".join(dict.fromkeys(map(_literal, schema["enum"])))
    for union in ("oneOf", "anyOf"):
        if union in schema:
            return " | ".join(dict.fromkeys(map(type_of, schema[union])))
    if "allOf" in schema:
        return " & ".join(dict.fromkeys(f"({type_of(each)})" for each in schema["allOf"]))
    named = schema.get("type")
    if isinstance(named, list):
        return " | ".join(dict.fromkeys(type_of({**schema, "type": each}) for each in named))
    match named:
        case "object":
            return _object(schema)
        case "array":
            return _array(schema)
        case "integer" | "number":
            return "number"
        case "string" | "boolean" | "null":
            return str(named)
        case _:
            return "unknown"


def _object(schema: Schema) -> str:
    if "properties" in schema:
        return "{\n" + _fields(schema) + "}"
    values = schema.get("additionalProperties", True)
    patterns = schema.get("patternProperties")
    if patterns and values in (True, False):
        values = {"anyOf": list(patterns.values())}
    return f"Record<string, {type_of(values)}>"


def _array(schema: Schema) -> str:
    if "prefixItems" in schema:
        places = [type_of(each) for each in schema["prefixItems"]]
        rest = schema.get("items")
        if rest not in (None, False) and schema.get("maxItems") != len(places):
            places.append(f"...Array<{type_of(rest)}>")
        return f"[{', '.join(places)}]"
    return f"Array<{type_of(schema.get('items', True))}>"


def _literal(value: Any) -> str:
    return (
        json.dumps(value, ensure_ascii=False)
        if isinstance(value, str | int | float | bool | None)
        else "unknown"
    )


def _declaration(name: str, schema: Schema) -> str:
    """A nested schema under its name: an interface when it is an object with fields."""
    if schema.get("type") == "object" and "properties" in schema:
        return _interface(name, schema)
    return f"{_comment(schema)}export type {name} = {type_of(schema)};\n"


def _interface(name: str, schema: Schema, extends: str = "") -> str:
    return f"{_comment(schema)}export interface {name}{extends} {{\n{_fields(schema)}}}\n"


def _event(name: str, schema: Schema, base: Schema) -> str:
    """An event's own fields; the base's too, where the event means something else by them."""
    own = {
        field: said
        for field, said in schema["properties"].items()
        if field not in _BASE or said != base["properties"][field]
    }
    return _interface(name, {**schema, "properties": own}, " extends EventBase")


def _fields(schema: Schema) -> str:
    required = schema.get("required", ())
    lines = []
    for name, field in schema["properties"].items():
        key = name if _IDENTIFIER.fullmatch(name) else json.dumps(name, ensure_ascii=False)
        mark = "" if name in required else "?"
        lines.append(f"{_comment(field, constraints=True)}{key}{mark}: {type_of(field)};\n")
    return _indented("".join(lines))


def _alias(name: str, options: list[str], about: str) -> str:
    listed = "".join(f"\n  | {each}" for each in options)
    return f"/** {about} */\nexport type {name} ={listed};\n"


def _comment(schema: Any, *, constraints: bool = False) -> str:
    """The description as a doc comment; of a field also what its type cannot say."""
    if not isinstance(schema, dict):
        return ""
    lines = str(schema.get("description", "")).strip().splitlines()
    if constraints:
        lines += _constraints(schema)
    lines = [line.rstrip().replace("*/", "*\\/") for line in lines]
    one = f"/** {' '.join(lines)} */\n"
    if len(one) <= _WIDTH and "" not in lines:
        return one if lines else ""
    return "/**\n" + "".join(f" * {line}".rstrip() + "\n" for line in lines) + " */\n"


def _constraints(schema: Schema) -> list[str]:
    """What a type cannot say."""
    told = [
        _range(schema.get("minimum"), schema.get("maximum"), ""),
        *(f"more than {schema[key]}" for key in ("exclusiveMinimum",) if key in schema),
        *(f"less than {schema[key]}" for key in ("exclusiveMaximum",) if key in schema),
        *(f"a multiple of {schema[key]}" for key in ("multipleOf",) if key in schema),
        _range(schema.get("minLength"), schema.get("maxLength"), " characters"),
        _range(schema.get("minItems"), schema.get("maxItems"), " items"),
        *("no item twice" for key in ("uniqueItems",) if schema.get(key)),
        *("ISO 8601" if schema[key] == "date-time" else schema[key] for key in ("format",) if key in schema),
        *(f"default {_literal(schema[key])}" for key in ("default",) if key in schema),
    ]
    sentence = ", ".join(each for each in told if each)
    lines = [f"{sentence[0].upper()}{sentence[1:]}."] if sentence else []
    return lines + [f"Matches `{schema[key]}`." for key in ("pattern",) if key in schema]


def _range(low: float | None, high: float | None, of_what: str) -> str:
    match low, high:
        case None, None:
            return ""
        case None, _:
            return f"at most {high}{of_what}"
        case _, None:
            return f"at least {low}{of_what}"
        case _:
            return f"{low} to {high}{of_what}"


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" if line else "\n" for line in text.splitlines())


def _pick(schema: Schema, names: tuple[str, ...], about: str) -> Schema:
    fields = {name: schema["properties"][name] for name in names}
    return {
        "description": about,
        "properties": fields,
        "required": [name for name in schema["required"] if name in names],
    }


def _without_delivery(schema: Schema) -> Schema:
    fields = {name: field for name, field in schema["properties"].items() if name not in DELIVERY}
    return {**schema, "properties": fields}


def _filled_in(schemas: Schema, events: dict[str, str]) -> str:
    """Of each type the fields that subscribers always get and services may leave out."""
    lines = []
    for name, delivered in events.items():
        published = schemas[name]
        given = [each for each in schemas[delivered]["required"] if each not in DELIVERY]
        optional = [
            each for each in given if each not in published["required"] and each in published["properties"]
        ]
        names = " | ".join(map(_literal, optional)) or "never"
        lines.append(f"{_literal(published['properties']['type']['const'])}: {names};\n")
    return (
        "/** Of each type the fields that Courier fills in when they are left out. */\n"
        "export interface FilledIn {\n" + _indented("".join(lines)) + "}\n"
    )


def _close_codes() -> str:
    rows = "".join(
        f"  {{ code: {code}, reason: {_literal(reason)}, comeBack: {_literal(come_back.value)} }},\n"
        for code, reason, come_back in (each.value for each in CloseReason)
    )
    return (
        "/** Why Courier closes a WebSocket, and whether to come back. Several reasons share 1008. */\n"
        f"export const CLOSE_CODES = [\n{rows}] as const;\n"
    )
