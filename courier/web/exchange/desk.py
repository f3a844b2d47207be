"""Desk: an exchange at the desk."""

from collections.abc import Callable

from courier.serving.peer import Endpoint, Exchange, Peer
from courier.web.answer import Answer, header_lines, response
from courier.web.exchange import EVENT_STREAM
from courier.web.exchange.stream import StreamPeer
from courier.web.exchange.text import EventText


class AtDesk:
    """A `courier.web.exchange.Exchange`."""

    __slots__ = ("_exchange", "address")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.address = exchange.address

    def wait(self, make: Callable[[Peer], Endpoint]) -> None:
        self._exchange.wait(make)

    def answer(self, answer: Answer, content_type: str = "application/json") -> None:
        self._exchange.respond(response(answer, content_type))

    def stream(self, headers: dict[str, str], text: EventText, make: Callable[[Peer], Endpoint]) -> None:
        headers = {"content-type": EVENT_STREAM, **headers}
        headers |= {"transfer-encoding": "chunked", "connection": "close"}
        head = b"HTTP/1.1 200 \r\n%b\r\n" % header_lines(headers)
        self._exchange.stream(head, lambda peer: make(StreamPeer(peer, text)))
