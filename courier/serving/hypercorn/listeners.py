"""Listeners: listening sockets, from the settings to a stream for each new connection."""

import errno
import math
import resource
import socket
from collections.abc import Callable
from typing import Any

import trio
from hypercorn.config import Config, Sockets, SocketTypeError
from hypercorn.utils import repr_socket_addr

from courier.logs import get_logger
from courier.serving.hypercorn.tls import Certificate, TlsListener

NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
NO_ROOM_SECONDS = 0.1
NO_ROOM_TOLD_SECONDS = 60.0
"""When no socket can be made for a new connection (accept(2)): how soon it is tried again, and how often a
line says so."""

logger = get_logger(__name__)


def create_sockets(config: Config) -> Sockets:
    """What the settings ask to listen on; SystemExit with a sentence when that fails."""
    wrong: object = None
    try:
        sockets = config.create_sockets()
    except OSError as error:
        wrong = error
    except SocketTypeError:
        wrong = "a socket that is handed down must be a stream socket"
    else:
        for bind, each in zip(config.bind, all_of(sockets), strict=False):
            if bind.startswith("fd://") and not each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                wrong = "a socket that is handed down must be listening"
    if wrong is not None:
        raise SystemExit(f"Courier does not start: it cannot listen on {', '.join(config.bind)}: {wrong}")
    return sockets


def all_of(sockets: Sockets) -> list[socket.socket]:
    """Those with TLS first, then those without."""
    return [*sockets.secure_sockets, *sockets.insecure_sockets]


def harden(listener: socket.socket, stall_seconds: float) -> None:
    """Set what accepted sockets inherit: the kernel, too, notices a peer that has vanished. It does so later
    than one that takes nothing is cut off."""
    if listener.family in (socket.AF_INET, socket.AF_INET6):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            ("TCP_KEEPIDLE", 60),
            ("TCP_KEEPINTVL", 15),
            ("TCP_KEEPCNT", 4),
            ("TCP_USER_TIMEOUT", max(60_000, round(2000 * stall_seconds))),
        ):
            if hasattr(socket, option):
                listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def raise_file_limit() -> None:
    """Let the process have as many sockets as it may: the soft limit is often 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def listeners_of(
    sockets: Sockets, certificate: Certificate, stall_seconds: float
) -> dict[str, trio.abc.Listener[Any]]:
    """A listener for each socket, by its address, such as `http://127.0.0.1:8766`."""
    listeners: dict[str, trio.abc.Listener[Any]] = {}
    for each in all_of(sockets):
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(each))
        address = repr_socket_addr(each.family, each.getsockname())
        if certificate.context is not None and each in sockets.secure_sockets:
            listeners[f"https://{address}"] = TlsListener(listener, certificate, stall_seconds)
        else:
            listeners[f"http://{address}"] = listener
    return listeners


async def accept_all(
    listener: trio.abc.Listener[Any], serve: Callable[[Any], None], connections: Callable[[], int]
) -> None:
    """Give each new connection to `serve`, and close the listener at the end.

    While there is no room for another socket, new connections wait in the kernel, those that there are go on,
    and one line a minute says so, with how many `connections` there are.
    """
    told_at = -math.inf
    async with listener:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                if trio.current_time() >= told_at + NO_ROOM_TOLD_SECONDS:
                    told_at = trio.current_time()
                    logger.error(
                        "No room for new connections: raise the limit of open files",
                        error=errno.errorcode[error.errno],
                        connections=connections(),
                    )
                await trio.sleep(NO_ROOM_SECONDS)
            else:
                serve(stream)
