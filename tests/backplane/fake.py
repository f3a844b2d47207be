"""FakeBackplane: a node's way to a log in memory that nodes share, with every fault that a network has."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import trio

from courier.backplane import (
    Appended,
    BackplaneAway,
    Feed,
    InboxFull,
    Origin,
    Outcome,
    Publication,
    Record,
    Stretch,
    Usage,
)
from courier.backplane.known import Known
from courier.backplane.reply import Reply
from courier.backplane.revocations import Revocation, Revocations
from courier.schemas.channels import ChannelName
from courier.schemas.position import Position, Since
from tests.backplane.shared_log import SharedLog

T = TypeVar("T")


class FakeBackplane:
    """One node's way to the shared log; its faults are `with` blocks, which may overlap.

    As long as nothing is amiss, whoever follows hears of an event in the step that appends it.
    """

    def __init__(self, shared: SharedLog) -> None:
        self.feed: Feed | None = None
        self.shared = shared
        self.followed: set[ChannelName] = set()
        self._away = self._cut = self._deaf = self._echoing = self._mute = self._full = 0
        self._holding = 0
        self._held: list[tuple[ChannelName, Sequence[Record]]] = []
        self._trips: list[float] = []
        self._known = Known(1000)
        self.revocations = Revocations(known=True)
        shared.listeners.append(self)

    async def revoke(self, entries: Sequence[Revocation] = ()) -> None:
        for each in self.shared.listeners:
            each.revocations.merge(entries, time.time())

    async def disconnect(self, user_id: str) -> None:
        for each in self.shared.listeners:
            each.revocations.disconnect(user_id)

    @property
    def trouble(self) -> str | None:
        return "The shared log is away" if self._away else None

    @property
    def usage(self) -> Usage | None:
        return None

    # The protocol

    async def follow(self, channel: ChannelName, known: Position | None = None) -> Origin:
        self.followed.add(channel)  # heard first, asked afterwards: nothing is missed between the two
        try:
            if known is not None:
                self._known.note(channel.name, known)
            origin = await self._ask(lambda: self.shared.origin(channel, self._known.of(channel.name)))
            self._known.note(channel.name, origin.position)
            return origin
        except BaseException:
            if known is None:
                self.followed.discard(channel)
            raise

    def unfollow(self, channel: ChannelName, origin: Origin) -> None:
        self.followed.discard(channel)

    async def publish(
        self,
        channel: ChannelName,
        publications: Sequence[Publication],
        by: float,
        *,
        reached: int = 0,
    ) -> list[Outcome]:
        if self._full:
            await trio.sleep_until(by)
            raise InboxFull
        outcomes = await self._ask(
            lambda: self.shared.publish(channel, publications, self._known.of(channel.name), reached)
        )
        for outcome in outcomes:
            if isinstance(outcome, Appended):
                self._known.note(channel.name, outcome.position)
        return outcomes

    def publish_nowait(
        self, channel: ChannelName, publications: Sequence[Publication], *, reached: int = 0
    ) -> Reply[list[Outcome]]:
        raise trio.WouldBlock  # as if there were always somebody who waits for room

    async def read(self, channel: ChannelName, since: Since | None, limit: int) -> Stretch:
        stretch = await self._ask(
            lambda: self.shared.read(channel, since, limit, self._known.of(channel.name))
        )
        self._known.note(channel.name, stretch.head)
        return stretch

    async def _ask(self, do: Callable[[], T]) -> T:
        await self._trip()
        answer = do()
        await self._trip()
        if self._mute:
            raise BackplaneAway("the answer was lost")
        return answer

    async def _trip(self) -> None:
        await trio.sleep(sum(self._trips))
        if self._away:
            raise BackplaneAway("the network is down")

    def forget(self) -> None:
        """Know nothing of what was seen, as a node that has just started."""
        self._known = Known(1000)

    # What the shared log does

    def hear(self, channel: ChannelName, records: Sequence[Record]) -> None:
        """These were appended; no records: look for yourself."""
        if channel not in self.followed or self._away or self._cut or self._deaf:
            return
        if self._holding:
            self._held.append((channel, records))
            return
        self._tell(channel, records)
        if self._echoing:
            self._tell(channel, records)

    def reconnect(self) -> None:
        """The connection was lost, and is there again unless something is in its way."""
        self._held.clear()
        if not self._away and not self._cut and self.feed is not None:
            self.feed.doubt(None)

    def _tell(self, channel: ChannelName, records: Sequence[Record]) -> None:
        assert self.feed is not None
        if records:
            self._known.note(channel.name, records[-1].position)
            self.feed.arrived(channel, records)
        else:
            self.feed.doubt(channel)

    # Faults

    @contextmanager
    def away(self) -> Iterator[None]:
        """Nothing can be asked, and nothing is heard; what was on its way is lost."""
        self._away += 1
        self._held.clear()
        try:
            yield
        finally:
            self._away -= 1
            self.reconnect()

    @contextmanager
    def cut(self) -> Iterator[None]:
        """The connection that is listened to is gone; what is asked goes over another one."""
        self._cut += 1
        self._held.clear()
        try:
            yield
        finally:
            self._cut -= 1
            self.reconnect()

    @contextmanager
    def deaf(self) -> Iterator[None]:
        """What should be heard is dropped, and nobody says so."""
        self._deaf += 1
        try:
            yield
        finally:
            self._deaf -= 1

    @contextmanager
    def echoing(self) -> Iterator[None]:
        """Everything is heard twice."""
        self._echoing += 1
        try:
            yield
        finally:
            self._echoing -= 1

    @contextmanager
    def holding(self, shuffle: random.Random | None = None) -> Iterator[None]:
        """What should be heard is held up until the end of the block, and then comes in any order."""
        self._holding += 1
        try:
            yield
        finally:
            self._holding -= 1
            if not self._holding:
                held, self._held = self._held, []
                if shuffle is not None:
                    shuffle.shuffle(held)
                for channel, records in held:
                    if channel in self.followed:
                        self._tell(channel, records)

    @contextmanager
    def losing_answers(self) -> Iterator[None]:
        """What is asked is done, and then said to have failed."""
        self._mute += 1
        try:
            yield
        finally:
            self._mute -= 1

    @contextmanager
    def slow(self, seconds: float) -> Iterator[None]:
        """Everything that is asked takes so long, half of it on the way there."""
        self._trips.append(seconds / 2)
        try:
            yield
        finally:
            self._trips.remove(seconds / 2)

    @contextmanager
    def full(self) -> Iterator[None]:
        """There is no room for what is published."""
        self._full += 1
        try:
            yield
        finally:
            self._full -= 1
