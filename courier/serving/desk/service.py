"""Service: what an application gives its server, and what it gets from it. Neither imports the other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from courier.serving.peer import Opening
from courier.serving.requests import Head


class Route(Protocol):
    """How requests with one head are answered."""

    @property
    def max_body_bytes(self) -> int:
        """A request with a longer body is left to the general path."""

    def answer(self, body: bytes, respond: Callable[[bytes], None]) -> bytes | None:
        """The whole answer, from the status line on; None when `respond` gets it later, once."""


@dataclass(frozen=True, slots=True)
class Service:
    """What an application has the desk answer; all else is for the general path."""

    route: Callable[[Head], Route | None]
    """Who answers a request with such a head. Asked once for many requests whose heads are the same."""
    join: Callable[[Head, Opening], bool]
    """Takes a WebSocket handshake; False when it does not."""
    closed: Callable[[], bool]
    """Whether everything new is for the general path, as in a drain."""
    fault: Callable[[BaseException], None]
    """Called with an exception that has ended a connection."""
    max_connections: int
    """Of any kind; one more is closed unheard."""
    max_message_bytes: int
    """A longer message from a WebSocket closes it with 1009."""
    stall_seconds: float
    """How long a peer may acknowledge nothing of what was written to it."""
