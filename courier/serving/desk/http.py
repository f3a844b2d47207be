"""Http: a connection on which plain requests are answered, until it becomes a WebSocket or goes elsewhere."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple, Protocol, TypeVarTuple

from courier.serving.desk.connection import Connection, Keeper
from courier.serving.desk.lingering import Lingering
from courier.serving.desk.openings import Handshake, HeldExchange, WebSockets
from courier.serving.desk.streams import Streams, Waiting
from courier.serving.desk.websocket import accept_of, wants_websocket
from courier.serving.requests import (
    END_OF_HEAD,
    MAX_HEAD_BYTES,
    REQUEST_SECONDS,
    Head,
    may_become_plain,
    parse_head,
)
from courier.serving.service import Route, Service

HEADS_KEPT = 1024
HEAD_KEPT_BYTES = 1024
"""Heads that are remembered with their routes: a program sends the same one again and again."""

REQUESTS_AT_ONCE = 4
"""How many requests that came together are answered before the others have their turn."""

IDLE_SECONDS = 75.0
"""How long a connection may ask for nothing."""

BUSY_SECONDS = 5.0
LAST_REQUEST_SECONDS = 1.0
"""At the end, how lately a connection must have been used to be waited for, and how long. A peer that asked
just before most likely asks again: cut, it could not tell whether it was heard."""

Args = TypeVarTuple("Args")


class Scheduler(Keeper, Protocol):
    """What the desk does for this stage, beside what it does for a connection."""

    def late(self) -> bool: ...

    def answer(self, row: Connection, data: bytes) -> None: ...

    def write_answers(self) -> None: ...

    def later(self, row: Connection, step: Callable[[], None]) -> None: ...

    def next_share(self, row: Connection, step: Callable[[], None]) -> None: ...

    def guard(self, row: Connection, step: Callable[[*Args], None], *args: *Args) -> None: ...


class Known(NamedTuple):
    """A head, and who answers requests that have it."""

    head: Head
    route: Route | None
    """None for a handshake of a WebSocket, and for an answer that may take its time."""


class Http:
    """Reads requests strictly, asks the service for answers, and hands over what it does not take.

    While an answer is waited for nothing more is read, so that answers leave in the order of their requests.
    """

    def __init__(
        self,
        desk: Scheduler,
        service: Service,
        websockets: WebSockets,
        lingering: Lingering,
        *,
        hand_over: Callable[[Connection, bytes], None],
        date: Callable[[], bytes],
    ) -> None:
        self.desk = desk
        self._service = service
        self.websockets = websockets
        self.streams, self.waiting = Streams(desk, lingering), Waiting(desk, lingering)
        self._lingering = lingering
        self._hand_over = hand_over
        self.date = date
        """Header lines that every answer has."""
        self._idle_seconds = IDLE_SECONDS
        self._remembered = lru_cache(HEADS_KEPT)(self._look_at)

    def begin(self, row: Connection) -> None:
        row.used_at = self.desk.now()
        if row.due_at > row.used_at + self._idle_seconds:  # else it is looked at sooner, and left alone then
            row.call_at(row.used_at + self._idle_seconds)

    def go_on(self, row: Connection) -> None:
        row.owed = False
        if row.holding:
            return  # until it is `writable`: nothing is answered that the peer would not take
        data, row.unread = bytes(row.unread), b""
        row.resume()
        self.read(row, data)

    def dismiss(self, row: Connection) -> None:
        """Close it when it is idle; one that was just used may ask once more, and is then closed."""
        self._idle_seconds = LAST_REQUEST_SECONDS
        if row.owed:
            return
        now = self.desk.now()
        if now < row.used_at + BUSY_SECONDS:
            row.call_at(min(row.due_at, now + LAST_REQUEST_SECONDS))
        else:
            self._lingering.take(row)

    def heard(self, row: Connection, data: bytes) -> None:
        if not row.unread:
            if data:
                self.read(row, data)
            else:
                self._lingering.take(row)
        elif not data:
            self._leave(row, bytes(row.unread))
        else:
            row.unread += data  # in place, however many pieces it comes in
            if len(row.unread) >= row.wanted:
                whole, row.unread = bytes(row.unread), b""
                self.read(row, whole)

    def writable(self, row: Connection) -> None:
        if not row.reading and not row.owed:
            self.go_on(row)

    def due(self, row: Connection, now: float) -> None:
        idle_until = row.used_at + self._idle_seconds
        if row.owed:
            return  # the next answer sets the time anew
        if row.unread:
            self._look_for_rest(row, now)
        elif now < idle_until:
            row.call_at(idle_until)
        else:
            self._lingering.take(row)

    def over(self, row: Connection) -> None:
        """What is answered from now on is for nobody."""

    def close(self, row: Connection, code: int, reason: str, by: float) -> None:
        """There is no WebSocket to close yet."""

    def read(self, row: Connection, data: bytes) -> None:
        """Answer the requests that `data` begins with, in turn; keep the rest."""
        at = answered = 0
        while row.reading:
            while data.startswith(b"\r\n", at):  # some clients end a body so (RFC 9112, 2.2)
                at += 2
            if at >= len(data):
                row.unread = b""
                self.begin(row)
                return
            stop = data.find(END_OF_HEAD, at, at + MAX_HEAD_BYTES)
            if stop < 0:
                if may_become_plain(data[at:]):
                    self._await_rest(row, data[at:], 1)
                else:
                    self._leave(row, data[at:])
                return
            known = self._known(data[at:stop], row.address)
            end = stop + len(END_OF_HEAD)
            if known is None or self._service.closed():
                self._leave(row, data[at:])
                return
            head, route = known
            if route is None:
                if not self._open(row, head, data[end:]):
                    self._leave(row, data[at:])
                return
            begin, end = end, end + head.body_bytes
            if end > len(data):
                self._await_rest(row, data[at:], end - at)
                return
            row.wanted = 0
            self._answer(row, route, data[begin:end])
            at, answered = end, answered + 1
            much = answered >= REQUESTS_AT_ONCE or self.desk.late()
            if at < len(data) and row.reading and much:
                self._wait(row)
                self.desk.next_share(row, partial(self.go_on, row))
        row.unread = data[at:]

    def _known(self, raw: bytes, address: str | None) -> Known | None:
        if raw.startswith(b"POST ") and len(raw) <= HEAD_KEPT_BYTES:
            return self._remembered(raw, address)
        return self._look_at(raw, address)

    def _look_at(self, raw: bytes, address: str | None) -> Known | None:
        """A head with its route, or without one where it may begin something that lasts; None when it is not
        for the desk."""
        head = parse_head(raw)
        if head is None:
            return None
        if "upgrade" in head.headers:
            return Known(head, None) if wants_websocket(head) else None
        route = self._service.route(head, address)
        if route is None:
            return Known(head, None) if head.method == "GET" and not head.body_bytes else None
        return None if head.body_bytes > route.max_body_bytes else Known(head, route)

    def _await_rest(self, row: Connection, data: bytes, wanted: int) -> None:
        """Keep what has come of a request, and look at it again when so many bytes have."""
        if not row.wanted:
            row.used_at = self.desk.now()
            row.call_at(min(row.due_at, row.used_at + REQUEST_SECONDS))
        row.unread, row.wanted = bytearray(data), wanted

    def _look_for_rest(self, row: Connection, now: float) -> None:
        """Close a connection on which the rest of a request does not come. A request that has its head is
        answered (RFC 9110, 15.5.9)."""
        data, until = bytes(row.unread), row.used_at + REQUEST_SECONDS
        if self._service.closed():
            self._leave(row, data)
        elif now < until:
            row.call_at(until)
        else:
            stop = data.find(END_OF_HEAD)
            known = self._known(data[:stop], row.address) if stop >= 0 else None
            if known is not None and known.route is not None:
                row.give(self.dated(known.route.too_late(), b"connection: close\r\n"))
            self._lingering.take(row)

    def _leave(self, row: Connection, data: bytes) -> None:
        """Hand it over, as soon as it has been given the answers to its earlier requests."""
        self.desk.write_answers()
        if row.holding:
            row.unread = data
            row.pause()
        elif row.loss is None:
            self._hand_over(row, data)

    def _answer(self, row: Connection, route: Route, body: bytes) -> None:
        answer = route.answer(body, partial(self._respond, row))
        if answer is not None:
            self.desk.answer(row, self.dated(answer))
        else:
            self._wait(row)

    def _wait(self, row: Connection) -> None:
        """Until `go_on` leave what the peer sends, and what is unread."""
        row.owed = True
        row.pause()

    def _respond(self, row: Connection, answer: bytes) -> None:
        self.desk.guard(row, self._give, row, answer)

    def _give(self, row: Connection, answer: bytes) -> None:
        """An answer that was waited for has come; what the peer has sent after its request is next."""
        self.desk.answer(row, self.dated(answer))
        self.desk.later(row, partial(self.go_on, row))

    def dated(self, answer: bytes, lines: bytes = b"") -> bytes:
        """The answer with these header lines, and those that every answer has, as its last ones."""
        end = answer.index(END_OF_HEAD) + 2
        return b"%b%b%b%b" % (answer[:end], lines, self.date(), answer[end:])

    # What may last

    def _open(self, row: Connection, head: Head, rest: bytes) -> bool:
        """Let the service take a handshake, or a request of which the answer may last; `rest` has come behind
        it. False when it does not take it."""
        if "upgrade" not in head.headers:
            exchange = HeldExchange(self, row, rest)
            return self._try(row, partial(self._service.exchange, head, exchange))
        accept = accept_of(head.headers.get("sec-websocket-key", ""))
        if accept is None or rest:
            return False
        return self._try(row, partial(self._service.join, head, Handshake(self, row, accept)))

    def _try(self, row: Connection, take: Callable[[], bool]) -> bool:
        self._wait(row)
        if take():
            return True
        row.owed = False
        row.resume()
        return False
