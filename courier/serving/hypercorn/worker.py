"""Worker: serves one application on Hypercorn's Trio worker, and drains it before it stops."""

import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from typing import Any

import hypercorn.trio.run
import trio
from hypercorn.config import Config, Sockets
from hypercorn.trio.lifespan import Lifespan
from hypercorn.typing import AppWrapper, ConnectionState, LifespanState
from hypercorn.utils import repr_socket_addr

from courier.logs import get_logger
from courier.serving import garbage
from courier.serving.desk.desk import Desk
from courier.serving.hypercorn.config import adapt
from courier.serving.hypercorn.connection import Connection, HandedOver
from courier.serving.hypercorn.context import ServerContext
from courier.serving.hypercorn.listeners import (
    accept_all,
    address_of,
    all_of,
    create_sockets,
    harden,
    listener_of,
    raise_file_limit,
)
from courier.serving.hypercorn.master import bound_to_master, has_master, until_master_is_gone
from courier.serving.hypercorn.reception import DeskFailure, open_desk
from courier.serving.hypercorn.tls import Certificate
from courier.serving.service import Application, Service
from courier.serving.shutdown import reloading, until_asked
from courier.systemd import open_manager

LAST_SEND_SECONDS = 1.0
"""At the end, how long after all else what is still sent may take."""

logger = get_logger(__name__)

_stock_worker_serve = hypercorn.trio.run.worker_serve


async def worker_serve(
    app: AppWrapper,
    config: Config,
    *,
    sockets: Sockets | None = None,
    shutdown_trigger: Callable[..., Awaitable[None]] | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
    taken_over: bool = False,
) -> None:
    """Hypercorn's Trio worker, drained before it is stopped: by a signal or by its master, as one request.

    Hypercorn itself would stop listening, tell the WebSockets nothing and wait `graceful_timeout`. A service
    manager hears of it. Sockets that were handed down (`fd://3`) are not accepted from while it drains.
    `taken_over` says that this was to run on asyncio. An app that is no `Application` gets Hypercorn's own
    worker.
    """
    application = application_of(app)
    if application is None:
        await _stock_worker_serve(
            app, config, sockets=sockets, shutdown_trigger=shutdown_trigger, task_status=task_status
        )
        return
    worker = has_master(shutdown_trigger)
    with bound_to_master() if worker else nullcontext():
        triggers = (shutdown_trigger, until_master_is_gone) if worker else (shutdown_trigger,)
        await _serve_until_asked(app, config, application, sockets, triggers, task_status, taken_over)


def application_of(app: AppWrapper) -> Application | None:
    """What Hypercorn wraps, when our server can serve it."""
    application = getattr(app, "app", None)
    return application if isinstance(application, Application) else None


async def _serve_until_asked(
    app: AppWrapper,
    config: Config,
    application: Application,
    sockets: Sockets | None,
    triggers: Sequence[Callable[..., Awaitable[None]] | None],
    task_status: trio.TaskStatus[list[str]],
    taken_over: bool,
) -> None:
    # The one who hands a socket down keeps it: what waits at it when we no longer accept is our successor's.
    handed_down = all(bind.startswith("fd://") for bind in (*config.bind, *config.insecure_bind))
    if handed_down:
        sockets = sockets or create_sockets(config)
        config.bind = [repr_socket_addr(each.family, each.getsockname()) for each in all_of(sockets)]
        config.insecure_bind = []
    service = application.prepare(config)
    adapt(config, service)
    if taken_over:
        logger.warning("Hypercorn's Trio worker takes over from its asyncio worker: say hypercorn -k trio")
    try:
        certificate = Certificate(config)
    except OSError as error:
        raise SystemExit(
            f"Courier does not start: {config.certfile} and {config.keyfile} cannot be used for TLS: {error}"
        ) from None
    sockets = sockets or create_sockets(config)
    for listener in all_of(sockets):
        if not handed_down:  # where it is, the queue's length was decided too
            listener.listen(config.backlog)
        harden(listener, service.stall_seconds)

    raise_file_limit()
    garbage.start()

    failure = DeskFailure(service)
    async with (
        until_asked(*triggers, application.failed, failure.wait) as asked,
        open_manager(application.status) as manager,
        reloading(certificate.renew, application.reload),
    ):

        def ready(addresses: list[str]) -> None:
            task_status.started(addresses)
            manager.ready()

        async def drained(stop_accepting: Callable[[], None]) -> None:
            await asked.wait()
            manager.stopping()
            await application.leave()
            if handed_down:
                stop_accepting()
            await application.drain()

        await _serve(app, config, service, sockets, certificate, failure, ready, drained)
    application.raise_if_failed()
    failure.raise_if_set()


async def _serve(
    app: AppWrapper,
    config: Config,
    service: Service,
    sockets: Sockets,
    certificate: Certificate,
    failure: DeskFailure,
    ready: Callable[[list[str]], None],
    drained: Callable[[Callable[[], None]], Awaitable[None]],
) -> None:
    """Hypercorn's Trio worker, but that `drained`, which says when to end, may stop the accepting earlier.

    Plain connections come to the desk. Those with TLS, and all when there is an access log or no desk, go the
    general path at once.
    """
    state: LifespanState = {}
    lifespan = Lifespan(app, config, state)
    context = ServerContext(service)
    accepting = trio.CancelScope()
    async with trio.open_nursery() as application:
        await application.start(lifespan.handle_lifespan)
        await lifespan.wait_for_startup()

        async with trio.open_nursery() as connections:

            def serve_soon(stream: Any, handed_over: HandedOver | None = None) -> None:
                connection = Connection(
                    app, config, context, ConnectionState(state.copy()), stream, handed_over
                )
                connections.start_soon(connection.run)

            async def accept(listener: socket.socket, tls: Certificate | None) -> None:
                with accepting:
                    stream = listener_of(listener, tls, service.stall_seconds)
                    await accept_all(stream, serve_soon, lambda: context.connections)

            def stop_accepting() -> None:
                accepting.cancel()
                if desk is not None:
                    desk.stop_listening()
                for each in at_desk:
                    each.close()

            desk: Desk | None = None
            if service.desk and config.accesslog is None:
                desk = context.desk = open_desk(service, config, context, serve_soon)
                connections.start_soon(failure.watch, desk)
            addresses: list[str] = []
            at_desk: list[socket.socket] = []
            for each in all_of(sockets):
                secure = certificate.context is not None and each in sockets.secure_sockets
                addresses.append(address_of(each, "https" if secure else "http"))
                if desk is not None and not secure:
                    desk.listen(each)
                    at_desk.append(each)
                else:
                    connections.start_soon(accept, each, certificate if secure else None)
            logger.info("Listening", addresses=addresses)
            ready(addresses)
            await drained(stop_accepting)
            stop_accepting()
            await context.terminated.set()
            if desk is not None:
                desk.end()
            connections.cancel_scope.deadline = trio.current_time() + config.graceful_timeout
            application.start_soon(_abort_last, context, config.graceful_timeout + LAST_SEND_SECONDS)
        await lifespan.wait_for_shutdown()
        application.cancel_scope.cancel()


async def _abort_last(context: ServerContext, seconds: float) -> None:
    """After so many seconds close what is left by force: a send is shielded, and may take as long as the peer
    takes something."""
    await trio.sleep(seconds)
    for link in tuple(context.links):
        link.abort()
