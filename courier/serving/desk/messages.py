"""Messages: a connection on which an endpoint speaks (RFC 6455), up to the close at its end."""

from functools import partial

from courier.serving.desk.connection import Connection
from courier.serving.desk.lingering import Lingering
from courier.serving.desk.speech import Postponer, Speech
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
from courier.serving.peer import REFUSED_SECONDS, Closed


class Messages(Speech):
    """Gives an endpoint what its peer says. After our close only the peer's is waited for."""

    def __init__(self, desk: Postponer, lingering: Lingering, max_message_bytes: int) -> None:
        super().__init__(desk, lingering)
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

    def _last_bytes(self, code: int, reason: str) -> bytes:
        return close_frame(code, reason)

    def refuse(self, row: Connection, code: int, reason: str) -> None:
        """Close a WebSocket that has no endpoint."""
        self.close(row, code, reason, self._desk.now() + REFUSED_SECONDS)

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
