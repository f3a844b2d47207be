"""Plan: one run of the simulation, as data: what the hub is given, and the steps."""

import math
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from courier.actors.limits import Limits
from tests.names import channel_name

CHANNELS = (channel_name("user.u1"), channel_name("user.u2"), channel_name("user.u3"))
PEERS = (0, 0, 0, 1, 1)
"""Which channel each peer subscribes to."""
MANY = (len(PEERS), len(PEERS) + 1)
"""The peers that each have one connection for all channels."""
AUDITOR = MANY[-1] + 1
"""The first of the peers that come at the end to read all that the logs hold, one a channel."""
SUBSCRIBES_A_SECOND = 4
"""Of one connection for many channels."""


@dataclass(frozen=True)
class Tick:
    """Give the other tasks so many turns."""

    turns: int


@dataclass(frozen=True)
class Settle:
    """Let everyone do what they can do at this moment, and check what must hold then."""


@dataclass(frozen=True)
class Wait:
    seconds: float


@dataclass(frozen=True)
class Publish:
    """Publishers that come at once, each with a batch. Each keeps its room so long before it uses it, and is
    cancelled after so many turns (None: never)."""

    channel: int
    batches: tuple[int, ...]
    hold_seconds: float = 0
    patience: int | None = None


@dataclass(frozen=True)
class Join:
    """A peer comes, or leaves and comes back; its wire is opened after so many turns and has so much room."""

    peer: int
    since: Literal["now", "last", "first", "ahead", "junk", "moment"] = "now"
    room: float = math.inf
    opens_after: int = 0
    patience: int | None = None
    ago_ms: int = 0


@dataclass(frozen=True)
class Toggle:
    """A peer with a connection for many channels subscribes to these, in one packet, or unsubscribes where it
    had subscribed; without a connection it makes one, whose socket has so much room."""

    peer: int
    channels: tuple[int, ...]
    since: Literal["now", "last", "first", "ahead", "junk", "moment"] = "last"
    room: float = math.inf
    ago_ms: int = 0


@dataclass(frozen=True)
class Room:
    """From here on the peer's socket takes so many bytes more."""

    peer: int
    room: float


@dataclass(frozen=True)
class Busy:
    """The next so many times, the peer's socket is being written to by the server itself."""

    peer: int
    writes: int


@dataclass(frozen=True)
class Fault:
    """The peer leaves, or goes; or its socket takes no byte any more, or raises what it should not."""

    peer: int
    fault: Literal["leave", "close", "stall", "raise"]


Point: TypeAlias = Literal["apply", "append", "start", "applied", "offer", "trim", "trimmed"]


@dataclass(frozen=True)
class Crash:
    """The channel passes the point so many times, and then raises there so many times."""

    channel: int
    point: Point
    passes: int = 0
    times: int = 1


@dataclass(frozen=True)
class SetClock:
    """The wall clock is set to so many seconds from what it should be."""

    ahead_seconds: int


Step: TypeAlias = SetClock | Tick | Settle | Wait | Publish | Join | Toggle | Room | Busy | Fault | Crash


@dataclass(frozen=True)
class Plan:
    """One run: what the hub is given, and what happens to it."""

    steps: tuple[Step, ...]
    limits: Limits = field(default_factory=Limits)
    remembered: int = 1000
    calm: bool = True
    """Before the drain no channel crashes any more, everyone is answered, and auditors read the logs."""
    recovering: frozenset[int] = frozenset()
    """The peers whose sockets take everything again soon after the drain has begun."""
    seed: int = 0
    """Of the order in which Trio runs what can run."""

    def __repr__(self) -> str:
        steps = "".join(f"        {step!r},\n" for step in self.steps if step != Tick(0))
        return (
            f"Plan(\n    (\n{steps}    ),\n    {self.limits!r},\n    remembered={self.remembered},"
            f" calm={self.calm}, recovering={self.recovering!r}, seed={self.seed},\n)"
        )
