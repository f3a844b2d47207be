"""RedisBackplane: what a hub asks of the logs that all nodes share."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import trio

from courier.backplane import BackplaneAway, Feed, Origin, Outcome, Publication, Stretch, Usage
from courier.backplane.admission import Admission
from courier.backplane.known import Known
from courier.backplane.redis.calls import Calls
from courier.backplane.redis.connection import open_client
from courier.backplane.redis.inspection import Inspector
from courier.backplane.redis.listener import Listener
from courier.backplane.redis.options import RedisOptions
from courier.backplane.redis.probes import Probes
from courier.backplane.redis.pump import Pump
from courier.backplane.redis.requests import Admit, Began, Behind, Follow, Publish, Read, Revoke, Seen
from courier.backplane.reply import Reply
from courier.backplane.revocations import Revocation, Revocations
from courier.backplane.room import Room
from courier.logs import get_logger
from courier.redis_url import RedisUrl, parse_redis_url
from courier.schemas.channels import ChannelName
from courier.schemas.position import UNBORN, Position, Since, new_epoch

logger = get_logger(__name__)

WRITES_AT_ONCE = 1000
LOOK_SECONDS = 10.0
"""How often revocations are read even when the feed has brought none."""
AGAIN_SECONDS = 0.3
"""How long to wait after a read that failed."""
DISCONNECT = "disconnect "
"""How a word to all nodes begins that names a user."""
READS_AT_ONCE = 4
"""A page may weigh megabytes; the more of them come at once, the more the node holds at once."""


class _Following:
    """From the first `follow` of a channel to its `unfollow`. A call of `follow` that outlasts it means
    nothing to the next one."""

    __slots__ = ("calls", "succeeded")

    def __init__(self) -> None:
        self.calls = 0
        """How many are under way."""
        self.succeeded = False


class RedisBackplane:
    """Logs in Redis, for all nodes. Made by `open_redis`.

    Every call may raise `BackplaneAway`, at the latest some three seconds after it was made.
    """

    def __init__(
        self, url: RedisUrl, options: RedisOptions, fault: Callable[[Exception], None] = lambda _: None
    ) -> None:
        self.feed: Feed | None = None
        open_one = partial(open_client, url, options)
        node = new_epoch() + new_epoch()
        self._known = Known(options.channels)
        calls, probes = Calls(url, options, node, self._known), Probes(url, options, node)
        pages = Probes(url, options, f"{node}:pages")
        self._room = Room(options.inbox_events)
        self._look_again_seconds = options.look_again_seconds
        pump = partial(Pump, open_one, calls, options, fault=fault)
        self._writes = pump(calls_at_once=WRITES_AT_ONCE, probe=probes.publish, watch=self._watch)
        # The count of a rate does not wait for what others append.
        self._windows = pump(calls_at_once=WRITES_AT_ONCE, probe=probes.admit)
        # Pages go over a connection of their own: no publisher waits for them.
        self._reads = pump(calls_at_once=READS_AT_ONCE, probe=pages.read, deed="read")
        self._listener = Listener(open_one, calls, probes, self._known, lambda: self.feed, self._told)
        self.revocations = Revocations(known=False)
        self._seen = ""
        """The last entry of the shared revocations that this node has read."""
        self._look = trio.Event()
        self._inspector = Inspector(open_one)
        self._followings: dict[ChannelName, _Following] = {}

    async def follow(self, channel: ChannelName, known: Position | None = None) -> Origin:
        """As the protocol says. What is followed already costs one call, in a pipeline that leaves anyway."""
        following = self._followings.setdefault(channel, _Following())
        following.calls += 1
        try:
            # Heard first, asked afterwards: what is appended between the two is heard.
            await self._listener.want(channel)
            if known is not None:
                self._known.note(channel.name, known)
            request = Follow(channel)
            self._writes.put(request)
            origin = await request.reply.wait()
            following.succeeded = True
            return origin
        finally:
            following.calls -= 1
            vain = not following.calls and not following.succeeded
            if vain and self._followings.get(channel) is following:
                self._end(channel)

    def unfollow(self, channel: ChannelName, origin: Origin) -> None:
        self._end(channel)

    async def publish(
        self,
        channel: ChannelName,
        publications: Sequence[Publication],
        by: float,
        *,
        reached: int = 0,
    ) -> list[Outcome]:
        if publications:
            await self._room.take(channel, len(publications), by)
        return await self._send(channel, publications, reached).wait()

    def publish_nowait(
        self, channel: ChannelName, publications: Sequence[Publication], *, reached: int = 0
    ) -> Reply[list[Outcome]]:
        if publications:
            self._room.take_nowait(channel, len(publications))
        return self._send(channel, publications, reached)

    def _send(
        self, channel: ChannelName, publications: Sequence[Publication], reached: int
    ) -> Reply[list[Outcome]]:
        """Put them on their way; they have room, and give it back even if nobody waits any more."""
        request = Publish(channel, publications, reached)
        if not publications:
            request.reply.give([])
            return request.reply
        request.reply.then(partial(self._room.give_back, channel, len(publications)))
        self._writes.put(request)
        return request.reply

    async def read(self, channel: ChannelName, since: Since | None, limit: int) -> Stretch:
        """As the protocol says; a page may have fewer records than the limit, so as not to weigh too much."""
        vouched = True
        if isinstance(since, Position) and since.epoch == UNBORN:
            vouched = since.offset + 1 >= await self._began()
        while True:
            request = Read(channel, since, limit, vouched)
            self._reads.put(request)
            try:
                return await request.reply.wait()
            except Behind:  # a read writes nothing, so another call begins the new epoch
                renewal = Follow(channel)
                self._writes.put(renewal)
                await renewal.reply.wait()

    async def admit(self, service: str, events: int, limit: int, window_seconds: int) -> Admission:
        """Count `events` of the service, if all of them are within its limit on all nodes together; otherwise
        count none of them."""
        request = Admit(service, events, limit, window_seconds)
        self._windows.put(request)
        return await request.reply.wait()

    async def revoke(self, entries: Sequence[Revocation] = (), words: Sequence[str] = ()) -> None:
        """As the protocol says; with nothing it only reads what others have revoked."""
        request = Revoke(self._seen, entries, words)
        self._writes.put(request)
        self._merge(await request.reply.wait())

    async def disconnect(self, user_id: str) -> None:
        await self.revoke(words=[DISCONNECT + user_id])

    def _merge(self, seen: Seen) -> None:
        held, now = self.revocations, time.time()
        found = _readable(seen.texts)
        held.merge(found, now)
        self._seen, held.known = seen.last, True
        if seen.whole:
            there = {each.id for each in found}
            lost = [each for each in held.held(now) if each.id not in there]
            if lost:
                logger.warning("Revocations written back", revocations=len(lost))
                self._writes.put(Revoke(self._seen, lost))

    def _told(self, word: bytes | None) -> None:
        """What has come on the feed that all nodes listen to; None: something may have been missed."""
        if word is None:
            self._look.set()
        elif word.startswith(DISCONNECT.encode()):
            self.revocations.disconnect(word.decode().removeprefix(DISCONNECT))
        else:
            self.revocations.merge(_readable([word]), time.time())

    async def _keep_revocations(self) -> None:
        """Read them, for ever: at the start, whenever something may have been missed, and now and then."""
        while True:
            self._look = trio.Event()
            try:
                await self.revoke()
            except BackplaneAway:
                await trio.sleep(AGAIN_SECONDS)
                continue
            self.revocations.expire(time.time())
            with trio.move_on_after(LOOK_SECONDS):
                await self._look.wait()

    @property
    def trouble(self) -> str | None:
        """That it cannot be reached, or refuses something that a node needs."""
        if self._writes.trouble is not None:
            return self._writes.trouble
        if not self.revocations.known:
            return "Revocations have not been read yet"
        refused = (pump.trouble for pump in (self._windows, self._reads) if pump.refused)
        return next(refused, None) or self._listener.trouble

    @property
    def usage(self) -> Usage | None:
        """Of Redis' memory, where Courier's user may ask for it."""
        return self._inspector.usage

    @property
    def pipelines(self) -> int:
        """How many round trips it has made, but for pings and pages."""
        return self._writes.pipelines

    @property
    def waiting(self) -> int:
        """How many publications are on their way."""
        return self._room.taken

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; started when the first attempt to use Redis has succeeded or failed."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._writes.run)
            nursery.start_soon(self._windows.run)
            nursery.start_soon(self._reads.run)
            nursery.start_soon(self._listener.run)
            nursery.start_soon(self._look_again)
            nursery.start_soon(self._inspector.run)
            nursery.start_soon(self._keep_revocations)
            await self._writes.tried()
            if self._writes.trouble is None:
                with suppress(BackplaneAway):
                    await self._began()
                    await self.revoke()
            task_status.started()

    async def _began(self) -> int:
        request = Began()
        self._writes.put(request)
        return await request.reply.wait()

    def _end(self, channel: ChannelName) -> None:
        self._followings.pop(channel, None)
        self._listener.unwant(channel)

    def _watch(self, up: bool) -> None:
        if up:
            self._writes.put(Began())  # before anybody asks for a channel without a log
            self._doubt()

    async def _look_again(self) -> None:
        """Now and then have every channel compared with its shared log: a feed that has missed the last event
        of a quiet channel would otherwise not be found out."""
        while True:
            await trio.sleep(self._look_again_seconds)
            self._doubt()

    def _doubt(self) -> None:
        if self.feed is not None:
            self.feed.doubt(None)


def _readable(texts: Sequence[bytes]) -> list[Revocation]:
    """The revocations that can be read; of the others a line."""
    found = []
    for text in texts:
        try:
            found.append(Revocation.from_json(text))
        except ValueError:
            logger.warning("Revocation unreadable")
    return found


@asynccontextmanager
async def open_redis(
    url: RedisUrl | str,
    options: RedisOptions | None = None,
    *,
    fault: Callable[[Exception], None] = lambda _: None,
) -> AsyncIterator[RedisBackplane]:
    """A backplane for the length of a block.

    When Redis is away it comes all the same, with its `trouble`, and goes on trying. A str that is no Redis
    URL raises ValueError. `fault` is called whenever an answer cannot be read.
    """
    where = parse_redis_url(url) if isinstance(url, str) else url
    backplane = RedisBackplane(where, options or RedisOptions(), fault)
    async with trio.open_nursery() as nursery:
        await nursery.start(backplane.run)
        try:
            yield backplane
        finally:
            nursery.cancel_scope.cancel()
