"""Event: what every event is made of, and the types its fields are made of."""

from collections.abc import Iterator
from datetime import UTC, datetime
from math import isfinite
from typing import Annotated, Any, Self

from pydantic import (
    MISSING,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError

from courier.schemas.names import Id, ServiceName

JsonObject = Annotated[dict[str, Any], Field(examples=[{"pairs": ["SOL/USDC"]}])]
"""An object that Courier carries without knowing its fields: whole numbers of any size and nulls included."""


_MANTISSA_BITS = 53


def _exact(value: Any) -> Any:
    # `value & -value` is the lowest bit set, so the difference counts the bits that a mantissa must hold.
    if value.__class__ is int and value.bit_length() - (value & -value).bit_length() >= _MANTISSA_BITS:
        raise PydanticCustomError("inexact_number", "Input should be a number that a double can hold exactly")
    return value


def _spelled_out(value: Any) -> Any:
    if isinstance(value, datetime) or (isinstance(value, str) and value[10:11] == "T"):
        return value
    raise PydanticCustomError("datetime_type", "Input should be an ISO 8601 time with a T and a zone")


Number = Annotated[float, Field(examples=[142.5]), BeforeValidator(_exact)]
"""A JSON number as a double (RFC 8259 section 6); a whole number that a double would round is refused."""
PositiveNumber = Annotated[float, Field(gt=0), BeforeValidator(_exact)]
NonNegativeNumber = Annotated[float, Field(ge=0), BeforeValidator(_exact)]
Fraction = Annotated[float, Field(ge=0, le=1)]
"""A probability or a share of work done, 0 to 1."""

ErrorCode = Annotated[str, Field(description="Which error it is, for programs.", examples=["NO_DATA"])]
ErrorText = Annotated[str, Field(description="What went wrong, for people.", examples=["No prices"])]

Instant = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_spelled_out)]
"""An ISO 8601 time with a `T` and a zone; digits beyond the microsecond are cut off."""


def _now() -> datetime:
    return datetime.now(UTC)


class Event(BaseModel):
    """The base of all events; a model of your own derives from it and adds a literal `type` and fields.

    What does not fit the model is a ValidationError: nothing is converted, no unknown field is dropped, and
    a number that is not finite is refused however deep it lies, because JSON could carry it only as null. A
    field that may be left out is declared `name: T | MISSING = MISSING`; left out, it stays out. The names
    `id` and `channel` are taken: Courier adds them when it delivers.

    A string under a field describes it to whoever publishes or subscribes, in the documents and in editors.
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
    def _refuse_what_is_not_finite(self) -> Self:
        for name, value in self.__dict__.items():
            if value.__class__ in _SCALARS or (value.__class__ is float and isfinite(value)):
                continue
            for path in _not_finite(value):
                raise ValidationError.from_exception_data(
                    type(self).__name__, [{"type": "finite_number", "loc": (name, *path), "input": None}]
                )
        return self


_SCALARS = frozenset({str, int, bool, datetime, type(MISSING)})

_Path = tuple[str | int, ...]


def _not_finite(value: object, path: _Path = ()) -> Iterator[_Path]:
    """Where in `value` the numbers are that JSON has no spelling for (RFC 8259 section 6)."""
    match value:
        case float() if not isfinite(value):
            yield path
        case dict():
            for key, item in value.items():
                yield from _not_finite(item, (*path, key))
        case list() | tuple() | set() | frozenset():
            for index, item in enumerate(value):
                yield from _not_finite(item, (*path, index))
        case BaseModel():
            yield from _not_finite(value.__dict__, path)
