"""Recorder: a feed that notes all that it is told, and nothing else."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import trio

from courier.backplane import Outcome, Publication, Record, Stretch
from courier.backplane.reply import Reply
from courier.schemas.channels import ChannelName
from courier.schemas.position import Since


class Recorder:
    """What arrived of each channel, in order, and what is in doubt."""

    def __init__(self) -> None:
        self.records: dict[ChannelName, list[Record]] = defaultdict(list)
        self.doubts: list[ChannelName | None] = []
        self.failed = 0
        self.when_told: Callable[[ChannelName | None], None] = lambda channel: None
        """Called with what has arrived or is in doubt, as soon as it was noted."""
        self._failing = False
        self._changed = trio.Event()

    def events(self, channel: ChannelName) -> list[bytes]:
        return [record.event for record in self.records[channel]]

    def arrived(self, channel: ChannelName, records: Sequence[Record]) -> None:
        if self._failing:
            self.failed += 1
            self._note()
            raise RuntimeError("as the test asked")
        self.records[channel] += records
        self._note()
        self.when_told(channel)

    def doubt(self, channel: ChannelName | None = None) -> None:
        self.doubts.append(channel)
        self._note()
        self.when_told(channel)

    @contextmanager
    def failing(self) -> Iterator[None]:
        """What arrives within the block raises."""
        self._failing = True
        try:
            yield
        finally:
            self._failing = False

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something comes after which `holds` is true."""
        while not holds():
            await self._changed.wait()

    def _note(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def append(
        self, channel: ChannelName, publications: Sequence[Publication], by: float
    ) -> list[Outcome]:
        raise NotImplementedError

    def append_nowait(
        self, channel: ChannelName, publications: Sequence[Publication]
    ) -> Reply[list[Outcome]]:
        raise NotImplementedError

    async def history(self, channel: ChannelName, since: Since | None, limit: int) -> Stretch:
        raise NotImplementedError
