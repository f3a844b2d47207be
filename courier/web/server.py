"""Server: a listening socket, Hypercorn's settings, and serving."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import trio
from hypercorn.config import Config
from hypercorn.utils import wrap_app

from courier.serving.hypercorn.worker import worker_serve
from courier.settings import Settings
from courier.systemd import handed_down
from courier.web.application import Application


def addresses(settings: Settings, bind: str | None) -> list[str]:
    """Where to listen: at `bind`, which somebody said on the command line, else on the sockets that a service
    manager hands down, else where the settings say; a setting that names a descriptor picks one of them.

    Raises SystemExit when `bind` is an address though there are such sockets: peers that connect to them
    would wait for ever.
    """
    handed = [f"fd://{descriptor}" for descriptor in handed_down()]
    if handed and bind is not None and not bind.startswith("fd://"):
        raise SystemExit(
            f"Courier does not start: --bind says {bind}, and a socket was handed down as well (LISTEN_FDS);"
            " leave out one of them"
        )
    wanted = bind or settings.bind
    return handed if handed and not wanted.startswith("fd://") else [wanted]


async def serve(
    settings: Settings,
    *,
    binds: Sequence[str] = (),
    shutdown_trigger: Callable[[], Awaitable[None]] | None = None,
    certfile: str | None = None,
    keyfile: str | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve one node until SIGTERM, SIGINT or `shutdown_trigger`, then drain it and return.

    It listens on `binds`, or else at `settings.bind`. `task_status` gets the addresses, such as
    `http://127.0.0.1:8766`, once it takes connections. With `certfile` and `keyfile` it serves TLS. Raises
    SystemExit with a sentence when it cannot start.
    """
    config = Config()
    config.bind = list(binds) or [settings.bind]
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
