"""Origin: what is left of a channel when the entries of its log are gone."""

from typing import NamedTuple

from courier.schemas.position import Position


class Origin(NamedTuple):
    """Where a log starts."""

    position: Position
    """The last event that was appended; offset 0 when there was none."""
    floor_ms: int
    """Of anything that arrived up to then (Unix milliseconds), the log cannot say whether it was there."""
