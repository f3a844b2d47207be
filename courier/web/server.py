"""Server: a listening socket, Hypercorn's settings, and serving."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio
from hypercorn.config import Config
from hypercorn.utils import wrap_app

from courier.settings import Settings
from courier.web.application import Application
from courier.web.hypercorn import worker_serve


async def serve(
    settings: Settings,
    *,
    shutdown_trigger: Callable[[], Awaitable[None]] | None = None,
    certfile: str | None = None,
    keyfile: str | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve one node until SIGTERM, SIGINT or `shutdown_trigger`, then drain it and return.

    `task_status` gets the addresses, such as `http://127.0.0.1:8766`, once it takes connections. With
    `certfile` and `keyfile` it serves TLS. Raises SystemExit with a sentence when it cannot start.
    """
    config = Config()
    config.bind = [settings.bind]
    config.certfile = certfile
    config.keyfile = keyfile
    await worker_serve(
        wrap_app(Application(settings), config.wsgi_max_body_size, "asgi"),
        config,
        shutdown_trigger=shutdown_trigger,
        task_status=task_status,
    )


@asynccontextmanager
async def open_server(
    settings: Settings, *, certfile: str | None = None, keyfile: str | None = None
) -> AsyncIterator[str]:
    """A node served for the length of a block, which gets its address; drained at the end."""
    stop = trio.Event()
    async with trio.open_nursery() as nursery:

        async def start(task_status: trio.TaskStatus[list[str]]) -> None:
            await serve(
                settings,
                shutdown_trigger=stop.wait,
                certfile=certfile,
                keyfile=keyfile,
                task_status=task_status,
            )

        [address] = await nursery.start(start)
        try:
            yield address
        finally:
            stop.set()
