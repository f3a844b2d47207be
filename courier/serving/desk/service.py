"""Service: what an application gives its server, and what it gets from it. Neither imports the other."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from courier.serving.desk.requests import Head


class Loss(Enum):
    """Why a connection is closed without a word."""

    BROKEN = auto()
    """The peer has gone, or the network lost it."""
    STALLED = auto()
    """The peer acknowledged nothing of what was written to it, for as long as it may."""
    ABORTED = auto()
    """This side gave it up: by `Peer.abort`, because of a fault, or because a goodbye took too long."""


class Closed(Enum):
    """How a WebSocket came to its end, if not by a `Loss`."""

    BY_PEER = auto()
    """The peer sent a close, which was answered, or answered ours."""
    BY_VIOLATION = auto()
    """The peer broke the protocol, or sent too long a message, and was closed with a code that says so."""


class Peer(Protocol):
    """The WebSocket under an endpoint. Its calls never wait and never raise: once it is lost they do nothing,
    and `Endpoint.ended` follows."""

    address: str | None
    """Where the peer's packets come from, which may be a proxy; None for a Unix socket."""

    @property
    def holding(self) -> bool:
        """Bytes wait for the socket."""

    @property
    def held_bytes(self) -> int:
        """How many."""

    def write(self, data: bytes) -> int:
        """Write what the socket takes at once, and nothing while bytes are held; returns how many bytes. When
        it takes less than all, `Endpoint.writable` is called once there is room again."""

    def hold(self, rest: bytes) -> None:
        """Write this before anything else: the rest of a frame of which `write` took the beginning."""

    def put(self, data: bytes) -> None:
        """Write whole frames, behind what is held."""

    def unsent_bytes(self) -> int | None:
        """What the kernel holds and the peer has not acknowledged; None when that is not known."""

    def close(self, code: int, reason: str, by: float) -> None:
        """Write what is held, then a close; nothing can be written after it. The peer has until `by`
        (`trio.current_time`) to take both and to answer."""

    def abort(self) -> None:
        """Close the socket by force: what is unsent is dropped, and the peer sees a reset."""

    def call_at(self, deadline: float) -> None:
        """Have `Endpoint.due` called then (`trio.current_time`), and not when it was set for before."""


class Endpoint(Protocol):
    """What speaks on a WebSocket. Each call is one short step; what it raises ends this connection only."""

    def heard(self, message: str | bytes) -> None:
        """The peer has sent a message."""

    def writable(self) -> None:
        """Nothing is held, and the socket takes more."""

    def due(self, now: float) -> None:
        """The moment of `Peer.call_at` has come."""

    def ended(self, how: Closed | Loss, code: int | None, reason: str) -> None:
        """The connection is over; called once, last. `code` and `reason` are those of the peer's close, or of
        ours after a violation; None where there was no close, or where it had no code."""


class Opening(Protocol):
    """A WebSocket handshake that waits for its answer: `accept` or `refuse`, at once or later.

    When the peer leaves before, both do nothing, and the endpoint is never made.
    """

    address: str | None

    def accept(self, subprotocol: str | None, make: Callable[[Peer], Endpoint]) -> None:
        """Answer 101, and let the endpoint that `make` gives speak."""

    def refuse(self, subprotocol: str | None, code: int, reason: str) -> None:
        """Answer 101 and close: a browser shows its page no other refusal than a close code."""


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
