"""Service: what an application gives its server, and what the server asks of its application."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from hypercorn.config import Config

from courier.serving.peer import Exchange, Opening
from courier.serving.requests import Head


class Route(Protocol):
    """How the requests of one peer that have the same head are answered."""

    @property
    def max_body_bytes(self) -> int:
        """A request with a longer body is left to the general path."""

    def answer(self, body: bytes, respond: Callable[[bytes], None]) -> bytes | None:
        """The whole answer, from the status line on; None when `respond` gets it later, once.

        The server adds the header lines that all its answers have, such as the date.
        """

    def too_late(self) -> bytes:
        """The whole answer to a request whose body has not come in time."""


@dataclass(frozen=True, slots=True)
class Service:
    """What an application decides of how it is served, as one value."""

    stall_seconds: float
    """How long a peer may acknowledge nothing of what the server sends it, before it is cut off."""
    max_connections: int
    """Of any kind; one more is closed unheard."""
    max_message_bytes: int
    """A longer message from a WebSocket closes it with 1009."""
    once_headers: frozenset[bytes]
    """Headers, in lower case, that the application reads and that hold one value: a request with two of one
    is refused, as is one with two of those that the server reads."""
    fault: Callable[[BaseException], None]
    """Called with an exception that ended a connection and was not its peer's doing."""

    # What the desk answers for it. All else goes the general path, which is ASGI.

    desk: bool
    """Whether there is a desk; without one, everything goes the general path."""
    route: Callable[[Head, str | None], Route | None]
    """Who answers plain requests with such a head from a peer at such an address; None leaves them to the
    general path. Asked once for many requests."""
    join: Callable[[Head, Opening], bool]
    """Takes a plain WebSocket handshake; False leaves it to the general path."""
    exchange: Callable[[Head, Exchange], bool]
    """Takes a plain GET of which the answer may take its time, or last; False leaves it to the general
    path."""
    closed: Callable[[], bool]
    """Whether everything new is for the general path, as in a drain, where its answers end connections."""


@runtime_checkable
class Application(Protocol):
    """The ASGI application that the server serves, and what else the server asks it."""

    def prepare(self, config: Config) -> Service:
        """Agree to be served in this way; refuse by raising SystemExit."""

    def reload(self) -> None:
        """Take anew what may change while it runs."""

    def status(self) -> str:
        """How it is, in a few words for people."""

    async def leave(self) -> None:
        """Return when it will take nothing new. Called first when it is to stop."""

    async def drain(self) -> None:
        """Return when nothing would be lost if the server stopped."""

    async def failed(self) -> None:
        """Return when it cannot go on, so that the server should stop."""

    def raise_if_failed(self) -> None:
        """End the process with an exit code that says so, if it could not go on."""
