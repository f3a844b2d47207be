"""Lingering: the end of a connection that has been given its last byte.

A socket that is closed with bytes unread sends a reset, and a reset takes away from the peer what it has not
read yet. So our half is closed first, and what still comes is dropped until the peer closes its own
(RFC 9112, 9.6).
"""

import socket
from contextlib import suppress

from courier.serving.desk.connection import Connection, Keeper

LINGER_SECONDS = 2.0
"""How long the peer has to close its half."""


class Lingering:
    """Waits for the peer's end of connections whose own half is closed."""

    def __init__(self, desk: Keeper) -> None:
        self._desk = desk

    def take(self, row: Connection) -> None:
        """End a connection: what is held is written first."""
        row.pass_to(self)
        row.call_at(self._desk.now() + LINGER_SECONDS)
        if not row.holding:
            self.writable(row)

    def heard(self, row: Connection, data: bytes) -> None:
        if not data:
            row.end()

    def writable(self, row: Connection) -> None:
        with suppress(OSError):  # the peer has reset it, and epoll says so
            row.sock.shutdown(socket.SHUT_WR)

    def due(self, row: Connection, now: float) -> None:
        row.end()

    def over(self, row: Connection) -> None:
        """Everybody who speaks on it knows already."""

    def close(self, row: Connection, code: int, reason: str, by: float) -> None:
        """It is being closed."""
