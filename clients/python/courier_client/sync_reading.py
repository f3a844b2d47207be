"""What a script reads: subscriptions and connections, each step of which is done by a thread with a loop."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import suppress
from datetime import datetime
from functools import partial
from threading import Thread
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import anyio
from anyio.from_thread import BlockingPortal

from courier_client.connection import Connection
from courier_client.event import Ended, Event, Gap
from courier_client.reading import Reading
from courier_client.subscription import Subscription

Item = TypeVar("Item")
Read = TypeVar("Read", bound=Reading[Any, Any])


class LoopThread:
    """An event loop in a thread, which serves other threads until it is stopped, or to the process's end."""

    def __init__(self) -> None:
        started: Future[BlockingPortal] = Future()

        async def serve() -> None:
            async with BlockingPortal() as portal:
                started.set_result(portal)
                await portal.sleep_until_stopped()

        self.pid = os.getpid()
        self._thread = Thread(target=anyio.run, args=(serve,), name="courier-client", daemon=True)
        self._thread.start()
        self.portal = started.result()

    def join(self, seconds: float) -> None:
        """Wait for its end."""
        self._thread.join(seconds)

    def stop_soon(self) -> None:
        """Stop, without waiting for it."""
        with suppress(RuntimeError):  # it has stopped, or the interpreter ends
            if self.pid == os.getpid():
                self.portal.start_task_soon(self.portal.stop)


class SyncReading(Generic[Item, Read]):
    """Reads when it is asked for the next item, and waits for it."""

    def __init__(self, reading: Read, thread: LoopThread) -> None:
        self._reading = reading
        self._thread = thread

    def __enter__(self) -> Self:
        self._portal().call(self._reading.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def join(self) -> bool:
        """As `Reading.join`."""
        return self._portal().call(self._reading.join)

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        item = self._portal().call(self._next)
        if item is None:
            raise StopIteration
        return item

    async def _next(self) -> Item | None:
        """The next one, or None at the end: a future cannot carry StopAsyncIteration."""
        return await anext(self._reading, None)

    def close(self) -> None:
        """As `Reading.close`."""
        if self._thread.pid == os.getpid():
            with suppress(RuntimeError):  # the client was closed, and this with it
                self._thread.portal.call(self._reading.close)

    def _portal(self) -> BlockingPortal:
        if self._thread.pid != os.getpid():
            raise RuntimeError("a subscription stays with the process that made it: make another one here")
        return self._thread.portal


class SyncSubscription(SyncReading[Event | Gap, Subscription]):
    """As `Subscription`."""

    @property
    def position(self) -> str | None:
        """As `Subscription.position`."""
        return self._reading.position


class SyncConnection(SyncReading[Event | Gap | Ended, Connection]):
    """As `Connection`. One thread may iterate at a time; any may subscribe and unsubscribe meanwhile."""

    @property
    def positions(self) -> Mapping[str, str | None]:
        """As `Connection.positions`."""
        return self._portal().call(lambda: self._reading.positions)

    def subscribe(self, channel: str, *, since: str | datetime | None = None) -> None:
        """As `Connection.subscribe`."""
        self._portal().call(partial(self._reading.subscribe, channel, since=since))

    def unsubscribe(self, channel: str) -> None:
        """As `Connection.unsubscribe`."""
        self._portal().call(self._reading.unsubscribe, channel)
