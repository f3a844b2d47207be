"""Backplane: where a channel's log is when more than one node, or more than one life of it, needs it.

A node's `Hub` asks its backplane for everything that is not in its own logs. With the memory backplane the
node stands alone: what is published goes to its own channel, and what is read comes from it. With Redis the
log is a stream that all nodes share, and a node's own log is what it has been fed of that stream.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from courier.backplane.errors import BackplaneAway, BackplaneRefused, DiskRefused, InboxFull, KeyConflict
from courier.backplane.origin import Origin
from courier.backplane.reply import Reply
from courier.backplane.revocations import Revocation, Revocations
from courier.schemas.channels import ChannelName
from courier.schemas.control import GapReason
from courier.schemas.position import Position, Since


class Publication(NamedTuple):
    """One event on its way into a log."""

    event: bytes
    """A JSON object in UTF-8, on one line."""
    key: str = ""
    """Its idempotency key, unique within the channel: the service's name and what it chose. Empty: none."""
    digest: bytes = b""
    """What tells a repeat from another event under the same key."""
    event_type: str = ""


class Appended(NamedTuple):
    """What became of one event: fixed in the step that appended it."""

    position: Position
    arrived_ms: int
    """Unix milliseconds."""
    clients_reached: int
    """Subscribers that the channel had at that moment on the node that published."""
    deduplicated: bool = False
    """The key was known: this is what became of the event when it was published first."""


Outcome = Appended | KeyConflict
"""Of one publication among others: appended, or refused because its key belongs to another event."""


class Record(NamedTuple):
    """One event as a log keeps it."""

    position: Position
    arrived_ms: int
    """Unix milliseconds; never smaller than the record's before it."""
    event: bytes


class Stretch(NamedTuple):
    """A piece of a log, from where somebody wanted to read."""

    start: Position
    """The position just before the first record: where the reader stands."""
    head: Position
    """The last event of the whole log."""
    records: Sequence[Record]
    """What follows `start`, without a hole; there may be more up to `head`."""
    gap: GapReason | None = None
    """Why `start` is not where the reader wanted to begin: `expired` or `unknown_position`."""

    @property
    def more(self) -> bool:
        """Whether records follow that are not in `records`."""
        return self.start.offset + len(self.records) < self.head.offset


class Usage(NamedTuple):
    """How full it is where the nodes share their logs."""

    used_bytes: int
    limit_bytes: int
    """0: there is no limit."""


class Backplane(Protocol):
    """What a node's hub asks. Each call may be made by many tasks at once, for the same channel too.

    Whatever needs the network raises `BackplaneAway` within a few seconds when it cannot be done now.
    """

    feed: "Feed | None"
    """The node that it works for; set once, by `open_hub`, before anything is followed."""

    @property
    def trouble(self) -> str | None:
        """Why it cannot be used now, as a short sentence for people; None while it can. Noticed within a
        second, without traffic too."""

    @property
    def usage(self) -> Usage | None:
        """As it was seen last; None when it is unknown, or nothing is shared."""

    async def follow(self, channel: ChannelName, known: Position | None = None) -> Origin:
        """Where the channel's log stands; a new epoch when nothing is known of it.

        From the return on, until `unfollow`, the feed gets what is appended after that position. `known` is
        the last event that the node has of the channel. When the log, in the same epoch, is behind that or
        behind what the backplane has seen of it, events are lost that were acknowledged: then the log starts
        a new epoch, and all who follow it are told.
        """

    def unfollow(self, channel: ChannelName, origin: Origin) -> None:
        """The node's own log has run out: `origin` is where it stopped. The feed gets nothing more of it."""

    async def publish(
        self,
        channel: ChannelName,
        publications: Sequence[Publication],
        by: float,
        *,
        reached: int = 0,
    ) -> list[Outcome]:
        """Append the publications one after the other; an outcome for each, in order.

        All of them or none, but for those whose key is known; the keys of one call differ. `by`
        (`trio.current_time`) is until when to wait for room; then `InboxFull`. After that nothing is refused
        for lack of it. `reached` is how many subscribers the receipts speak of. A position that the node has
        seen is not given again, as in `follow`.
        """

    def publish_nowait(
        self, channel: ChannelName, publications: Sequence[Publication], *, reached: int = 0
    ) -> Reply[list[Outcome]]:
        """The same, when there is room at once; else `trio.WouldBlock`, and nothing is done. The reply may
        have been given already."""

    async def read(self, channel: ChannelName, since: Since | None, limit: int) -> Stretch:
        """At most `limit` records: those after `since`, oldest first; with None the newest. Fewer when they
        are large.

        What cannot be read any more is a gap, and the stretch then starts with the oldest record there is.
        """

    revocations: Revocations
    """As far as this node knows them."""

    async def revoke(self, entries: Sequence[Revocation] = ()) -> None:
        """Remember these on all nodes; returns when they are kept, and count on this one. Others hear of them
        within a second, or when they can reach the backplane again."""

    async def disconnect(self, user_id: str) -> None:
        """Have `revocations.disconnect` called on all nodes that can be reached."""


class Feed(Protocol):
    """What a backplane asks of the node that it was made for."""

    async def append(
        self, channel: ChannelName, publications: Sequence[Publication], by: float
    ) -> list[Outcome]:
        """Append to the node's own log, as `Backplane.publish` says."""

    def append_nowait(
        self, channel: ChannelName, publications: Sequence[Publication]
    ) -> Reply[list[Outcome]]:
        """The same, as `Backplane.publish_nowait` says."""

    async def history(self, channel: ChannelName, since: Since | None, limit: int) -> Stretch:
        """Read from the node's own log, as `Backplane.read` says."""

    def arrived(self, channel: ChannelName, records: Sequence[Record]) -> None:
        """These were appended to the shared log, one after the other, in one epoch. Never waits."""

    def doubt(self, channel: ChannelName | None = None) -> None:
        """Something may have been missed, of this channel or (None) of any: look. Never waits."""


__all__ = [
    "Appended",
    "Backplane",
    "BackplaneAway",
    "BackplaneRefused",
    "DiskRefused",
    "Feed",
    "InboxFull",
    "KeyConflict",
    "Origin",
    "Outcome",
    "Publication",
    "Record",
    "Stretch",
    "Usage",
]
