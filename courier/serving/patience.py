"""Patience: how long a peer may take nothing, by what it has acknowledged.

That a socket can be written to says little: the kernel grants it when a third of its buffer is free, which
takes minutes with a peer that reads a few kilobytes a second.
"""

import fcntl
import socket
import struct
import termios
from contextlib import suppress
from typing import Protocol

import trio

LOOKS = 8
"""How often, within the time that a peer may take nothing, it is looked whether it took something."""

TOLD_LATE_SECONDS = 6.0
"""How much longer a peer has, but at most 1.5 times as long again. Its kernel opens the window in steps of up
to its receive buffer, which is 128 KiB on Linux by default: of a peer that reads 16 KB/s nothing is seen for
8 s, of one that reads 4 KB/s for 33 s.
"""

_ACKNOWLEDGED = 120
"""Where `tcpi_bytes_acked` is in `struct tcp_info` of linux/tcp.h."""


class Peer(Protocol):
    """The other end of a socket, which takes bytes when it likes."""

    async def writable(self) -> None:
        """Wait until the socket takes more. Raises OSError or `trio.ClosedResourceError`."""

    def taken_bytes(self) -> int | None:
        """A number that rises by each byte that the peer acknowledges; None when that is not known."""


class PeerStalled(trio.BrokenResourceError):
    """The peer has acknowledged nothing for as long as it may."""


class Patience:
    """Decides when a peer has taken nothing for too long. Nothing is written to it meanwhile.

    It has `seconds` from the last byte that it was seen to acknowledge, and TOLD_LATE_SECONDS more.
    """

    __slots__ = ("_ends_at", "_seconds", "_taken", "look_at")

    def __init__(self, taken: int | None, now: float, seconds: float) -> None:
        """`taken` is a peer's `taken_bytes` at `now` (`trio.current_time`)."""
        self._seconds = seconds + min(1.5 * seconds, TOLD_LATE_SECONDS)
        self._taken = taken
        self._ends_at = now + self._seconds
        self.look_at = now + self._seconds / LOOKS
        """When to look at it again."""

    def is_over(self, taken: int | None, now: float) -> bool:
        """Look at the peer: whether to cut it off."""
        if taken != self._taken:
            self._taken = taken
            self._ends_at = now + self._seconds
        elif now >= self._ends_at:
            return True
        self.look_at = min(now + self._seconds / LOOKS, self._ends_at)
        return False


async def until_writable(peer: Peer, seconds: float) -> None:
    """Return when the socket takes more, however long that is while the peer takes what it was sent.

    The caller writes nothing meanwhile. Raises `PeerStalled` when it has acknowledged nothing for too long
    (`Patience`); and what `Peer.writable` raises.
    """
    patience = Patience(peer.taken_bytes(), trio.current_time(), seconds)
    while True:
        with trio.move_on_at(patience.look_at):
            await peer.writable()
            return
        if patience.is_over(peer.taken_bytes(), trio.current_time()):
            raise PeerStalled


async def send_all(peer: "SocketPeer", data: bytes, seconds: float) -> None:
    """Write all of it. Raises `PeerStalled` as above, and `trio.BrokenResourceError` or
    `trio.ClosedResourceError` as a stream of Trio does."""
    rest = memoryview(data)
    try:
        while True:
            with suppress(BlockingIOError):
                rest = rest[peer.socket.send(rest) :]
            if not rest:
                return
            await until_writable(peer, seconds)
    except OSError as error:
        closed = peer.socket.fileno() == -1
        raise (trio.ClosedResourceError if closed else trio.BrokenResourceError) from error


def taken_bytes(sock: socket.socket) -> int | None:
    """A number that rises by each byte that the peer acknowledges; None when that is not known."""
    try:
        known = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKNOWLEDGED + 8)
        taken: int = struct.unpack_from("=Q", known, _ACKNOWLEDGED)[0]
    except (OSError, struct.error):  # no TCP, or closed
        unsent = unsent_bytes(sock)
        return None if unsent is None else -unsent
    return taken


def unsent_bytes(sock: socket.socket) -> int | None:
    """What the kernel holds and the peer has not acknowledged; None when that is not known."""
    try:  # Linux: SIOCOUTQ, which has the number of TIOCOUTQ (tcp(7), unix(7))
        unsent: int = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]
    except (OSError, ValueError):  # closed
        return None
    return unsent


class SocketPeer:
    """The other end of a socket of the standard library that does not block."""

    __slots__ = ("socket",)

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock

    async def writable(self) -> None:
        if self.socket.fileno() == -1:  # which epoll does not know as a closed socket
            raise trio.ClosedResourceError
        await trio.lowlevel.wait_writable(self.socket)

    def taken_bytes(self) -> int | None:
        return taken_bytes(self.socket)

    def unsent_bytes(self) -> int | None:
        return unsent_bytes(self.socket)


class PatientStream(trio.abc.HalfCloseableStream):
    """A TCP stream whose sends may take as long as the peer takes what it is sent, for TLS to stand on."""

    def __init__(self, stream: trio.SocketStream, seconds: float) -> None:
        self.socket = stream.socket
        self._stream = stream
        self._peer = SocketPeer(stream.socket._sock)  # type: ignore[attr-defined]
        self._seconds = seconds

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        await send_all(self._peer, bytes(data), self._seconds)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self._stream.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._stream.aclose()
