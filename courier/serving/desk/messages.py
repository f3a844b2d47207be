"""Messages: a connection on which an endpoint speaks (RFC 6455), up to the close at its end."""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from courier.serving.desk.connection import Connection, Keeper
from courier.serving.desk.lingering import Lingering
from courier.serving.desk.websocket import (
    Close,
    MessageReader,
    Opcode,
    Ping,
    Received,
    Violation,
    close_frame,
    frame,
)
from courier.serving.peer import REFUSED_SECONDS, Closed, Loss


class Postponer(Keeper, Protocol):
    """What the desk does for this stage, beside what it does for a connection."""

    def later(self, row: Connection, step: Callable[[], None]) -> None: ...

    def next_share(self, row: Connection, step: Callable[[], None]) -> None: ...


class Messages:
    """Gives an endpoint what its peer says. After our close only the peer's is waited for."""

    def __init__(self, desk: Postponer, lingering: Lingering, max_message_bytes: int) -> None:
        self._desk = desk
        self._lingering = lingering
        self._max_message_bytes = max_message_bytes

    def heard(self, row: Connection, data: bytes) -> None:
        if data:
            self._read(row, data)
        else:
            self._hung_up(row)

    def _read(self, row: Connection, data: bytes) -> None:
        reader = row.reader or MessageReader(self._max_message_bytes)
        pongs: list[bytes] = []
        try:
            for received in reader.feed(data):
                if isinstance(received, Ping):
                    pongs.append(frame(Opcode.PONG, received.payload))
                    continue
                self._put(row, pongs)
                self._take(row, received)
                if row.loss is not None or row.speaker is not self:
                    return
        except Violation as violation:
            self._end(row, Closed.BY_VIOLATION, violation.code, violation.reason)
            self.close(row, violation.code, violation.reason, self._desk.now() + REFUSED_SECONDS)
            self._lingering.take(row)  # nothing that follows can be read
        else:
            self._put(row, pongs)
            row.reader = reader if reader.pending else None
            if reader.behind:
                row.pause()
                self._desk.next_share(row, partial(self._read_on, row))

    def _put(self, row: Connection, pongs: list[bytes]) -> None:
        """Write them as one, however many were asked for."""
        if pongs:
            row.put(b"".join(pongs))
            pongs.clear()

    def _read_on(self, row: Connection) -> None:
        """Take more of what has come, now that others have had their turn."""
        if row.speaker is self:
            row.resume()
            self._read(row, b"")

    def writable(self, row: Connection) -> None:
        if row.closing:
            self._closed(row)
        elif row.endpoint is not None:
            row.endpoint.writable()

    def due(self, row: Connection, now: float) -> None:
        if row.closing:
            row.abort()
        elif row.endpoint is not None:
            row.endpoint.due(now)

    def over(self, row: Connection) -> None:
        self._end(row, row.loss or Loss.ABORTED, None, "")

    def close(self, row: Connection, code: int, reason: str, by: float) -> None:
        """Put a close, and wait until `by` for the socket to take it."""
        if not row.closing:
            row.put(close_frame(code, reason))
            row.closing = True
            if not row.holding:
                self._desk.later(row, partial(self._closed, row))
        row.call_at(by)

    def refuse(self, row: Connection, code: int, reason: str) -> None:
        """Close a WebSocket that has no endpoint."""
        self.close(row, code, reason, self._desk.now() + REFUSED_SECONDS)

    def _closed(self, row: Connection) -> None:
        """Our close has been written. What the peer answers changes nothing, and is not waited for: it sees
        the end of our half right behind the close."""
        if row.speaker is self:
            self._end(row, Closed.BY_US, None, "")
            self._lingering.take(row)

    def _take(self, row: Connection, received: Received) -> None:
        match received:
            case Close(code, reason):
                if not row.closing:
                    row.put(close_frame(code, reason))  # what came comes back (RFC 6455, 5.5.1)
                self._end(row, Closed.BY_PEER, code, reason)
                self._lingering.take(row)
            case _ if row.closing:
                pass
            case str() | bytes():
                assert row.endpoint is not None
                row.endpoint.heard(received)

    def _hung_up(self, row: Connection) -> None:
        if row.closing and not row.holding:
            self._closed(row)
        else:
            row.lose(Loss.BROKEN)

    def _end(self, row: Connection, how: Closed | Loss, code: int | None, reason: str) -> None:
        endpoint, row.endpoint = row.endpoint, None
        if endpoint is not None:
            endpoint.ended(how, code, reason)
