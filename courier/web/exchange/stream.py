"""Stream: the socket under an event stream, for an endpoint that writes frames as to a WebSocket."""

from courier.actors.frames import payload_of
from courier.serving.peer import Peer
from courier.web.exchange.text import EventText, chunk, closed_text


class StreamPeer:
    """A `courier.serving.peer.Peer` that writes what it is given as chunks of server-sent events.

    A page is text once, for all streams to which that is the same. What the socket does not take of the last
    event that it has begun is held in it.
    """

    __slots__ = ("_peer", "_text", "address")

    def __init__(self, peer: Peer, text: EventText) -> None:
        self._peer = peer
        self._text = text
        self.address = peer.address

    @property
    def holding(self) -> bool:
        return self._peer.holding

    @property
    def held_bytes(self) -> int:
        return self._peer.held_bytes

    def write(self, data: bytes) -> int:
        page = self._text.page(data)
        sent = self._peer.write(page.data)
        if sent == len(page.data):
            return len(data)
        count, rest = page.cut(sent)
        self._peer.hold(rest)
        return self._text.take(data, count)

    def hold(self, rest: bytes) -> None:
        assert not rest, "a frame is never cut here"

    def put(self, data: bytes) -> None:
        self._peer.put(chunk(self._text.of(payload_of(data))))

    def cork(self) -> bool:
        return self._peer.cork()

    def uncork(self) -> None:
        self._peer.uncork()

    def await_room(self) -> None:
        self._peer.await_room()

    def taken_bytes(self) -> int | None:
        return self._peer.taken_bytes()

    def unsent_bytes(self) -> int | None:
        return self._peer.unsent_bytes()

    def close(self, code: int, reason: str, by: float) -> None:
        self._peer.put(chunk(closed_text(code, reason)))  # nothing, when it is being closed already
        self._peer.close(code, reason, by)

    def abort(self) -> None:
        self._peer.abort()

    def call_at(self, deadline: float) -> None:
        self._peer.call_at(deadline)
