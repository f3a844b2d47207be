"""Transport: what the server lends to the application of a WebSocket, beside ASGI."""

from typing import Protocol

import trio

TRANSPORT_EXTENSION = "courier.wire"
"""The extension of a WebSocket's ASGI scope that is its `Transport`; absent under TLS."""

CONNECTION_EXTENSION = "courier.connection"
"""The extension of a WebSocket's ASGI scope that is its `Server`."""

BY_SERVER = "courier.by_server"
"""A key of the event `websocket.disconnect`: the server closed, because the peer broke the protocol."""


class Transport(Protocol):
    """The socket of one WebSocket, for ready frames."""

    send_lock: trio.Semaphore
    """Held round whatever is written to the socket, by the application and by the server."""

    open: bool
    """No close frame has been written or read."""

    def send(self, data: bytes) -> int:
        """Write what the socket takes at once; returns how many bytes. Raises OSError."""

    async def writable(self) -> None:
        """Wait until the socket takes more. Raises OSError or `trio.ClosedResourceError`."""

    def taken_bytes(self) -> int | None:
        """A number that rises by each byte that the peer acknowledges; None when that is not known."""

    def unsent_bytes(self) -> int | None:
        """What the kernel holds and the peer has not acknowledged; None when that is not known."""

    def close_frame(self, code: int, reason: str) -> bytes:
        """The close frame; from now on no other frame may follow, and `open` is false."""

    def abort(self) -> None:
        """Close the socket by force, whatever is in it."""


class Server(Protocol):
    """What a WebSocket that is written to by ASGI can ask of its server."""

    stalled: bool
    """The peer took nothing for as long as it may, and the socket is closed."""

    def taken_bytes(self) -> int | None:
        """As a `Transport` does."""

    def unsent_bytes(self) -> int | None:
        """As a `Transport` does."""

    def abort(self) -> None:
        """Close the socket by force, whatever is in it."""
