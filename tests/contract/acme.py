"""Events of a user's own, with all that a model may have."""

from datetime import date
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

from pydantic import MISSING, BaseModel, ConfigDict, Field, computed_field

from courier.schemas import Event


class Colour(Enum):
    """Which colour."""

    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Address(BaseModel):
    """Where it goes."""

    model_config = ConfigDict(extra="forbid")

    street: str
    country: str = "CH"
    next_of_kin: Optional["Address"] = None


class BacktestProgress(BaseModel):
    """Has the name that a built-in event has in the documents."""

    done: bool


class Card(BaseModel):
    kind: Literal["card"]
    last_four: Annotated[str, Field(pattern="^[0-9]{4}$")]


class Cash(BaseModel):
    kind: Literal["cash"]


class OrderShipped(Event):
    """An order is on its way. */ does not end the comment."""

    type: Literal["acme.order_shipped"]
    order_number: UUID
    """Which one."""
    to: Address
    colour: Colour
    sizes: list[Size]
    by: Annotated[Card | Cash, Field(discriminator="kind")]
    weight: Annotated[float, Field(gt=0, le=50, multiple_of=0.5)]
    notes: str | None
    gift: str | None = None
    tags: Annotated[list[Annotated[str, Field(max_length=10)]], Field(min_length=1, max_length=5)]
    prices: dict[str, Decimal]
    counts: dict[str, int] = Field(default={})
    place: tuple[float, float]
    code: int | str
    day: date
    progress: BacktestProgress
    any_json: Any
    odd_name: Annotated[int | MISSING, Field(alias="odd-name")] = MISSING
    matrix: list[list[int | None]]

    @computed_field
    def total(self) -> int:
        """How many sizes."""
        return len(self.sizes)


class Twice(Event):
    """Two types of one model."""

    type: Literal["acme.opened", "acme.closed"]
    shop: str


class Patterned(Event):
    """Nobody can guess an example of it."""

    type: Literal["acme.patterned"]
    serial: Annotated[str, Field(pattern=r"^[A-Z]{3}-\d{4}$")]


class Odd(Event):
    """Has types that are no names in most languages, and meet others as names."""

    type: Literal["3d.printed", "acme_opened"]


class SelfMade(Event):
    """Contains itself."""

    type: Literal["acme.tree"]
    children: list["SelfMade"] = Field(default=[])
