"""Peer and endpoint: a WebSocket's two sides in the server: the socket, and what speaks on it.

Both of the server's paths give an application the same two: the desk, and ASGI.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

MAX_REPLIES_BYTES = 64 * 1024
"""What `Peer.put` may have waiting for a socket: a peer that lets more wait is cut off as stalled."""

REFUSED_SECONDS = 5.0
"""How long the peer has to answer the close of a WebSocket that was refused, or broke the protocol."""


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

    BY_US = auto()
    """The close of `Peer.close` has been written, and all before it."""
    BY_PEER = auto()
    """The peer sent a close, which was answered."""
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
        """Write whole frames, behind what is held. While they wait nothing is read of the peer, so that its
        questions cannot make answers without end."""

    def cork(self) -> bool:
        """Gather what is written, until `uncork`. False when this side cannot, or does so already: nothing is
        changed then."""

    def uncork(self) -> None:
        """Write what was gathered as one; what the socket does not take of it is held."""

    def await_room(self) -> None:
        """Have `Endpoint.writable` called when the socket takes more, once others have had their turn."""

    def taken_bytes(self) -> int | None:
        """A number that rises by each byte that the peer acknowledges; None when that is not known."""

    def unsent_bytes(self) -> int | None:
        """What the kernel holds and the peer has not acknowledged; None when that is not known."""

    def close(self, code: int, reason: str, by: float) -> None:
        """Write what is held, then a close; nothing can be written after it. The peer has until `by`
        (`trio.current_time`) to take both. A second call only moves that moment. `Endpoint.ended` follows,
        and never from within this call."""

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

    When the peer has left meanwhile, the endpoint is made all the same, and hears at once that it ended.
    """

    address: str | None

    def accept(self, subprotocol: str | None, make: Callable[[Peer], Endpoint]) -> None:
        """Answer 101, and let the endpoint that `make` gives speak."""

    def refuse(self, subprotocol: str | None, code: int, reason: str) -> None:
        """Answer 101 and close: a browser shows its page no other refusal than a close code."""


class Exchange(Protocol):
    """A request whose answer may take its time, or last: `respond` or `stream`, once, at once or later.

    When the peer has left meanwhile, a stream's endpoint is made all the same, and hears at once that it
    ended.
    """

    address: str | None

    def wait(self, make: Callable[[Peer], Endpoint]) -> None:
        """Let the endpoint that `make` gives watch the clock and the peer, up to the answer. It writes
        nothing, and ends with the answer."""

    def respond(self, answer: bytes) -> None:
        """Write the whole answer, from the status line on. The connection goes on to its next request."""

    def stream(self, head: bytes, make: Callable[[Peer], Endpoint]) -> None:
        """Write the head of an answer, which says that its body is chunked and the connection closed at its
        end (RFC 9112, 7.1 and 9.6), and let the endpoint that `make` gives write the chunks.

        `Peer.close` writes the last chunk. Anything that the peer still sends is `Endpoint.heard`: it may be
        a request, which will not be answered.
        """
