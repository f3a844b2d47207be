"""Openings: requests that may begin something that lasts, while they wait for their answers."""

from collections.abc import Callable
from typing import Protocol, TypeVarTuple

from courier.serving.desk.connection import Connection, Speaker
from courier.serving.peer import Closed, Endpoint, Peer

Args = TypeVarTuple("Args")


class WebSockets(Speaker, Protocol):
    """The stage after a handshake."""

    def refuse(self, row: Connection, code: int, reason: str) -> None: ...


class Answers(Protocol):
    """What the desk does for an opening."""

    def answer(self, row: Connection, data: bytes) -> None: ...

    def later(self, row: Connection, step: Callable[[], None]) -> None: ...

    def guard(self, row: Connection, step: Callable[[*Args], None], *args: *Args) -> None: ...


class Stages(Speaker, Protocol):
    """The stage before: of plain requests."""

    @property
    def desk(self) -> Answers: ...

    @property
    def websockets(self) -> WebSockets: ...

    @property
    def streams(self) -> Speaker: ...

    @property
    def waiting(self) -> Speaker: ...

    @property
    def date(self) -> Callable[[], bytes]: ...

    def dated(self, answer: bytes) -> bytes: ...

    def go_on(self, row: Connection) -> None: ...


class Handshake:
    """A `courier.serving.peer.Opening`."""

    __slots__ = ("_accept", "_http", "_row", "address")

    def __init__(self, http: Stages, row: Connection, accept: str) -> None:
        self._http = http
        self._row = row
        self._accept = accept
        self.address = row.address

    def accept(self, subprotocol: str | None, make: Callable[[Peer], Endpoint]) -> None:
        if self._row.loss is None:
            self._http.desk.guard(self._row, self._begin, subprotocol, make)
        else:
            make(self._row).ended(self._row.loss, None, "")

    def refuse(self, subprotocol: str | None, code: int, reason: str) -> None:
        if self._row.loss is None:
            self._http.desk.guard(self._row, self._end, subprotocol, code, reason)

    def _begin(self, subprotocol: str | None, make: Callable[[Peer], Endpoint]) -> None:
        self._cork()
        self._switch(subprotocol)
        try:
            self._row.endpoint = make(self._row)
        except BaseException:
            self._row.uncork()  # a peer that has been let in can tell a fault from a server that is not there
            raise

    def _end(self, subprotocol: str | None, code: int, reason: str) -> None:
        self._cork()
        self._switch(subprotocol)
        self._http.websockets.refuse(self._row, code, reason)

    def _cork(self) -> None:
        """Write all that is said now as one, and right behind the others' answers; see `Desk._finish`."""
        self._row.cork()
        self._http.desk.later(self._row, self._row.uncork)

    def _switch(self, subprotocol: str | None) -> None:
        """Answer 101 (RFC 6455, 4.2.2)."""
        chosen = f"sec-websocket-protocol: {subprotocol}\r\n" if subprotocol else ""
        lines = (
            f"{chosen}sec-websocket-accept: {self._accept}\r\nupgrade: WebSocket\r\nconnection: Upgrade\r\n"
        )
        self._row.owed = False
        self._row.put(b"HTTP/1.1 101 \r\n%b%b\r\n" % (lines.encode("ascii"), self._http.date()))
        self._row.pass_to(self._http.websockets)


class HeldExchange:
    """A `courier.serving.peer.Exchange`."""

    __slots__ = ("_http", "_rest", "_row", "address")

    def __init__(self, http: Stages, row: Connection, rest: bytes) -> None:
        """`rest` has come behind the request."""
        self._http = http
        self._row = row
        self._rest = rest
        self.address = row.address

    def wait(self, make: Callable[[Peer], Endpoint]) -> None:
        if self._row.loss is None:
            self._http.desk.guard(self._row, self._wait, make)
        else:
            make(self._row).ended(self._row.loss, None, "")

    def respond(self, answer: bytes) -> None:
        if self._row.loss is None:
            self._http.desk.guard(self._row, self._respond, answer)

    def stream(self, head: bytes, make: Callable[[Peer], Endpoint]) -> None:
        if self._row.loss is None:
            self._http.desk.guard(self._row, self._stream, head, make)
        else:
            make(self._row).ended(self._row.loss, None, "")

    def _wait(self, make: Callable[[Peer], Endpoint]) -> None:
        row = self._row
        row.pass_to(self._http.waiting)
        row.unread, self._rest = self._rest, b""
        if row.unread:
            row.pause()
        row.endpoint = make(row)

    def _respond(self, answer: bytes) -> None:
        """The rest waits until the desk is out of what it is doing: this may be the middle of a fan-out."""
        self._http.desk.answer(self._row, self._http.dated(answer))
        self._http.desk.later(self._row, self._answered)

    def _answered(self) -> None:
        row = self._row
        endpoint, row.endpoint = row.endpoint, None
        if endpoint is not None:
            endpoint.ended(Closed.BY_US, None, "")
        row.unread = bytes(row.unread) + self._rest
        row.pass_to(self._http)
        self._http.go_on(row)

    def _stream(self, head: bytes, make: Callable[[Peer], Endpoint]) -> None:
        row = self._row
        row.cork()
        self._http.desk.later(row, row.uncork)
        row.owed = False
        row.put(self._http.dated(head))
        row.pass_to(self._http.streams)
        try:
            row.endpoint = endpoint = make(row)
        except BaseException:
            row.uncork()  # as with a WebSocket
            raise
        if self._rest:
            endpoint.heard(self._rest)
