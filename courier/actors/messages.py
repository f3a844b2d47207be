"""Messages: what may enter a channel's inbox."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from courier.actors.log import Replay
from courier.actors.subscriber import Subscriber
from courier.backplane import Outcome, Publication, Record, Stretch
from courier.backplane.reply import Reply
from courier.schemas.position import Since


@dataclass(frozen=True, slots=True)
class Deliver:
    """Append these events, all or none, in this order: this node's log is the only one."""

    publications: Sequence[Publication]
    reply: Reply[list[Outcome]]

    @property
    def events(self) -> int:
        """How much room it takes."""
        return len(self.publications)


@dataclass(frozen=True, slots=True)
class Arrive:
    """These were appended to the log that the nodes share, one after the other, in one epoch."""

    records: Sequence[Record]

    @property
    def events(self) -> int:
        """How much room it takes."""
        return len(self.records)


@dataclass(frozen=True, slots=True)
class Refill:
    """What the shared log holds from where this node's log stopped, because it may have missed something."""

    floor_ms: int
    """Unix milliseconds: of what it cannot give any more, all had arrived by then."""
    stretch: Stretch
    reply: Reply[None]


@dataclass(frozen=True, slots=True)
class Read:
    """Read at most `limit` events from the log, as `Backplane.read` does."""

    since: Since | None
    limit: int
    reply: Reply[Stretch]


@dataclass(frozen=True, slots=True)
class Join:
    """Set the subscriber's cursor and add it: from here on it gets everything."""

    subscriber: Subscriber
    since: Since | None
    reply: Reply[Replay]


@dataclass(frozen=True, slots=True)
class Leave:
    """The subscriber has gone."""

    subscriber: Subscriber


@dataclass(frozen=True, slots=True)
class Trim:
    """Drop what was appended `before` then (monotonic clock), and the oldest until `free_bytes` are freed."""

    before: float = -math.inf
    free_bytes: int = 0
    reply: Reply[None] = field(default_factory=Reply)


Message: TypeAlias = Deliver | Arrive | Refill | Read | Join | Leave | Trim
