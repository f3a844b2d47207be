"""What a caller may ask of Redis, and the reply that it waits for."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from courier.backplane import Origin, Outcome, Publication, Stretch
from courier.backplane.admission import Admission
from courier.backplane.reply import Reply
from courier.schemas.channels import ChannelName
from courier.schemas.position import Position, Since


@dataclass(frozen=True, slots=True, eq=False)
class Publish:
    """Append these; requests for one channel that wait together become one call."""

    channel: ChannelName
    publications: Sequence[Publication]
    known: Position | None
    reached: int
    reply: Reply[list[Outcome]] = field(default_factory=Reply)

    @property
    def subject(self) -> Hashable:
        return Publish, self.channel


@dataclass(frozen=True, slots=True, eq=False)
class Admit:
    """Count these events if all of them fit; requests of one service that wait together become one call."""

    service: str
    events: int
    limit: int
    window_seconds: int
    reply: Reply[Admission] = field(default_factory=Reply)

    @property
    def subject(self) -> Hashable:
        return Admit, self.service, self.limit, self.window_seconds


@dataclass(frozen=True, slots=True, eq=False)
class Follow:
    """Say where the log stands."""

    channel: ChannelName
    known: Position | None
    reply: Reply[Origin] = field(default_factory=Reply)

    @property
    def subject(self) -> Hashable:
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """Read from the log."""

    channel: ChannelName
    since: Since | None
    limit: int
    reply: Reply[Stretch] = field(default_factory=Reply)

    @property
    def subject(self) -> Hashable:
        return self


Request: TypeAlias = Publish | Admit | Follow | Read
