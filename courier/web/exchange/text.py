"""Text: what subscribers get, as server-sent events (WHATWG HTML, 9.2.5 and 9.2.6)."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping

from pydantic_core import from_json

from courier.actors.frames import Page, frames_of, payload_of
from courier.schemas.control import StreamClosed

HEARTBEAT = b": heartbeat\n\n"
"""A comment: it moves no id, and a page does not hear of it."""

_PING = b"ping"
_EVENT = b'{"id":"'
_CHANNEL = b'","channel":"'


class EventText(ABC):
    """Makes the text of messages, in the order in which one stream gets them, or many streams alike."""

    def of(self, payload: bytes) -> bytes:
        """The text of one message of `courier.v1`; that of a `ping` is a comment."""
        if payload.startswith(_EVENT):
            return b"id: %b\ndata: %b\n\n" % (self._id_of(payload), payload)
        if payload == _PING:
            return HEARTBEAT
        said = from_json(payload)
        lines = b"event: courier\ndata: %b\n\n" % payload
        match said["type"]:
            case "courier.joined" if said["recovered"] or not self._asked_for(said["channel"]):
                return b"id: %b\n%b" % (self._move(said["channel"], said["position"]), lines)
            case "courier.gap":
                return b"id: %b\n%b" % (self._move(said["channel"], said["resumed_from"]), lines)
            case "courier.drain":
                return b"retry: %d\n%b" % (said["reconnect_in_ms"], lines)
        return lines

    @abstractmethod
    def page(self, data: bytes) -> Page:
        """The same for frames of a page, each as a chunk (RFC 9112, 7.1)."""

    @abstractmethod
    def take(self, data: bytes, count: int) -> int:
        """Of the page made last, of `data`, a stream got so many frames only: returns how many bytes of
        `data` they are."""

    @abstractmethod
    def _id_of(self, event: bytes) -> bytes:
        """By which id a stream comes back behind an event."""

    @abstractmethod
    def _move(self, channel: str, position: str) -> bytes:
        """The same behind a control message that says where the channel stands."""

    @abstractmethod
    def _asked_for(self, channel: str) -> bool:
        """Whether the stream came back to a place in the channel: when it is not recovered, a gap follows."""


class OneChannel(EventText):
    """Text of streams of one channel. An id is a position, so the streams of all subscribers share it."""

    def __init__(self, *, comes_back: bool) -> None:
        self._comes_back = comes_back
        self._last: tuple[bytes, Page] = b"", Page(b"", [])

    def page(self, data: bytes) -> Page:
        known, page = self._last
        if known is not data:
            page = Page.of(chunk(self.of(payload_of(frame))) for frame in frames_of(data))
            self._last = data, page
        return page

    def take(self, data: bytes, count: int) -> int:
        return _bytes_of(data, count)

    def _id_of(self, event: bytes) -> bytes:
        return _position_of(event)

    def _move(self, channel: str, position: str) -> bytes:
        return position.encode()

    def _asked_for(self, channel: str) -> bool:
        return self._comes_back


class SeveralChannels(EventText):
    """Text of one stream of several channels. An id says where each of them stands."""

    def __init__(self, positions: Mapping[str, str], comes_back: Collection[str]) -> None:
        """`positions`: by which the stream would come back if it broke at once; `comes_back`: the channels of
        which it was asked for."""
        self._positions = dict(positions)
        self._before = self._positions
        self._comes_back = comes_back

    def page(self, data: bytes) -> Page:
        self._before = dict(self._positions)
        return Page.of(chunk(self.of(payload_of(frame))) for frame in frames_of(data))

    def take(self, data: bytes, count: int) -> int:
        self._positions = dict(self._before)
        for frame in frames_of(data)[:count]:
            self.of(payload_of(frame))
        return _bytes_of(data, count)

    def _id_of(self, event: bytes) -> bytes:
        position = _position_of(event)
        begin = len(_EVENT) + len(position) + len(_CHANNEL)
        return self._move(event[begin : event.index(b'"', begin)].decode(), position.decode())

    def _move(self, channel: str, position: str) -> bytes:
        self._positions[channel] = position
        return ";".join(f"{name}={at}" for name, at in self._positions.items()).encode()

    def _asked_for(self, channel: str) -> bool:
        return channel in self._comes_back


def closed_text(code: int, reason: str) -> bytes:
    """The last message of a stream."""
    return b"event: courier\ndata: %b\n\n" % StreamClosed(code=code, reason=reason).to_json()


def chunk(text: bytes) -> bytes:
    """A chunk of a chunked body (RFC 9112, 7.1)."""
    return b"%x\r\n%b\r\n" % (len(text), text)


def _position_of(event: bytes) -> bytes:
    return event[len(_EVENT) : event.index(b'"', len(_EVENT))]


def _bytes_of(data: bytes, count: int) -> int:
    return sum(map(len, frames_of(data)[:count]))
