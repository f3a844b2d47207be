"""Exchange: a request for reading, on either path, whose answer may take its time, or last."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from courier.serving.peer import Endpoint, Peer
from courier.web.answer import Answer
from courier.web.exchange.text import EventText

EVENT_STREAM = "text/event-stream"


class Asked(NamedTuple):
    """A GET request of a reader, unjudged; None is a header that is not there."""

    path: str
    """Decoded."""
    query: str
    authorization: str | None
    accept: str | None
    origin: str | None
    last_event_id: str | None
    request_id: str | None
    traceparent: str | None

    @classmethod
    def of(cls, path: str, query: str, header: Callable[[str], str | None]) -> "Asked":
        """`header` gives a header by its name in lower case."""
        names = ("authorization", "accept", "origin", "last-event-id", "x-request-id", "traceparent")
        return cls(path, query, *map(header, names))

    @classmethod
    def of_scope(cls, scope: Any) -> "Asked":
        """Of an `http` scope (ASGI 3). The server has refused headers that came twice and hold one value."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        return cls.of(scope["path"], scope["query_string"].decode("latin-1"), headers.get)

    @property
    def wants_events(self) -> bool:
        """Whether the reader can read an answer as an event stream."""
        return EVENT_STREAM in (self.accept or "").lower()


class Exchange(Protocol):
    """One request, and one answer: `answer` or `stream`, at once or later."""

    @property
    def address(self) -> str | None:
        """Where the peer's packets come from, which may be a proxy."""

    def wait(self, make: Callable[[Peer], Endpoint]) -> None:
        """Let the endpoint watch the clock and the peer up to the answer; of the peer it may use `address`
        and `call_at`."""

    def answer(self, answer: Answer, content_type: str = "application/json") -> None:
        """Answer as a whole."""

    def stream(self, headers: dict[str, str], text: EventText, make: Callable[[Peer], Endpoint]) -> None:
        """Answer 200 with an event stream, on which the endpoint speaks."""
