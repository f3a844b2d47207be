"""Service: what an application gives its server, and what the server asks of its application."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

from hypercorn.config import Config


class Request(Protocol):
    """A plain request, as far as it has come."""

    @property
    def end(self) -> int:
        """Where in the bytes it ends, or will end."""

    @property
    def whole(self) -> bool:
        """All of it has come."""


R = TypeVar("R", bound=Request)


class Lane(Protocol[R]):
    """A quick way into the application, for plain requests: from the bytes that came, below ASGI.

    A request is plain when nothing about it can be read in two ways. Every other one goes the long way.
    """

    @property
    def beginning(self) -> bytes:
        """How every request begins that the lane takes."""

    def closed(self) -> bool:
        """Whether all requests must go the long way, as in a drain."""

    def next_request(self, data: bytes, start: int, address: str | None) -> R | None:
        """The request of a peer at `address` that begins at `start`; None when it is not plain, or when its
        head has not come whole."""

    def respond(self, request: R, date: bytes) -> Awaitable[bytes]:
        """The answer to a request that is whole, from its first byte to its last; `date` is whole header
        lines that belong into it."""


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
    lane: Callable[[], Lane[Any] | None]
    """Gives a new connection its lane; None when all its requests go the long way."""
    fault: Callable[[BaseException], None]
    """Called with an exception that ended a connection and was not its peer's doing."""


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
