"""Link: the bytes of one connection, plain or by TLS. Nothing that is sent is waited for without a limit."""

import socket
import struct
from contextlib import suppress
from typing import Any

import trio
from hypercorn.trio.tcp_server import MAX_RECV

from courier.serving.desk.lingering import LINGER_SECONDS
from courier.serving.patience import PeerStalled, SocketPeer, send_all

FIRST_RECV = 16 * 1024
"""What is asked of the kernel at a time, until so much has come: to set 64 KiB aside takes longer than to
read a plain request."""

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 seconds (socket(7)): a close drops what is unsent, and the peer sees a reset."""


class Link:
    """A stream of Trio, on which a peer that takes nothing for too long is cut off."""

    __slots__ = ("_read_bytes", "_stall_seconds", "_stream", "is_tls", "lock", "peer", "reading", "stalled")

    def __init__(self, stream: Any, stall_seconds: float) -> None:
        self._stream = stream
        self._stall_seconds = stall_seconds
        self._read_bytes = FIRST_RECV
        self.is_tls = isinstance(stream, trio.SSLStream)
        # Trio's own `send` and `recv` wait; only the socket under them does not. Once closed it raises, and
        # never writes to a stranger who got the same file descriptor.
        self.peer = SocketPeer(self._socket._sock)
        self.lock = trio.Lock()
        """Held round whatever is written to the socket."""
        self.reading = trio.CancelScope()
        """For the block that reads to the end; cancelled when nothing more can be written."""
        self.stalled = False
        """The peer took nothing for so long, and the socket is closed."""

    @property
    def address(self) -> str | None:
        """Where the peer's packets come from; None where there are no addresses, or the peer has gone."""
        try:
            name = self.peer.socket.getpeername()
        except OSError:
            return None
        return name[0] if isinstance(name, tuple) else None

    async def receive(self) -> bytes:
        """What comes next; nothing at the end. Waits before it reads: a peer that has just been answered has
        not sent anything yet, as a rule. Raises as a stream of Trio does."""
        if self.is_tls:
            return bytes(await self._stream.receive_some(MAX_RECV))
        plain_socket = self.peer.socket
        while True:
            if plain_socket.fileno() == -1:
                raise trio.ClosedResourceError
            await trio.lowlevel.wait_readable(plain_socket)
            try:
                data = plain_socket.recv(self._read_bytes)
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError from error
            self._read_bytes = MAX_RECV if len(data) == self._read_bytes else FIRST_RECV
            return data

    async def send(self, data: bytes) -> None:
        """Write all of it, or close: Hypercorn's send is shielded and has no limit, so that a peer which
        does not read could neither be cancelled nor drained."""
        async with self.lock:
            try:
                with trio.CancelScope(shield=True):
                    if self.is_tls:
                        await self._stream.send_all(data)
                    else:
                        await send_all(self.peer, data, self._stall_seconds)
            except PeerStalled:
                self.stalled = True
                self.abort()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            else:
                return
        # The reading task tells the application. It may wait for an answer to be finished that never will be.
        self.reading.cancel()

    async def send_eof(self) -> None:
        """Say that nothing more comes, and give the peer time to read what came."""
        if self.is_tls:  # TLS has no half-closed state that peers agree on (RFC 8446, 6.1)
            self.reading.cancel()
            return
        self.reading.deadline = trio.current_time() + LINGER_SECONDS
        # Shielded, as Quart cancels the task that comes here once it has answered: the peer would wait for
        # the end until the time above is over.
        with trio.CancelScope(shield=True), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with self.lock:
                await self._stream.send_eof()

    def abort(self) -> None:
        """Close the socket by force: what is unsent is dropped, and the peer sees a reset."""
        if self._socket.fileno() != -1:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._socket.close()

    def taken_bytes(self) -> int | None:
        """A number that rises by each byte that the peer acknowledges; None when that is not known."""
        return self.peer.taken_bytes()

    def unsent_bytes(self) -> int | None:
        """What the kernel holds and the peer has not acknowledged; None when that is not known."""
        return self.peer.unsent_bytes()

    @property
    def _socket(self) -> Any:
        """Trio's."""
        return (self._stream.transport_stream if self.is_tls else self._stream).socket
