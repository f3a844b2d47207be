"""Registry: what one Courier knows: its event models, its kinds of channels, and what its tokens say."""

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

from courier.schemas.channels import ChannelKind, ChannelName, Kinds, UnknownChannelError
from courier.schemas.claims import SubscriberClaims
from courier.schemas.errors import (
    RegistryError,
    SchemaError,
    details_of,
    json_error,
    loss_error,
    schema_error,
)
from courier.schemas.events import system
from courier.schemas.events.base import Event
from courier.schemas.exact import is_exact, tree

RESERVED_FIELDS = frozenset({"id", "channel"})
"""What a delivered frame adds to an event's own fields."""
RESERVED_PREFIX = "courier."
"""How the types of Courier's own messages begin."""

_TYPE = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
_LONGEST_TYPE = 128
_TYPES_LISTED = 50


DEFAULT_MODULES = ("courier.lumiere",)
"""What a node knows when no other modules are named."""


class Registry:
    """The models that may be published, each chosen by the literal `type` of an event; the kinds of channels;
    and the model of a subscriber's claims.

    RegistryError if there are no models, if two share a type, or if one cannot be delivered as what it is;
    for kinds that cannot be told apart; and for claims models of which none derives from all others.
    """

    def __init__(
        self,
        models: Iterable[type[Event]],
        kinds: Iterable[ChannelKind] = (),
        claims: Iterable[type[SubscriberClaims]] = (),
    ) -> None:
        self.models = _by_type(models)
        self.kinds = Kinds(kinds)
        self.claims = _most_derived(claims)
        self.types = frozenset(self.models)
        self._listed = _listed(self.models)
        event = Annotated[Event, _ChosenByType(self.models)]
        adapter: TypeAdapter[Event] = TypeAdapter(event)
        self._validate_event = adapter.validator.validate_json
        self._request = create_model(
            "Request",
            __config__=ConfigDict(extra="forbid", strict=True),
            channel=Annotated[str, AfterValidator(self.kinds.parse)],
            data=event,
        )

    def __eq__(self, other: object) -> bool:
        """Registries of the same models read the same, so that what is made of one is good for the other."""
        return (
            isinstance(other, Registry)
            and self.models == other.models
            and self.kinds == other.kinds
            and self.claims is other.claims
        )

    def __hash__(self) -> int:
        return hash((self.types, self.kinds))

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
                or self._channel_error(details)
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

    def _channel_error(self, details: list[ErrorDetails]) -> UnknownChannelError | None:
        wrong = any(each["loc"] == ("channel",) for each in details)
        return UnknownChannelError(self.kinds.unknown) if wrong else None

    def encode(self, event: Event) -> bytes:
        """The JSON object that subscribers get, but for the `id` and `channel` that delivery adds."""
        return event.__pydantic_serializer__.to_json(event)


def registry_for(modules: Sequence[str]) -> Registry:
    """What the named modules declare, and the `system.*` events and kinds that each node has.

    RegistryError names the module at fault.
    """
    return default_registry() if tuple(modules) == DEFAULT_MODULES else _registry_of(modules)


@cache
def default_registry() -> Registry:
    """What a node knows when no other modules are named; made once."""
    return _registry_of(DEFAULT_MODULES)


def _registry_of(modules: Sequence[str]) -> Registry:
    found = _Declared()
    for name in modules:
        found.add(_imported(name))
    found.models.update(dict.fromkeys(_SYSTEM))
    return Registry(found.models, found.kinds, found.claims)


class _Declared:
    """What modules declare, in the order in which it was found, each once."""

    def __init__(self) -> None:
        self.models: dict[type[Event], None] = {}
        self.kinds: dict[ChannelKind, None] = {}
        self.claims: dict[type[SubscriberClaims], None] = {}

    def add(self, module: ModuleType) -> None:
        """RegistryError for a module that declares nothing."""
        models, claims = _defined_in(module), _claims_in(module)
        kinds = [each for each in vars(module).values() if isinstance(each, ChannelKind)]
        if not (models or kinds or claims):
            raise RegistryError(
                f"{module.__name__!r} declares nothing: expected subclasses of Event with a literal type,"
                " or kinds of channels"
            )
        self.models.update(dict.fromkeys(models))
        self.kinds.update(dict.fromkeys(kinds))
        self.claims.update(dict.fromkeys(claims))


def _most_derived(models: Iterable[type[SubscriberClaims]]) -> type[SubscriberClaims]:
    """The one that derives from all the others."""
    chosen: type[SubscriberClaims] = SubscriberClaims
    found = list(models)
    for model in found:
        if issubclass(model, chosen):
            chosen = model
    for model in found:
        if not issubclass(chosen, model):
            raise RegistryError(
                f"the claims models {_name(chosen)} and {_name(model)} do not derive from each other:"
                " let one derive from the other"
            )
    return chosen


class _ChosenByType:
    """The union of `models` as a pydantic annotation: one lookup by `type`, no model tried in vain."""

    def __init__(self, models: dict[str, type[Event]]) -> None:
        self.models = models

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {name: handler.generate_schema(model) for name, model in self.models.items()}
        return core_schema.tagged_union_schema(choices, discriminator="type")


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


def _name(model: type[Event | SubscriberClaims]) -> str:
    return f"{model.__module__}.{model.__qualname__}"


def _listed(types: Iterable[str]) -> str:
    known = sorted(types)
    more = f" and {len(known) - _TYPES_LISTED} more" if len(known) > _TYPES_LISTED else ""
    return ", ".join(known[:_TYPES_LISTED]) + more


def _imported(name: str) -> ModuleType:
    try:
        return import_module(name)
    except RegistryError:
        raise  # of a kind, which names its module
    except Exception as error:  # the module is somebody else's and may raise anything
        why = " ".join(str(error).split())
        raise RegistryError(f"{name!r} cannot be imported: {type(error).__name__}: {why}") from error


def _is_of(value: Any, module: ModuleType) -> bool:
    """Whether a class is the module's own, or of a module below it."""
    return isinstance(value, type) and f"{value.__module__}.".startswith(f"{module.__name__}.")


def _defined_in(module: ModuleType) -> list[type[Event]]:
    """The events that `module` defines, itself or below it; without a word about its type it is a base."""
    return [
        value
        for value in vars(module).values()
        if _is_of(value, module)
        and issubclass(value, Event)
        and (value.model_fields["type"].annotation is not str or "type" in value.__annotations__)
    ]


def _claims_in(module: ModuleType) -> list[type[SubscriberClaims]]:
    return [
        value
        for value in vars(module).values()
        if _is_of(value, module) and issubclass(value, SubscriberClaims)
    ]


_SYSTEM = _defined_in(system)
