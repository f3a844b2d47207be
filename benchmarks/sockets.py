"""Sockets: the load client's connections to one server on loopback, each WebSocket another user's."""

import socket
from time import time
from types import TracebackType
from typing import Self

import jwt

from benchmarks import frames
from benchmarks.errors import LoadError
from benchmarks.tape import SERVICE

ANSWER_SECONDS = 30.0
"""How long a connection, or a 101, may take."""


class Sockets:
    """Opens them as they are asked for, and closes all where its block ends."""

    def __init__(self, port: int, secret: str) -> None:
        self.port = port
        self._secret = secret
        self._users = 0
        self._opened: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in self._opened:
            sock.close()

    def connect(self, receive_bytes: int | None = None) -> socket.socket:
        """A connection; with `receive_bytes` the kernel keeps little more than that for it."""
        sock = socket.socket()
        self._opened.append(sock)
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.settimeout(ANSWER_SECONDS)
        sock.connect(("127.0.0.1", self.port))
        return sock

    def approach(self) -> socket.socket:
        """A connection that is under way, and never blocks."""
        sock = socket.socket()
        self._opened.append(sock)
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", self.port))
        return sock

    def upgrade(self, channel: str, since: str | None = None) -> bytes:
        """The request by which the next user joins `channel`, after the position `since` if there is one."""
        claims = {"user_id": f"user-{self._users}", "wallet_address": f"wallet-{self._users}"}
        self._users += 1
        path = f"/ws/{channel}?token={self._token(claims)}"
        return frames.upgrade(self.port, path if since is None else f"{path}&since={since}")

    def join(self, channel: str, since: str | None = None, receive_bytes: int | None = None) -> socket.socket:
        """A connection that has sent its `upgrade`; `await_upgrade` says when it is a WebSocket."""
        sock = self.connect(receive_bytes)
        sock.sendall(self.upgrade(channel, since))
        return sock

    def service_token(self) -> str:
        """What a publisher shows."""
        return self._token({"service": SERVICE})

    def _token(self, claims: dict[str, str]) -> str:
        now = int(time())
        return jwt.encode({**claims, "iat": now, "exp": now + 3600}, self._secret, "HS256")


def await_upgrade(sock: socket.socket) -> bytes:
    """What has come after the 101; from then on the socket does not block."""
    data = b""
    while (rest := frames.after_upgrade(data)) is None:
        more = sock.recv(4096)
        if not more:
            raise LoadError("the server closed the connection instead of a 101")
        data += more
    sock.setblocking(False)
    return rest
