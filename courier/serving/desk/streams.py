"""Streams: connections whose answer is written piece by piece, or is waited for."""

from courier.serving.desk.connection import Connection
from courier.serving.desk.speech import Speech

LAST_CHUNK = b"0\r\n\r\n"
"""Ends a chunked body (RFC 9112, 7.1)."""


class Streams(Speech):
    """An endpoint writes a chunked body, chunk by chunk. The connection is closed at its end."""

    def heard(self, row: Connection, data: bytes) -> None:
        if not data:
            self._hung_up(row)
        elif row.endpoint is not None and not row.closing:
            row.endpoint.heard(data)

    def _last_bytes(self, code: int, reason: str) -> bytes:
        return LAST_CHUNK


class Waiting(Speech):
    """An endpoint waits for what it will answer. What the peer sends meanwhile comes after that."""

    def heard(self, row: Connection, data: bytes) -> None:
        if data:
            row.unread = bytes(row.unread) + data
            row.pause()
        else:
            self._hung_up(row)

    def _last_bytes(self, code: int, reason: str) -> bytes:
        return b""
