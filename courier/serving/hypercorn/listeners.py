"""Listeners: listening sockets, from the settings to a stream for each new connection."""

import resource
import socket
from collections.abc import Callable
from typing import Any

import trio
from hypercorn.config import Config, Sockets, SocketTypeError
from hypercorn.utils import repr_socket_addr

from courier.serving.hypercorn.tls import Certificate, TlsListener
from courier.serving.room import AGAIN_SECONDS, Room

NOTSENT_BYTES = 16 * 1024
"""How much of what was written to a socket may wait in the kernel unsent (TCP_NOTSENT_LOWAT): what waits with
us instead can still be left out. Trio sets the same."""


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
            ("TCP_NOTSENT_LOWAT", NOTSENT_BYTES),
        ):
            if hasattr(socket, option):
                listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def raise_file_limit() -> None:
    """Let the process have as many sockets as it may: the soft limit is often 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def address_of(listener: socket.socket, scheme: str) -> str:
    """Its address, such as `http://127.0.0.1:8766`."""
    return f"{scheme}://{repr_socket_addr(listener.family, listener.getsockname())}"


def listener_of(
    listener: socket.socket, certificate: Certificate | None, stall_seconds: float
) -> trio.abc.Listener[Any]:
    """Trio's listener on this socket, with TLS where there is a certificate."""
    plain = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
    return plain if certificate is None else TlsListener(plain, certificate, stall_seconds)


async def accept_all(
    listener: trio.abc.Listener[Any], serve: Callable[[Any], None], connections: Callable[[], int]
) -> None:
    """Give each new connection to `serve`, and close the listener at the end.

    `connections` says how many there are, for the line which says that there is no room for more.
    """
    room = Room()
    async with listener:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if not room.lacking(error, connections()):
                    raise
                await trio.sleep(AGAIN_SECONDS)
            else:
                serve(stream)
