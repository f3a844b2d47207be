"""Speech: a connection on which an endpoint speaks, up to our last bytes at its end."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Protocol

from courier.serving.desk.connection import Connection, Keeper
from courier.serving.desk.lingering import Lingering
from courier.serving.peer import Closed, Loss


class Postponer(Keeper, Protocol):
    """What the desk does for this stage, beside what it does for a connection."""

    def later(self, row: Connection, step: Callable[[], None]) -> None: ...

    def next_share(self, row: Connection, step: Callable[[], None]) -> None: ...


class Speech(ABC):
    """Lets an endpoint write, and watches its clock. What the peer says is its subclass's."""

    def __init__(self, desk: Postponer, lingering: Lingering) -> None:
        self._desk = desk
        self._lingering = lingering

    @abstractmethod
    def heard(self, row: Connection, data: bytes) -> None:
        """The peer has sent this; nothing: it will send no more."""

    @abstractmethod
    def _last_bytes(self, code: int, reason: str) -> bytes:
        """What is written last."""

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
        """Put the last bytes, and wait until `by` for the socket to take them."""
        if not row.closing:
            row.put(self._last_bytes(code, reason))
            row.closing = True
            if not row.holding:
                self._desk.later(row, partial(self._closed, row))
        row.call_at(by)

    def _closed(self, row: Connection) -> None:
        """Our last bytes have been written. What the peer answers changes nothing, and is not waited for: it
        sees the end of our half right behind them."""
        if row.speaker is self:
            self._end(row, Closed.BY_US, None, "")
            self._lingering.take(row)

    def _hung_up(self, row: Connection) -> None:
        if row.closing and not row.holding:
            self._closed(row)
        else:
            row.lose(Loss.BROKEN)

    def _end(self, row: Connection, how: Closed | Loss, code: int | None, reason: str) -> None:
        endpoint, row.endpoint = row.endpoint, None
        if endpoint is not None:
            endpoint.ended(how, code, reason)
