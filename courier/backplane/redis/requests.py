"""What a caller may ask of Redis, and the reply that it waits for."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from courier.backplane import Origin, Outcome, Publication, Stretch
from courier.backplane.admission import Admission
from courier.backplane.reply import Reply
from courier.backplane.revocations import Revocation
from courier.schemas.channels import ChannelName
from courier.schemas.position import Since


@dataclass(frozen=True, slots=True, eq=False)
class Publish:
    """Append these; requests for one channel that wait together become one call."""

    channel: ChannelName
    publications: Sequence[Publication]
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
    reply: Reply[Origin] = field(default_factory=Reply)

    @property
    def subject(self) -> Hashable:
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """Read from the log; `Behind` when that stands below what the node has seen of it."""

    channel: ChannelName
    since: Since | None
    limit: int
    vouched: bool = True
    """Whether Redis has held logs since the moment of a position without a log (`UNBORN`)."""
    reply: Reply[Stretch] = field(default_factory=Reply)

    @property
    def subject(self) -> Hashable:
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Began:
    """Say since when Redis has held logs, in Unix milliseconds."""

    reply: Reply[int] = field(default_factory=Reply)

    @property
    def subject(self) -> Hashable:
        return Began


class Seen(NamedTuple):
    """What a look at the revocations has found."""

    last: str
    """The id of the last entry; empty when there are no entries."""
    whole: bool
    """Whether `texts` are all that there are, rather than those after what was seen before."""
    texts: list[bytes]


@dataclass(frozen=True, slots=True, eq=False)
class Revoke:
    """Remember these revocations, tell all nodes of them and of some words, and say what else there is.

    More than one may be on its way: each is done as often as it likes.
    """

    seen: str
    """The last entry that was seen; empty when none was."""
    entries: Sequence[Revocation] = ()
    words: Sequence[str] = ()
    reply: Reply[Seen] = field(default_factory=Reply)

    @property
    def subject(self) -> Hashable:
        return self


class Behind(Exception):
    """The log has lost events, and is to begin a new epoch before anything is read."""


Request: TypeAlias = Publish | Admit | Follow | Read | Began | Revoke
