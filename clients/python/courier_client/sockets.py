"""Socket: a TCP connection, with TLS or without, on the event loop that runs.

It is a plain non-blocking socket, for three reasons: nothing is read before somebody asks, so that a slow
reader slows the sender down; a read that is cancelled loses nothing; and it can be closed without waiting.
"""

import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import chain, zip_longest
from typing import Any, TypeVar

import anyio

_READ_BYTES = 64 * 1024

HEAD_START_SECONDS = 0.25
"""How long an address is tried alone (RFC 8305, section 8: the recommended Connection Attempt Delay)."""

_T = TypeVar("_T")


class Socket:
    """An open connection; a peer that is gone is an OSError."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._waiting = False
        self._pid = os.getpid()

    @classmethod
    async def connect(cls, host: str, port: int, ssl_context: ssl.SSLContext | None) -> "Socket":
        """Connect to the address of `host` that answers first; the last one's OSError when none does.

        The addresses race, each with a head start before the next (RFC 8305, section 5): one that swallows
        what is sent to it holds nobody up.
        """
        addresses = _alternating(await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        if not addresses:
            raise OSError(f"{host} has no address")
        faults: dict[int, OSError] = {}
        connected: list[Socket] = []

        async def attempt(place: int, over: anyio.Event) -> None:
            family, kind, protocol, _, address = addresses[place]
            try:
                sock = await cls._attempt(socket.socket(family, kind, protocol), address, host, ssl_context)
            except OSError as error:
                faults[place] = error
            else:
                connected.append(sock)
                race.cancel_scope.cancel()
            finally:
                over.set()

        try:
            async with anyio.create_task_group() as race:
                for place in range(len(addresses)):
                    race.start_soon(attempt, place, over := anyio.Event())
                    with anyio.move_on_after(HEAD_START_SECONDS):
                        await over.wait()
            if not connected:
                raise faults[max(faults)]
            return connected.pop()
        finally:
            for sock in connected:  # two at once, or cancelled meanwhile
                sock.close()

    @classmethod
    async def _attempt(
        cls, sock: socket.socket, address: Any, host: str, ssl_context: ssl.SSLContext | None
    ) -> "Socket":
        self = cls(sock)
        try:
            await self._connect(address)
            if ssl_context is not None:
                await self._encrypt(ssl_context, host)
        except BaseException:
            self.close()
            raise
        return self

    async def receive(self) -> bytes:
        """What has come; nothing at the end."""
        return await self._when_ready(anyio.wait_readable, self._sock.recv, _READ_BYTES)

    async def send(self, data: bytes) -> None:
        """Send all of it. Cancelled in its middle, the connection is of no more use."""
        while data:
            data = data[await self._when_ready(anyio.wait_writable, self._sock.send, data) :]

    def send_nowait(self, data: bytes) -> None:
        """Send what goes without waiting, if the peer is there: for a last word. A forked process has none:
        the connection is its parent's."""
        with suppress(OSError):
            if self._pid == os.getpid():
                self._sock.send(data)

    def close(self) -> None:
        """Close it. Who waits for it gets a ClosedResourceError."""
        if self._waiting and self._pid == os.getpid():
            anyio.notify_closing(self._sock.fileno())
        self._sock.close()

    async def _connect(self, address: Any) -> None:
        self._sock.setblocking(False)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        error = self._sock.connect_ex(address)
        if error == errno.EINPROGRESS:
            await self._wait(anyio.wait_writable)
            error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))

    async def _encrypt(self, context: ssl.SSLContext, host: str) -> None:
        self._sock = secure = context.wrap_socket(
            self._sock, server_hostname=host, do_handshake_on_connect=False
        )
        await self._when_ready(anyio.wait_readable, secure.do_handshake)

    async def _when_ready(
        self, wait: Callable[[int], Awaitable[None]], call: Callable[..., _T], *arguments: Any
    ) -> _T:
        """What a non-blocking call gives, once it does. TLS may have to write in order to read, and to read
        in order to write."""
        while True:
            try:
                return call(*arguments)
            except BlockingIOError:
                await self._wait(wait)
            except ssl.SSLWantReadError:
                await self._wait(anyio.wait_readable)
            except ssl.SSLWantWriteError:
                await self._wait(anyio.wait_writable)

    async def _wait(self, wait: Callable[[int], Awaitable[None]]) -> None:
        self._waiting = True
        try:
            await wait(self._sock.fileno())
        finally:
            self._waiting = False


def _alternating(addresses: list[Any]) -> list[Any]:
    """The addresses with their families in turn, in the resolver's order otherwise (RFC 8305, section 4)."""
    first = [one for one in addresses if one[0] == addresses[0][0]]
    second = [one for one in addresses if one[0] != addresses[0][0]]
    return [one for one in chain.from_iterable(zip_longest(first, second)) if one is not None]
