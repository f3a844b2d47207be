"""The memory backplane: one node, whose own logs are the only ones."""

import time
from collections.abc import Sequence

from courier.backplane import Feed, Outcome, Publication, Stretch, Usage
from courier.backplane.origin import Origin
from courier.backplane.reply import Reply
from courier.backplane.revocations import Revocation, Revocations
from courier.schemas.channels import ChannelName
from courier.schemas.position import Position, Since, new_epoch


class MemoryBackplane:
    """Publishes to and reads from the node's own channels, and keeps a bounded table of where retired ones
    stopped; beyond `remembered` the longest retired go.

    A channel that is not in it starts a new epoch, and its floor is the latest arrival that was forgotten
    (before that, the node's start): a subscriber that asks for older events gets a gap.
    """

    feed: Feed | None = None
    trouble: str | None = None
    usage: Usage | None = None

    def __init__(self, started_ms: int, remembered: int) -> None:
        self._floor_ms = started_ms
        self._remembered = remembered
        self._retired: dict[str, Origin] = {}
        self.revocations = Revocations(known=True)

    async def follow(self, channel: ChannelName, known: Position | None = None) -> Origin:
        if known is not None:
            return Origin(known, self._floor_ms)  # nobody else appends
        return self._retired.pop(channel.name, None) or Origin(Position(new_epoch(), 0), self._floor_ms)

    def unfollow(self, channel: ChannelName, origin: Origin) -> None:
        self._retired[channel.name] = origin
        if len(self._retired) > self._remembered:
            forgotten = self._retired.pop(next(iter(self._retired)))
            self._floor_ms = max(self._floor_ms, forgotten.floor_ms)

    async def publish(
        self,
        channel: ChannelName,
        publications: Sequence[Publication],
        by: float,
        *,
        reached: int = 0,
    ) -> list[Outcome]:
        assert self.feed is not None
        return await self.feed.append(channel, publications, by)

    def publish_nowait(
        self, channel: ChannelName, publications: Sequence[Publication], *, reached: int = 0
    ) -> Reply[list[Outcome]]:
        assert self.feed is not None
        return self.feed.append_nowait(channel, publications)

    async def revoke(self, entries: Sequence[Revocation] = ()) -> None:
        self.revocations.merge(entries, time.time())
        self.revocations.expire(time.time())

    async def disconnect(self, user_id: str) -> None:
        self.revocations.disconnect(user_id)

    async def read(self, channel: ChannelName, since: Since | None, limit: int) -> Stretch:
        assert self.feed is not None
        return await self.feed.history(channel, since, limit)
