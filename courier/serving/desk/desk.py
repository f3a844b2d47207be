"""Desk: one task and one epoll for all plain sockets: accept, read, write, time out, close."""

import errno
import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from time import perf_counter
from typing import Protocol

import trio

from courier.logs import get_logger
from courier.serving.desk.connection import Connection, Speaker
from courier.serving.desk.service import Service
from courier.serving.desk.timers import Timers
from courier.serving.peer import Loss

TURN_SECONDS = 0.002
"""How long the desk works before other tasks get a turn."""

BATCH = 64
"""How many sockets are asked of the kernel at a time."""

RECV_BYTES = 16 * 1024
"""What is read of a socket at a time: enough for many requests, and too little to keep the others waiting."""

ACCEPTS_A_TURN = 32
"""Few, so that workers which share a listener share its connections too."""

REST_SECONDS = 0.5
"""How long nothing is accepted after the process had no descriptor left."""

_ACCEPT = select.EPOLLIN | select.EPOLLEXCLUSIVE
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

logger = get_logger(__name__)


class Newcomers(Speaker, Protocol):
    """The first stage of a connection."""

    def begin(self, row: Connection) -> None:
        """The connection is new here."""

    def go_on(self, row: Connection) -> None:
        """Take up what has come already, as `Connection.unread`."""


class Desk:
    """Keeps connections as rows: `run` is the only task for all of them.

    It is level-triggered: a turn may end midway, and what it left is still ready at the next one. A fault
    stays with its row. Rows are closed between batches only, so that no descriptor changes its meaning within
    one.
    """

    def __init__(self, service: Service, newcomers: Callable[["Desk"], Newcomers]) -> None:
        self._service = service
        self._newcomers = newcomers(self)
        self._epoll = select.epoll()
        self._rows: dict[int, Connection] = {}
        self._listeners: dict[int, socket.socket] = {}
        self._timers: Timers[Connection] = Timers()
        self._sleep = trio.CancelScope()
        self._answers: list[tuple[Connection, bytes]] = []
        self._closing: list[Connection] = []
        self._left_over: list[tuple[Connection, Callable[[], None]]] = []
        self._awake = False
        """A turn is under way, at whose end the three lists above are emptied."""
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._no_room = trio.Event()
        self._full = False
        """It has been said that there is no room, and nothing was accepted since."""
        self.elsewhere = 0
        """Connections that were handed over, and have neither come back nor ended."""

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, row: object) -> bool:
        return isinstance(row, Connection) and self._rows.get(row.sock.fileno()) is row

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._rows.values()))

    async def run(self) -> None:
        """Serve for ever. Cancelled, it closes all its rows at once, and no listener."""
        self._epoll.register(self._bell, select.EPOLLIN)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_clock)
                nursery.start_soon(self._rest)
                while True:
                    await trio.lowlevel.wait_readable(self._epoll.fileno())
                    self._turn()
        finally:
            for row in self:
                self._close(row)
            trio.lowlevel.notify_closing(self._epoll.fileno())
            self._epoll.close()
            os.close(self._bell)

    # Turns

    def _turn(self) -> None:
        until = perf_counter() + TURN_SECONDS
        self._awake = True
        while True:
            ready = self._epoll.poll(0, BATCH)
            for descriptor, events in ready:
                row = self._rows.get(descriptor)
                if row is not None:
                    self._serve(row, events)
                elif descriptor == self._bell:
                    os.eventfd_read(self._bell)
                elif descriptor in self._listeners:
                    self._accept(self._listeners[descriptor])
                if perf_counter() >= until:
                    break
            self._finish()
            if len(ready) < BATCH or perf_counter() >= until:
                break
        self._awake = False
        if self._left_over:
            self._ring()

    def _serve(self, row: Connection, events: int) -> None:
        """Read and write, as the socket is ready for; what that raises ends this row, and no other."""
        if events & select.EPOLLOUT:
            self._guard(row, row.flush)
        if events & row.interest & select.EPOLLIN:
            try:
                data = row.sock.recv(RECV_BYTES)
            except BlockingIOError:
                return
            except OSError:
                row.lose(Loss.BROKEN)
            else:
                self._guard(row, partial(row.speaker.heard, row, data))
        elif events & (select.EPOLLHUP | select.EPOLLERR):  # which come unasked, again and again
            row.lose(Loss.BROKEN)

    def _guard(self, row: Connection, step: Callable[[], None]) -> None:
        """Take a step for a row; what it raises ends this row, and no other."""
        try:
            step()
        except Exception as error:
            self._service.fault(error)
            logger.error("Connection failed", exc_info=error)
            row.abort()

    def _finish(self) -> None:
        """Do what the batch has left. Its answers leave one right after the other: to wake a reader costs
        more than to write to one that is awake."""
        left_over, self._left_over = self._left_over, []
        for row, step in left_over:  # what these leave comes after everybody's next turn
            if row.loss is None and row in self:
                self._guard(row, step)
        self.write_answers()
        while self._closing:
            self._close(self._closing.pop())

    async def _watch_clock(self) -> None:
        """Look at the rows that are due, for ever."""
        while True:
            with trio.CancelScope(deadline=self._timers.next) as self._sleep:
                await trio.sleep_forever()
            until = perf_counter() + TURN_SECONDS
            while perf_counter() < until and (row := self._timers.pop(self.now())) is not None:
                self._guard(row, partial(row.look, self.now(), self._service.stall_seconds))
            self._finish()

    # What its rows and their speakers ask

    def now(self) -> float:
        return trio.current_time()

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
        self._answers.append((row, data))

    def write_answers(self) -> None:
        """Write all that `answer` was given."""
        answers, self._answers = self._answers, []
        for row, data in answers:
            row.put(data)

    def later(self, row: Connection, step: Callable[[], None]) -> None:
        """Take this step for the row in the desk's own task, soon."""
        self._left_over.append((row, step))
        self._ring()

    def _ring(self) -> None:
        if not self._awake:
            os.eventfd_write(self._bell, 1)

    # Connections come and go

    def listen(self, listener: socket.socket) -> None:
        """Accept from this listening socket."""
        listener.setblocking(False)
        self._listeners[listener.fileno()] = listener
        self._epoll.register(listener, _ACCEPT)

    def stop_listening(self) -> None:
        """Accept no more. What still connects waits for the next process that listens there."""
        for listener in self._listeners.values():
            with suppress(FileNotFoundError):  # while it rests
                self._epoll.unregister(listener)
        self._listeners.clear()

    def add(self, sock: socket.socket, address: str | None) -> Connection:
        """Keep this connection from now on."""
        row = Connection(sock, address, self, self._newcomers)
        self._rows[sock.fileno()] = row
        row.watched = row.interest
        self._epoll.register(sock, row.watched)
        self._newcomers.begin(row)
        return row

    def take_back(self, sock: socket.socket, address: str | None, data: bytes) -> None:
        """Go on with a connection that was handed over, and with what it has sent since."""
        self.elsewhere -= 1
        row = self.add(sock, address)
        row.unread = data
        self.later(row, partial(self._newcomers.go_on, row))

    def remove(self, row: Connection) -> socket.socket:
        """Keep it no more; the socket is the caller's."""
        del self._rows[row.sock.fileno()]
        self._epoll.unregister(row.sock)
        self._timers.forget(row)
        return row.sock

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_ROOM:
                    self._stop_accepting(error)
                    return
                continue  # the peer has left before it was accepted (accept(2))
            if len(self._rows) + self.elsewhere >= self._service.max_connections:
                sock.close()
                continue
            self._full = False
            sock.setblocking(False)
            self.add(sock, address[0] if isinstance(address, tuple) else None)

    def _stop_accepting(self, error: OSError) -> None:
        for listener in self._listeners.values():
            with suppress(FileNotFoundError):  # by the same batch
                self._epoll.unregister(listener)
        if not self._full:
            logger.warning("No room for another connection: new ones wait", error=str(error))
        self._full = True
        self._no_room.set()

    async def _rest(self) -> None:
        """After `_stop_accepting` try again, for ever."""
        while True:
            await self._no_room.wait()
            self._no_room = trio.Event()
            await trio.sleep(REST_SECONDS)
            for listener in self._listeners.values():
                self._epoll.register(listener, _ACCEPT)

    def _close(self, row: Connection) -> None:
        if row not in self:
            return
        self._guard(row, partial(row.speaker.over, row))
        self.remove(row).close()
