"""SqliteBackplane: what a hub asks of the logs that its node keeps on disk."""

import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import trio

from courier.backplane import (
    BackplaneAway,
    DiskRefused,
    Feed,
    Origin,
    Outcome,
    Publication,
    Record,
    Stretch,
    Usage,
)
from courier.backplane.errors import DataUnusable
from courier.backplane.reply import Reply
from courier.backplane.revocations import Revocation, Revocations
from courier.backplane.room import Room
from courier.backplane.sqlite.file import READERS, LogFile
from courier.backplane.sqlite.lock import FolderLock
from courier.backplane.sqlite.options import SqliteOptions
from courier.backplane.sqlite.refusals import refusal_of
from courier.backplane.sqlite.requests import Count, Follow, Probe, Publish, Request, Revoke
from courier.backplane.sqlite.writer import Commit
from courier.logs import get_logger
from courier.schemas.channels import ChannelName
from courier.schemas.position import Position, Since

LOCK_SECONDS = 0.05
"""How often it is tried to take a folder that another process holds."""

PROBE_SECONDS = 0.5
"""How often it is tried whether a disk that took nothing takes something again."""

TIDY_SECONDS = 60.0
"""How often revocations are let go whose time is over."""

WAITING = "Another process still holds the data folder"

logger = get_logger(__name__)


class SqliteBackplane:
    """Logs in a file, of one node. Made by `open_sqlite`."""

    def __init__(
        self,
        options: SqliteOptions,
        *,
        committed: Callable[[float, int, int], None] = lambda seconds, events, used_bytes: None,
        fault: Callable[[Exception], None] = lambda error: None,
    ) -> None:
        self.feed: Feed | None = None
        self.trouble: str | None = WAITING
        self.usage: Usage | None = None
        self.revocations = Revocations(known=False)
        self._options = options
        self._committed = committed
        self._fault = fault
        self._room = Room(options.inbox_events)
        self._followed: set[ChannelName] = set()
        self._file: LogFile | None = None
        """None until it is open."""
        self._reading = trio.CapacityLimiter(READERS)
        self._probing = trio.Event()
        self._opened = trio.Event()

    # The protocol

    async def follow(self, channel: ChannelName, known: Position | None = None) -> Origin:
        self._followed.add(channel)  # heard first, asked afterwards: what is appended in between is heard
        try:
            request = Follow(channel)
            self._put(request)
            return await request.reply.wait()
        except BaseException:
            if known is None:
                self._followed.discard(channel)
            raise

    def unfollow(self, channel: ChannelName, origin: Origin) -> None:
        self._followed.discard(channel)

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
        request = Publish(channel, publications, reached)
        if not publications:
            request.reply.give([])
            return request.reply
        request.reply.then(partial(self._room.give_back, channel, len(publications)))
        self._put(request)
        return request.reply

    async def read(self, channel: ChannelName, since: Since | None, limit: int) -> Stretch:
        """As the protocol says; a page may have fewer records than the limit, so as not to weigh too much."""
        file = self._file
        if file is None:
            raise self._closed()
        try:
            return await trio.to_thread.run_sync(file.read, channel, since, limit, limiter=self._reading)
        except sqlite3.Error as error:
            self._fault(error)
            logger.error("Disk refused a read", error=str(error))
            raise refusal_of(error) from None

    async def revoke(self, entries: Sequence[Revocation] = ()) -> None:
        if entries:
            request = Revoke(entries)
            self._put(request)
            await request.reply.wait()
        self.revocations.merge(entries, time.time())

    async def disconnect(self, user_id: str) -> None:
        self.revocations.disconnect(user_id)

    # What services have published, beside the protocol

    async def admitted(self) -> list[tuple[str, float, int]]:
        """What services had published before the start: who, how many seconds ago, how many events. Waits for
        the file to be open."""
        await self._opened.wait()
        assert self._file is not None
        now = self._file.now_ms() / 1000
        return [
            (service, max(0.0, now - second - 1), events) for service, second, events in self._file.admitted
        ]

    async def count(self, admitted: Iterable[tuple[str, float, int]]) -> None:
        """Remember what services have published: who, how many seconds ago, how many events."""
        await self._opened.wait()
        assert self._file is not None
        now = self._file.now_ms() / 1000
        request = Count([(service, int(now - ago), events) for service, ago, events in admitted])
        self._put(request)
        await request.reply.wait()

    # Its life

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; started when the file is open, or while another process holds it.

        Raises DataUnusable when the file cannot be used.
        """
        lock = FolderLock(self._options.folder)
        try:
            if not lock.take():
                logger.warning("Data folder is held by another process", folder=str(self._options.folder))
                task_status.started()
                task_status = trio.TASK_STATUS_IGNORED
                await self._take(lock)
            await self._serve(task_status)
        finally:
            lock.close()

    async def _take(self, lock: FolderLock) -> None:
        with trio.move_on_after(self._options.wait_seconds):
            while not lock.take():  # noqa: ASYNC110 - nothing says when a lock is free
                await trio.sleep(LOCK_SECONDS)
            return
        raise DataUnusable(
            f"{self._options.folder} is held by another process: one node has a data folder at a time"
        )

    async def _serve(self, task_status: trio.TaskStatus[None]) -> None:
        try:
            file = await self._open()
        except sqlite3.Error as error:
            task_status.started()
            task_status = trio.TASK_STATUS_IGNORED
            file = await self._open_again(error)
        try:
            self._begin(file)
            task_status.started()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._probe)
                nursery.start_soon(self._expire)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(file.close)

    async def _open_again(self, error: sqlite3.Error) -> LogFile:
        """Try until the disk gives and takes what is needed."""
        while True:
            self._say(_sentence(refusal_of(error)))
            await trio.sleep(PROBE_SECONDS)
            try:
                return await self._open()
            except sqlite3.Error as another:
                error = another

    async def _open(self) -> LogFile:
        token = trio.lowlevel.current_trio_token()

        def tell(commit: Commit) -> None:
            token.run_sync_soon(self._settle, commit)

        return await trio.to_thread.run_sync(LogFile, self._options, tell)

    def _begin(self, file: LogFile) -> None:
        self._file = file
        for text in file.revocations:
            try:
                self.revocations.merge([Revocation.from_json(text)], time.time())
            except ValueError:
                logger.warning("Revocation unreadable")
        self.revocations.known = True
        self._opened.set()
        self._say(None)
        if self.feed is not None:
            self.feed.doubt(None)

    async def _probe(self) -> None:
        """While the disk takes nothing, try again and again whether it does."""
        while True:
            await self._probing.wait()
            await trio.sleep(PROBE_SECONDS)
            if self.trouble is not None:
                request = Probe()
                self._put(request)
                with suppress(BackplaneAway):
                    await request.reply.wait()

    async def _expire(self) -> None:
        while True:
            await trio.sleep(TIDY_SECONDS)
            self.revocations.expire(time.time())

    # What is asked of the writer, and what it answers

    def _put(self, request: Request) -> None:
        if self._file is None:
            request.reply.fail(self._closed())
        else:
            self._file.put(request)

    def _closed(self) -> DiskRefused:
        """Why nothing can be asked before the file is open."""
        trouble = self.trouble or WAITING
        return DiskRefused(trouble[:1].lower() + trouble[1:])

    def _settle(self, commit: Commit) -> None:
        """Answer those who asked; in the event loop. What was appended is fed first."""
        if commit.error is not None:
            self._failed(commit)
            return
        self._say(None)
        self._committed(commit.seconds, _feed(self, commit), commit.used_bytes)
        for request, answer in zip(commit.requests, commit.answers, strict=True):
            reply: Reply[Any] = request.reply
            reply.give(answer[0] if isinstance(request, Publish) else answer)

    def _failed(self, commit: Commit) -> None:
        assert commit.error is not None
        refusal = refusal_of(commit.error)
        if not isinstance(commit.error, sqlite3.Error):
            self._fault(commit.error)
            logger.error("Transaction failed", exc_info=commit.error)
        self._say(_sentence(refusal))
        for request in commit.requests:
            request.reply.fail(type(refusal)(*refusal.args))

    def _say(self, trouble: str | None) -> None:
        """Note how it is, and write a line when that is new."""
        if trouble == self.trouble:
            return
        self.trouble = trouble
        if trouble is None:
            self._probing = trio.Event()
            logger.info("Disk takes events", file=str(self._options.file))
        else:
            self._probing.set()
            logger.error("Disk refuses events", reason=trouble)


def _feed(backplane: SqliteBackplane, commit: Commit) -> int:
    """Tell the node what was appended to the channels that it follows; returns how many events were."""
    events = 0
    arrived: dict[ChannelName, list[Record]] = {}
    for request, answer in zip(commit.requests, commit.answers, strict=True):
        if isinstance(request, Publish):
            records = answer[1]
            events += len(records)
            if records and request.channel in backplane._followed:
                arrived.setdefault(request.channel, []).extend(records)
    assert backplane.feed is not None
    for channel, records in arrived.items():
        backplane.feed.arrived(channel, records)
    return events


def _sentence(refusal: Exception) -> str:
    return str(refusal)[:1].upper() + str(refusal)[1:]


@asynccontextmanager
async def open_sqlite(
    options: SqliteOptions,
    *,
    committed: Callable[[float, int, int], None] = lambda seconds, events, used_bytes: None,
    fault: Callable[[Exception], None] = lambda error: None,
) -> AsyncIterator[SqliteBackplane]:
    """A backplane for the length of a block; what was put is committed at its end.

    While another process holds the folder it comes all the same, with its `trouble`, and waits for that.
    Raises DataUnusable when the file cannot be used. `committed` is called with the seconds and the events of
    each transaction, and the bytes that the file then holds.
    """
    backplane = SqliteBackplane(options, committed=committed, fault=fault)
    async with trio.open_nursery() as nursery:
        await nursery.start(backplane.run)
        try:
            yield backplane
        finally:
            nursery.cancel_scope.cancel()
