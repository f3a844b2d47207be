"""WebSocket: one connection of an ASGI server, as a join uses it.

Quart's own costs two tasks, a queue and a nursery a connection, 15 KiB of the 40 that an idle one may have,
for a handler that reads one message at a time.
"""

from typing import Any, NamedTuple
from urllib.parse import parse_qs

from courier.serving.transport import BY_SERVER
from courier.web.head import repeated_parameters

ABNORMAL = 1006
"""Stands for a close that was never said (RFC 6455, 7.1.5)."""


class End(NamedTuple):
    """How a WebSocket ended."""

    code: int = ABNORMAL
    """What the close said; ABNORMAL when the connection broke without one."""
    by_peer: bool = True
    """The peer closed, or has gone; otherwise it broke the protocol, and the server closed."""


class Disconnected(Exception):
    """The WebSocket has ended."""

    def __init__(self, end: End) -> None:
        super().__init__(end)
        self.end = end


class WebSocket:
    """A WebSocket that has asked to be accepted (ASGI 3, `websocket` scope)."""

    __slots__ = (
        "_receive",
        "_send",
        "address",
        "extensions",
        "headers",
        "path",
        "query",
        "repeated",
        "subprotocols",
    )

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self._receive = receive
        self._send = send
        self.path: str = scope["path"]
        """Decoded, without the query."""
        client = scope.get("client")
        self.address: str | None = client[0] if client else None
        """Where the peer's packets come from, which may be a proxy; None where there are no addresses."""
        self.extensions: dict[str, Any] = scope.get("extensions") or {}
        self.subprotocols: list[str] = list(scope.get("subprotocols", ()))
        self.headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        """By lower-case name. Those that Courier reads come once each."""
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        self.query = {name: values[0] for name, values in query.items()}
        """Decoded; of a parameter that came more than once, the first."""
        self.repeated = repeated_parameters(scope.get("query_string", b""))
        """Parameters that Courier reads and that came more than once."""

    async def accept(self, subprotocol: str | None) -> None:
        """Say yes. When the peer has gone meanwhile, nothing happens."""
        await self._receive()  # "websocket.connect" is always first
        await self._send({"type": "websocket.accept", "subprotocol": subprotocol})

    async def receive(self) -> str | bytes:
        """The next message; raises `Disconnected` when there will be none."""
        event = await self._receive()
        if event["type"] == "websocket.disconnect":
            raise Disconnected(End(event.get("code", ABNORMAL), not event.get(BY_SERVER)))
        text: str | None = event.get("text")
        return event["bytes"] if text is None else text

    async def send(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})

    async def close(self, code: int, reason: str) -> None:
        """Say why, and that nothing more comes."""
        await self._send({"type": "websocket.close", "code": code, "reason": reason})
