"""Subscribers without an event loop, for tests that drive a browser; one of them does not read."""

import json
import socket
import struct
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.web.servers import token

PATIENCE_SECONDS = 10.0


class Subscriber:
    """Joined when it is made. It reads when it is asked to, and not before."""

    def __init__(self, url: str, channel: str | list[str], user: str, *, reads: bool = True) -> None:
        """With a list of channels, by one connection for all of them."""
        many = not isinstance(channel, str)
        path, more = ("/ws", "Sec-WebSocket-Protocol: courier.v1\r\n") if many else (f"/ws/{channel}", "")
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self._socket = socket.socket()
        if not reads:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self._socket.settimeout(PATIENCE_SECONDS)
        self._socket.connect((parts.hostname, parts.port))
        self._socket.sendall(
            f"GET {path}?token={token(user)} HTTP/1.1\r\nHost: {parts.netloc}\r\n{more}"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._exactly(1)
        assert b" 101 " in head
        for ref, name in enumerate(channel if many else ()):
            self.say({"type": "courier.subscribe", "ref": ref, "channel": name})
        for _ in range(len(channel) + 1 if many else 0):
            assert self.next_event()["type"] in ("courier.connected", "courier.subscribed")

    def say(self, message: dict[str, Any]) -> None:
        """Send a message, in one frame whose mask is 0 (RFC 6455, 5.3)."""
        text = json.dumps(message).encode()
        assert len(text) <= 125
        self._socket.sendall(bytes((0x81, 0x80 | len(text))) + bytes(4) + text)

    def next_event(self) -> Any:
        """Wait for the next event."""
        opcode, payload = self._frame()
        assert opcode == 1
        return json.loads(payload)

    def close_code(self) -> int:
        """Read all that still comes, and then the code of the close."""
        while True:
            opcode, payload = self._frame()
            if opcode == 8:
                return int.from_bytes(payload[:2], "big")

    def _frame(self) -> tuple[int, bytes]:
        """One frame of a server: unmasked and unfragmented (RFC 6455, 5.2)."""
        first, size = self._exactly(2)
        if size == 126:
            [size] = struct.unpack("!H", self._exactly(2))
        elif size == 127:
            [size] = struct.unpack("!Q", self._exactly(8))
        return first & 0x0F, self._exactly(size)

    def _exactly(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count:
            chunk = self._socket.recv(count - len(received))
            assert chunk, "the connection ended"
            received += chunk
        return bytes(received)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
