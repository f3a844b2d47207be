"""Position: where an event stands in its channel's log."""

import re
import secrets
import string
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self

EPOCH_LENGTH = 8
_EPOCH_ALPHABET = string.digits + string.ascii_lowercase
_EPOCHS = len(_EPOCH_ALPHABET) ** EPOCH_LENGTH

UNBORN = "0" * EPOCH_LENGTH
"""The epoch of a channel that has no log yet. The offset is then the moment at which that was seen, in Unix
milliseconds."""

POSITION_PATTERN = r"^[a-z0-9]{8}-(0|[1-9][0-9]{0,17})$"
_POSITION = re.compile(r"([a-z0-9]{8})-(0|[1-9][0-9]{0,17})")

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Position(NamedTuple):
    """An offset within one life of a channel's log; offset 0 is the place before the first event.

    With the epoch `UNBORN` it is a moment at which there was no log.

    Positions of one epoch are ordered by offset; positions of two epochs have no order that means anything.
    """

    epoch: str
    offset: int

    def __str__(self) -> str:
        return f"{self.epoch}-{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The position that `text` spells, as `str()` would; ValueError for anything else."""
        match = _POSITION.fullmatch(text)
        if match is None:
            raise ValueError("expected a position, <epoch>-<offset>, such as k3v9x0qa-42")
        return cls(match[1], int(match[2]))


class Moment(NamedTuple):
    """A point in time: whole milliseconds since 1970-01-01T00:00:00Z, and the text that it came as."""

    milliseconds: int
    text: str = ""

    def __str__(self) -> str:
        return self.text


Since = Position | Moment
"""Where a subscriber wants to start: after a position, or after a moment of Courier's clock."""


def new_epoch() -> str:
    """Eight random characters of [a-z0-9], 41 bits: two lives of one log don't meet by accident.

    It is never `UNBORN`.
    """
    number = 1 + secrets.randbelow(_EPOCHS - 1)  # asked of the system once, and not for each character
    characters = []
    for _ in range(EPOCH_LENGTH):
        number, digit = divmod(number, len(_EPOCH_ALPHABET))
        characters.append(_EPOCH_ALPHABET[digit])
    return "".join(characters)


def parse_since(text: str) -> Since:
    """The position or the ISO 8601 time (a `T`, a zone) that `text` spells; ValueError for anything else.

    A time is rounded down to the millisecond. A space is read as the plus sign that it was before a form
    decoder saw it (`2026-01-01T00:00:00 02:00`).
    """
    if _POSITION.fullmatch(text):
        return Position.parse(text)
    return Moment(_milliseconds(text), text)


def _milliseconds(text: str) -> int:
    try:
        time = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        time = None
    if time is None or time.tzinfo is None or "T" not in text:
        raise ValueError(
            "expected a position, <epoch>-<offset>, or an ISO 8601 time with a T and a zone,"
            " such as 2026-01-01T00:00:00Z"
        )
    return (time - _UNIX_EPOCH) // _MILLISECOND
