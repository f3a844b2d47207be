"""Joiner: one WebSocket on its way in, among many that come at once."""

import socket
from collections.abc import Callable
from time import perf_counter_ns

from benchmarks import frames
from benchmarks.errors import LoadError


class Joiner:
    """Sends its upgrade once connected, and calls `joined` with what follows the 101."""

    __slots__ = ("_joined", "_received", "_request", "_sent", "_sock", "joined_at")

    def __init__(
        self,
        sock: socket.socket,
        request: bytes,
        joined: Callable[[bytes], None],
        sent: Callable[[], None],
    ) -> None:
        self.joined_at = 0
        """When the 101 had come (`perf_counter_ns`); 0 until then."""
        self._sock = sock
        self._request = request
        self._joined = joined
        self._sent = sent
        self._received = b""

    @property
    def done(self) -> bool:
        return bool(self.joined_at)

    def on_ready(self) -> None:
        """The socket can be written, as long as the request is unsent, or read."""
        if self._request:
            self._connected()
            return
        data = self._sock.recv(64 * 1024)
        if not data:
            raise LoadError("the server closed a connection instead of a 101")
        self._received += data
        rest = frames.after_upgrade(self._received)
        if rest is not None:
            self.joined_at = perf_counter_ns()
            self._joined(rest)

    def _connected(self) -> None:
        error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, "a connection was refused")
        self._sock.sendall(self._request)
        self._request = b""
        self._sent()
