"""Control messages: what Courier itself says on a WebSocket, under types that begin with `courier.`."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from courier.schemas.position import POSITION_PATTERN

PositionText = Annotated[str, Field(pattern=POSITION_PATTERN)]


class GapReason(StrEnum):
    """Why some events cannot be replayed."""

    EXPIRED = "expired"
    """The log has dropped them: too old, or too many came since."""
    UNKNOWN_POSITION = "unknown_position"
    """The position is of another life of the log, or ahead of this one: nobody can say what was missed."""
    OVERRUN = "overrun"
    """A subscriber that was connected fell so far behind that its next event has left the log."""


class Gap(BaseModel):
    """Tells a subscriber that events are missing between what it asked for and what comes next."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    type: Literal["courier.gap"] = "courier.gap"
    channel: str
    requested: str
    """The position or the time that the subscriber came from, as it gave it."""
    resumed_from: PositionText
    """The position just before the next event delivered: safe to keep as the next `since`."""
    reason: GapReason

    def to_json(self) -> bytes:
        """The message as it goes into a text frame: compact JSON in UTF-8."""
        return self.model_dump_json().encode()
