"""Desk: one task and one epoll for all plain sockets: accept, read, write, time out, close."""

import select
import socket
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter
from typing import TypeVarTuple

import trio

from courier.logs import get_logger
from courier.serving import garbage
from courier.serving.desk.connection import Connection, Newcomers
from courier.serving.desk.door import Door
from courier.serving.desk.timers import Timers
from courier.serving.peer import Loss
from courier.serving.service import Service

TURN_SECONDS = 0.002
"""How long the desk works before other tasks get a turn. A turn ends sooner when a row has had its share."""

BATCH = 64
"""How many sockets are asked of the kernel at a time."""

RECV_BYTES = 16 * 1024
"""What is read of a socket at a time: enough for many requests, and too little to keep the others waiting."""

OBJECTS = 8
"""About how many the garbage collector sees of a row, when it is an idle subscriber."""

RECV_REST_BYTES = 256 * 1024
"""The same, while a request is not whole: it may be a large one."""

Args = TypeVarTuple("Args")

logger = get_logger(__name__)


class Desk:
    """Keeps connections as rows: `run` serves all of them, with a few tasks however many there are.

    It is level-triggered: a turn may end midway, and what it left is still ready at the next one. A fault
    stays with its row. Rows are closed between batches only, so that no descriptor changes its meaning within
    one.
    """

    def __init__(
        self,
        service: Service,
        newcomers: Callable[["Desk"], Newcomers],
        *,
        elsewhere: Callable[[], int] = lambda: 0,
    ) -> None:
        """`elsewhere` says how many connections the server has beside those of the desk."""
        self._service = service
        self._newcomers = newcomers(self)
        self._elsewhere = elsewhere
        self._epoll = select.epoll()
        self._door = Door(self._epoll, self._admit, self._connections)
        self._rows: dict[int, Connection] = {}
        self._timers: Timers[Connection] = Timers()
        self._sleep = trio.CancelScope()
        self._answers: dict[Connection, bytes] = {}
        self._closing: list[Connection] = []
        self._left_over: deque[tuple[Connection, Callable[[], None]]] = deque()
        self._awake = False
        """The three above will be emptied at the end of this turn."""
        self._next_shares: deque[tuple[Connection, Callable[[], None]]] = deque()
        """Steps of rows that have more to do than their share: taken once before everybody's next turn."""
        self._until = 0.0
        """When this turn should end (`time.perf_counter`)."""
        self._bell = trio.lowlevel.ParkingLot()
        self._serving = trio.CancelScope()
        self._ending = False

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, row: object) -> bool:
        return isinstance(row, Connection) and self._rows.get(row.sock.fileno()) is row

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._rows.values()))

    async def run(self) -> None:
        """Serve until `end`, and then until no row is left. Cancelled, it closes all its rows at once."""
        try:
            with self._serving:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._watch_clock)
                    nursery.start_soon(self._tidy)
                    nursery.start_soon(self._door.rest)
                    while True:
                        await trio.lowlevel.wait_readable(self._epoll.fileno())
                        self._turn()
        finally:
            self._ending = True
            for row in self:
                self._close(row)
            trio.lowlevel.notify_closing(self._epoll.fileno())
            self._epoll.close()

    def end(self) -> None:
        """Accept no more, let all rows end, and then `run`."""
        self.stop_listening()
        self._ending = True
        for row in self:
            self._dismiss(row)
        self._end_if_empty()

    # Turns

    def _turn(self) -> None:
        self._until = perf_counter() + TURN_SECONDS
        while True:
            self._awake = True
            ready = self._epoll.poll(0, BATCH)
            for descriptor, events in ready:
                row = self._rows.get(descriptor)
                if row is not None:
                    self._serve(row, events)
                elif descriptor in self._door:
                    self._door.accept(descriptor)
                if self.late():
                    break
            self._finish()
            if not ready or self.late() or self._next_shares:  # whose turn comes after other tasks'
                break

    def _serve(self, row: Connection, events: int) -> None:
        """Read and write, as the socket is ready for; what that raises ends this row, and no other."""
        if events & select.EPOLLOUT:
            self.guard(row, row.flush)
        if events & row.interest & select.EPOLLIN:
            try:
                data = row.sock.recv(RECV_REST_BYTES if row.unread else RECV_BYTES)
            except BlockingIOError:
                return
            except OSError:
                row.lose(Loss.BROKEN)
            else:
                self.guard(row, row.speaker.heard, row, data)
        elif events & (select.EPOLLHUP | select.EPOLLERR):  # which come unasked, again and again
            row.lose(Loss.BROKEN)
        elif events & select.EPOLLIN:
            self.watch(row)

    def guard(self, row: Connection, step: Callable[[*Args], None], *args: *Args) -> None:
        """Take a step for a row; what it raises ends this row, and no other."""
        try:
            step(*args)
        except Exception as error:
            self._service.fault(error)
            logger.error("Connection failed", exc_info=error)
            row.abort()

    def _finish(self) -> None:
        """Do what the batch has left. Its answers leave one right after the other: to wake a reader costs
        more than to write to one that is awake."""
        self._awake = True
        self._take(self._left_over)
        self.write_answers()
        while self._closing:
            self._close(self._closing.pop())
        self._awake = False
        if self._left_over or self._answers or self._next_shares:
            self._ring()

    def _take(self, steps: deque[tuple[Connection, Callable[[], None]]]) -> None:
        """Take these steps; what they leave comes after everybody's next turn."""
        for _ in range(len(steps)):
            row, step = steps.popleft()
            if row.loss is None and row in self:
                self.guard(row, step)
            if self.late():
                break

    async def _tidy(self) -> None:
        """Do what others have left, and what rows have more to do, for ever."""
        while True:
            if not self._left_over and not self._answers and not self._closing and not self._next_shares:
                await self._bell.park()
            self._until = perf_counter() + TURN_SECONDS
            self._awake = True
            self._take(self._next_shares)
            self._finish()
            if self._left_over or self._next_shares:
                await trio.lowlevel.checkpoint()

    async def _watch_clock(self) -> None:
        """Look at the rows that are due, for ever."""
        while True:
            with trio.CancelScope(deadline=self._timers.next) as self._sleep:
                await trio.sleep_forever()
            self._until = perf_counter() + TURN_SECONDS
            while (row := self._timers.pop(self.now())) is not None:
                self.guard(row, row.look, self.now(), self._service.stall_seconds)
                if self.late():
                    break
            self._finish()

    # What its rows and their speakers ask

    def now(self) -> float:
        return trio.current_time()

    def late(self) -> bool:
        """Whether others should get a turn."""
        return perf_counter() >= self._until

    def watch(self, row: Connection) -> None:
        interest = row.interest
        if interest != row.watched and row in self:
            row.watched = interest
            self._epoll.modify(row.sock, interest)

    def schedule(self, row: Connection, deadline: float) -> None:
        self._timers.set(row, deadline)
        if deadline < self._sleep.deadline:
            self._sleep.deadline = deadline

    def close_soon(self, row: Connection) -> None:
        self._closing.append(row)
        self._ring()

    def answer(self, row: Connection, data: bytes) -> None:
        """Write this when all that is readable has been read."""
        self._answers[row] = self._answers.get(row, b"") + data
        self._ring()

    def write_answers(self) -> None:
        """Write all that `answer` was given."""
        answers, self._answers = self._answers, {}
        for row, data in answers.items():
            self.guard(row, row.give, data)

    def later(self, row: Connection, step: Callable[[], None]) -> None:
        """Take this step for the row in the desk's own task, soon."""
        self._left_over.append((row, step))
        self._ring()

    def next_share(self, row: Connection, step: Callable[[], None]) -> None:
        """Take this step for a row that has had its share, once all others have had their turn."""
        self._next_shares.append((row, step))
        self._ring()

    def _ring(self) -> None:
        if not self._awake:
            self._bell.unpark()

    # Connections come and go

    def listen(self, listener: socket.socket) -> None:
        """Accept from this listening socket, which stays the caller's."""
        self._door.open(listener)

    def stop_listening(self) -> None:
        """Accept no more. What still connects waits for the next process that listens there."""
        self._door.close()

    def add(self, sock: socket.socket, address: str | None) -> Connection:
        """Keep this connection from now on."""
        row = Connection(sock, address, self, self._newcomers)
        row.watched = row.interest
        self._epoll.register(sock, row.watched)
        self._rows[sock.fileno()] = row
        self.guard(row, self._newcomers.begin, row)
        return row

    def take_back(self, sock: socket.socket, address: str | None, data: bytes = b"") -> None:
        """Go on with a connection that was handed over, and with what it has sent since."""
        if self._serving.cancel_called or self._epoll.closed:
            sock.close()
            return
        row = self.add(sock, address)
        row.unread = data
        self.later(row, partial(self._newcomers.go_on, row))
        if self._ending:
            self._dismiss(row)

    def remove(self, row: Connection) -> socket.socket:
        """Keep it no more; the socket is the caller's."""
        del self._rows[row.sock.fileno()]
        self._epoll.unregister(row.sock)
        self._timers.forget(row)
        self._end_if_empty()
        return row.sock

    def _connections(self) -> int:
        return len(self._rows) + self._elsewhere()

    def _admit(self, sock: socket.socket, address: str | None) -> None:
        try:
            if self._connections() < self._service.max_connections:
                self.add(sock, address)
                garbage.made(OBJECTS)
                return
        except OSError as error:  # the kernel has no room to watch it (epoll_ctl(2))
            self._service.fault(error)
            logger.error("Connection failed", exc_info=error)
        sock.close()

    def _dismiss(self, row: Connection) -> None:
        if row.speaker is self._newcomers:
            self.guard(row, self._newcomers.dismiss, row)

    def _close(self, row: Connection) -> None:
        if row in self:
            self.guard(row, row.speaker.over, row)
            self.remove(row).close()

    def _end_if_empty(self) -> None:
        if self._ending and not self._rows:
            self._serving.cancel()
