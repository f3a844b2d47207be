"""Transport: what a connection of the general path can ask of its server, beside ASGI."""

from typing import Protocol

CONNECTION_EXTENSION = "courier.connection"
"""The extension of an ASGI scope that is its connection's `Server`."""

BY_SERVER = "courier.by_server"
"""A key of the event `websocket.disconnect`: the server closed, because the peer broke the protocol."""


class Server(Protocol):
    """What is written to by ASGI can ask this of its server."""

    stalled: bool
    """The peer took nothing for as long as it may, and the socket is closed."""

    def taken_bytes(self) -> int | None:
        """A number that rises by each byte that the peer acknowledges; None when that is not known."""

    def unsent_bytes(self) -> int | None:
        """What the kernel holds and the peer has not acknowledged; None when that is not known."""

    def abort(self) -> None:
        """Close the socket by force, whatever is in it."""


class UnknownServer:
    """Stands for a server that tells nothing of its sockets, and closes each when its application returns."""

    stalled = False

    def taken_bytes(self) -> int | None:
        return None

    def unsent_bytes(self) -> int | None:
        return None

    def abort(self) -> None:
        """Leave it to the server."""
