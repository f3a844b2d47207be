"""Event: what every event is made of, and the types its fields are made of."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from sys import intern
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    MISSING,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema, from_json

from courier.schemas.names import Id, ServiceName

JsonObject = Annotated[dict[str, Any], Field(examples=[{"pairs": ["SOL/USDC"]}])]
"""An object that Courier carries without knowing its fields, nulls included."""


def _spelled_out(value: Any) -> Any:
    if isinstance(value, datetime) or (isinstance(value, str) and value[10:11] == "T"):
        return value
    raise PydanticCustomError("datetime_type", "Input should be an ISO 8601 time with a T and a zone")


Number = Annotated[float, Field(examples=[142.5])]
"""A JSON number as a double (RFC 8259 section 6)."""
PositiveNumber = Annotated[float, Field(gt=0)]
NonNegativeNumber = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
"""A probability or a share of work done, 0 to 1."""

ErrorCode = Annotated[str, Field(description="Which error it is, for programs.", examples=["NO_DATA"])]
ErrorText = Annotated[str, Field(description="What went wrong, for people.", examples=["No prices"])]

Instant = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_spelled_out)]
"""An ISO 8601 time with a `T` and a zone; digits beyond the microsecond are cut off."""


def _now() -> datetime:
    return datetime.now(UTC)


NULL_IS_LEFT_OUT = "courier: null is left out"
"""Marks a field in pydantic's schema of a model: it takes null, and never gives it."""


def _let_null_in(schema: Any) -> Iterator[str]:
    """Let null into the fields that may be left out, in place; gives their names, done before or not."""
    definitions = {each["ref"]: each for each in schema.get("definitions", ())}
    while schema["type"] != "model-fields":
        schema = definitions[schema["schema_ref"]] if schema["type"] == "definition-ref" else schema["schema"]
    for name, field in schema["fields"].items():
        inner = field["schema"]
        if inner["type"] != "default":
            continue
        if inner["schema"]["type"] not in ("nullable", "any", "none"):
            marked = core_schema.nullable_schema(inner["schema"], metadata={NULL_IS_LEFT_OUT: True})
            inner["schema"] = marked
        if inner["schema"].get("metadata", {}).get(NULL_IS_LEFT_OUT):
            yield name


class Event(BaseModel):
    """The base of all events; a model of your own derives from it and adds a literal `type` and fields.

    What does not fit the model is a ValidationError: nothing is converted, and no unknown field is dropped. A
    field that may be left out is declared `name: T | MISSING = MISSING`; left out, it stays out. The names
    `id` and `channel` are taken: Courier adds them when it delivers.

    Where a field may be left out, null means left out, unless the field's own type takes null.

    A string under a field describes it to publishers and subscribers, in the documents and in editors.
    """

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    type: str
    source: Annotated[ServiceName, Field(examples=["shop"])]
    """The service that publishes: the same as the header `X-Service-Name`."""
    timestamp: Instant = Field(default_factory=_now)
    """When it happened: ISO 8601 with a `T` and a zone; Courier's time in UTC when left out."""
    trace_id: Id | MISSING = MISSING
    """Joins what belongs to one request, across services."""

    @model_validator(mode="after")
    def _leave_out_nulls(self) -> Self:
        values = self.__dict__
        if None in values.values():
            for name, field in type(self).model_fields.items():
                if values[name] is None and name in self._null_is_left_out:
                    values[name] = field.get_default(call_default_factory=True, validated_data=values)
                    self.__pydantic_fields_set__.discard(name)
        return self

    _null_is_left_out: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        cls._null_is_left_out = frozenset(_let_null_in(schema))
        return schema


_BEGINNING = b'{"type":"'
_TYPE_BYTES = 512


def type_of(event: bytes) -> str:
    """The type of an event as `Registry.encode` writes it; empty when none can be found. Never raises.

    The base's first field is nearly always the first that is written; what begins otherwise is parsed. The
    same type is the same text, however many events a log holds.
    """
    if event.startswith(_BEGINNING):
        start = len(_BEGINNING)
        end = event.find(b'"', start, start + _TYPE_BYTES)
        if end > 0 and (found := _written(event[start:end])):
            return found
    return _read(event)


@lru_cache(maxsize=1024)
def _written(name: bytes) -> str:
    """A type as it stands in JSON; empty when JSON writes it in another way."""
    return "" if b"\\" in name else name.decode(errors="replace")


def _read(event: bytes) -> str:
    try:
        found = from_json(event)["type"]
    except (ValueError, LookupError, TypeError):
        return ""
    return intern(found) if isinstance(found, str) and len(found) <= _TYPE_BYTES else ""
