"""Shutdown: the signals that ask a node to stop, as one request, or to reload."""

import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from courier.logs import get_logger

PATIENCE_SECONDS = 1.0
"""A signal that comes sooner after the first is the same request: a terminal or a service manager signals
the whole process group, and Hypercorn's master passes it on as well."""

logger = get_logger(__name__)


@asynccontextmanager
async def until_asked(*others: Callable[[], Awaitable[None]] | None) -> AsyncIterator[trio.Event]:
    """An event that is set by SIGTERM, by SIGINT, or when one of `others` returns.

    Within the block a later signal ends the process at once, as if nobody had caught it.
    """
    asked = trio.Event()

    async def watch(other: Callable[[], Awaitable[None]]) -> None:
        await other()
        asked.set()

    async def signals(*, task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as received:
            task_status.started()
            first = None
            async for number in received:
                now = trio.current_time()
                if first is None:
                    first = now
                    logger.info("Shutdown asked for", signal=signal.Signals(number).name)
                elif now - first >= PATIENCE_SECONDS:
                    logger.warning("Shutdown asked for again: ending at once")
                    signal.signal(number, signal.SIG_DFL)
                    os.kill(os.getpid(), number)
                asked.set()

    async with trio.open_nursery() as nursery:
        await nursery.start(signals)
        for other in others:
            if other is not None:
                nursery.start_soon(watch, other)
        yield asked
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def reloading(*reloads: Callable[[], None]) -> AsyncIterator[None]:
    """Within the block SIGHUP calls these, and ends nothing."""

    async def signals(*, task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(signal.SIGHUP) as received:
            task_status.started()
            async for _ in received:
                for reload in reloads:
                    reload()

    async with trio.open_nursery() as nursery:
        await nursery.start(signals)
        yield
        nursery.cancel_scope.cancel()
