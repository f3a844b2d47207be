"""Door: the listening sockets of a desk, and the connections that they accept."""

import select
import socket
from collections.abc import Callable
from contextlib import suppress

import trio

from courier.serving.room import AGAIN_SECONDS, Room

ACCEPTS_A_TURN = 32
"""Few, so that workers which share a listener share its connections too."""

_ACCEPT = select.EPOLLIN | select.EPOLLEXCLUSIVE


class Door:
    """Accepts while there is room for another socket. Listeners are not closed here: they may be shared."""

    def __init__(
        self,
        epoll: select.epoll,
        admit: Callable[[socket.socket, str | None], None],
        connections: Callable[[], int],
    ) -> None:
        self._epoll = epoll
        self._admit = admit
        self._connections = connections
        self._listeners: dict[int, socket.socket] = {}
        self._room = Room()
        self._no_room = trio.Event()

    def __contains__(self, descriptor: int) -> bool:
        return descriptor in self._listeners

    def open(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self._listeners[listener.fileno()] = listener
        self._epoll.register(listener, _ACCEPT)

    def close(self) -> None:
        """Accept no more. What still connects waits for the next process that listens there."""
        self._look_away()
        self._listeners.clear()

    def accept(self, descriptor: int) -> None:
        """Accept some of those who wait."""
        listener = self._listeners[descriptor]
        for _ in range(ACCEPTS_A_TURN):
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if self._room.lacking(error, self._connections()):
                    self._look_away()
                    self._no_room.set()
                    return
                continue  # the peer has left before it was accepted (accept(2))
            sock.setblocking(False)
            self._admit(sock, address[0] if isinstance(address, tuple) else None)

    async def rest(self) -> None:
        """Whenever there was no room, try again soon; for ever."""
        while True:
            await self._no_room.wait()
            self._no_room = trio.Event()
            await trio.sleep(AGAIN_SECONDS)
            for listener in self._listeners.values():
                self._epoll.register(listener, _ACCEPT)

    def _look_away(self) -> None:
        for listener in self._listeners.values():
            with suppress(FileNotFoundError, ValueError):  # it rests, or the desk has failed
                self._epoll.unregister(listener)
