"""Registry: the event models of one Courier, as one union that reads what services publish."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import (
    AfterValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic_core import CoreSchema, ErrorDetails, core_schema, from_json

from courier.schemas.channels import UNKNOWN_CHANNEL, ChannelName, UnknownChannelError
from courier.schemas.errors import (
    RegistryError,
    SchemaError,
    details_of,
    json_error,
    loss_error,
    schema_error,
)
from courier.schemas.events import backtest, forge, prophet, system, trading
from courier.schemas.events.base import Event
from courier.schemas.exact import is_exact, tree

RESERVED_FIELDS = frozenset({"id", "channel"})
"""What a delivered frame adds to an event's own fields."""
RESERVED_PREFIX = "courier."
"""How the types of Courier's own messages begin."""

_TYPE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_LONGEST_TYPE = 128
_TYPES_LISTED = 50


class Registry:
    """The models that may be published, each chosen by the literal `type` of an event.

    RegistryError if there are none, if two share a type, or if one cannot be delivered as what it is.
    """

    def __init__(self, models: Iterable[type[Event]]) -> None:
        self.models = _by_type(models)
        self.types = frozenset(self.models)
        self._listed = _listed(self.models)
        event = Annotated[Event, _ChosenByType(self.models)]
        adapter: TypeAdapter[Event] = TypeAdapter(event)
        self._validate_event = adapter.validator.validate_json
        self._request = create_model(
            "Request",
            __config__=ConfigDict(extra="forbid", strict=True),
            channel=Annotated[str, AfterValidator(ChannelName.parse)],
            data=event,
        )

    def __eq__(self, other: object) -> bool:
        """Registries of the same models read the same, so that what is made of one is good for the other."""
        return isinstance(other, Registry) and self.models == other.models

    def __hash__(self) -> int:
        return hash(self.types)

    def parse(self, body: bytes) -> Event:
        """The event that `body` is; JsonError when it is no JSON object, SchemaError when it is no event."""
        refusal: ValueError | None
        try:
            event: Event = self._validate_event(body)
        except ValidationError as error:
            details = details_of(error)
            refusal = json_error(details, body) or schema_error(details, (), self._listed)
        else:
            refusal = None if is_exact(body) else loss_error(tree(body), (), event.type)
            if refusal is None:
                return event
        raise refusal  # outside the handler: pydantic's error repeats what was sent, and is left behind

    def parse_request(self, body: bytes) -> tuple[ChannelName, Event]:
        """The channel and the event of a `{"channel", "data"}` envelope.

        Otherwise the first of these that applies: JsonError when `body` is no JSON object,
        UnknownChannelError when it names no channel, SchemaError when its data is no event.
        """
        refusal: ValueError | None
        try:
            request: Any = self._request.model_validate_json(body)
        except ValidationError as error:
            details = details_of(error)
            refusal = (
                json_error(details, body)
                or _channel_error(details)
                or schema_error(details, ("data",), self._listed)
            )
        else:
            exact = is_exact(body)
            refusal = None if exact else loss_error(tree(body), ("data",), request.data.type)
            if refusal is None:
                return request.channel, request.data
        if isinstance(refusal, SchemaError):
            refusal.channel = from_json(body)["channel"]
        raise refusal

    def encode(self, event: Event) -> bytes:
        """The JSON object that subscribers get, but for the `id` and `channel` that delivery adds."""
        return event.__pydantic_serializer__.to_json(event)


def registry_for(modules: Sequence[str]) -> Registry:
    """The built-in events and those of the named modules; RegistryError names the module at fault."""
    if not modules:
        return default_registry()
    found = dict.fromkeys(_BUILT_IN)
    for name in modules:
        found.update(dict.fromkeys(_imported(name)))
    return Registry(found)


@cache
def default_registry() -> Registry:
    """The registry of the built-in events alone, made once."""
    return Registry(_BUILT_IN)


class _ChosenByType:
    """The union of `models` as a pydantic annotation: one lookup by `type`, no model tried in vain."""

    def __init__(self, models: dict[str, type[Event]]) -> None:
        self.models = models

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {name: handler.generate_schema(model) for name, model in self.models.items()}
        return core_schema.tagged_union_schema(choices, discriminator="type")


def _channel_error(details: list[ErrorDetails]) -> UnknownChannelError | None:
    return UnknownChannelError(UNKNOWN_CHANNEL) if any(d["loc"] == ("channel",) for d in details) else None


def _by_type(models: Iterable[type[Event]]) -> dict[str, type[Event]]:
    chosen: dict[str, type[Event]] = {}
    for model in models:
        if fault := _fault(model):
            raise RegistryError(f"{_name(model)} {fault}")
        for event_type in _types(model):
            other = chosen.setdefault(event_type, model)
            if other is not model:
                raise RegistryError(f"{_name(model)} has the type {event_type!r}, as has {_name(other)}")
    if not chosen:
        raise RegistryError("a registry needs at least one event")
    return chosen


def _fault(model: type[Event]) -> str | None:
    """Why events of `model` could not be told apart or delivered, as the end of a sentence."""
    if model.model_rebuild(raise_errors=False) is False:
        return "names a type that is not defined"
    types = _types(model)
    if not types:
        return (
            "needs a literal type, such as Literal['acme.order_shipped']; a base of other models has no type"
        )
    for each in types:
        if not (isinstance(each, str) and len(each) <= _LONGEST_TYPE and _TYPE.fullmatch(each)):
            return (
                f"has the type {each!r:.{_LONGEST_TYPE}}: expected words of a-z, 0-9 and _, joined by dots,"
                f" such as acme.order_shipped, at most {_LONGEST_TYPE} characters"
            )
    if any(each.startswith(RESERVED_PREFIX) for each in types):
        return f"has a type that begins with {RESERVED_PREFIX!r}, which is for Courier's own messages"
    if taken := RESERVED_FIELDS.intersection(_field_names(model)):
        return f"has a field {min(taken)!r}, which Courier adds when it delivers"
    if model.model_config.get("extra") != "forbid":
        return "does not refuse unknown fields"
    return None


def _types(model: type[Event]) -> tuple[Any, ...]:
    annotation = model.model_fields["type"].annotation
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _field_names(model: type[Event]) -> Iterator[str | None]:
    for name, field in model.model_fields.items():
        yield from (name, field.alias, field.serialization_alias)
    for name, computed in model.model_computed_fields.items():
        yield from (name, computed.alias)


def _name(model: type[Event]) -> str:
    return f"{model.__module__}.{model.__qualname__}"


def _listed(types: Iterable[str]) -> str:
    known = sorted(types)
    more = f" and {len(known) - _TYPES_LISTED} more" if len(known) > _TYPES_LISTED else ""
    return ", ".join(known[:_TYPES_LISTED]) + more


def _imported(name: str) -> list[type[Event]]:
    try:
        module = import_module(name)
    except Exception as error:  # the module is somebody else's and may raise anything
        why = " ".join(str(error).split())
        raise RegistryError(f"{name!r} cannot be imported: {type(error).__name__}: {why}") from error
    models = _defined_in(module)
    if not models:
        raise RegistryError(f"{name!r} defines no events: expected subclasses of Event with a literal type")
    return models


def _defined_in(module: ModuleType) -> list[type[Event]]:
    """The events that `module` defines, itself or below it; without a word about its type it is a base."""
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Event)
        and f"{value.__module__}.".startswith(f"{module.__name__}.")
        and (value.model_fields["type"].annotation is not str or "type" in value.__annotations__)
    ]


_BUILT_IN = [model for module in (prophet, backtest, trading, forge, system) for model in _defined_in(module)]
