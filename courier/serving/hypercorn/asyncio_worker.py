"""Asyncio worker: what `hypercorn` would run on asyncio, which is its default, runs on Trio."""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import trio
from hypercorn.utils import check_multiprocess_shutdown_event

from courier.serving.hypercorn.worker import application_of, worker_serve


def hand_over(module: ModuleType) -> None:
    """Put `_run` in the place of the one of `hypercorn.asyncio.run`, in the worker that has loaded it."""
    stock = module._run
    if getattr(stock, "func", None) is not _run:
        module._run = partial(_run, stock)  # type: ignore[attr-defined]


def _run(
    stock: Callable[..., None],
    main: partial[Any],
    *,
    debug: bool = False,
    shutdown_trigger: partial[Any] | None = None,
    loop_factory: Any = None,
) -> None:
    """Run an `Application` on Trio, and any other app as `stock` does.

    The worker has imported the application, and with it this module, just before it comes here.
    """
    app, config = main.args
    if application_of(app) is None:
        stock(main, debug=debug, shutdown_trigger=shutdown_trigger, loop_factory=loop_factory)
        return
    if shutdown_trigger is not None:
        shutdown_trigger = partial(check_multiprocess_shutdown_event, shutdown_trigger.args[0], trio.sleep)
    trio.run(
        partial(
            worker_serve,
            app,
            config,
            sockets=main.keywords["sockets"],
            shutdown_trigger=shutdown_trigger,
            taken_over=True,
        )
    )
