"""Wire: the socket under a subscriber: write now, write the rest, say a last word, abort.

`SocketWire` writes ready frames to the connection's own socket, below the ASGI server. `AsgiWire` does the
same through ASGI sends, where there is no such socket: TLS, or another server.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from courier.actors.errors import WireClosed, WireError, WireStalled
from courier.actors.frames import Page, payload_of, text_frame
from courier.schemas.closing import CloseReason
from courier.serving.patience import PeerStalled, until_writable
from courier.serving.transport import Server, Transport


class UnknownServer:
    """Stands for a server that tells nothing of its sockets, and closes each when its application returns."""

    stalled = False

    def taken_bytes(self) -> int | None:
        return None

    def unsent_bytes(self) -> int | None:
        return None

    def abort(self) -> None:
        """Leave it to the server."""


class Farewell(Protocol):
    """What the WebSocket's task asks of a wire, beside what a subscriber does."""

    async def say(self, text: bytes) -> None:
        """Write one text message of our own, in its turn. Raises `WireClosed` or `WireStalled`."""

    async def close(self, reason: CloseReason, last_word: bytes | None = None) -> None:
        """Write the rest of what was begun, the last word if there is one, and the close. Raises as `say`
        does."""

    def abort(self) -> None:
        """Close the socket at once: the peer sees the connection break."""


class SocketWire:
    """A wire on the connection's own socket.

    A write happens at once only if no rest of ours, and no write of the server's, is under way. While a
    rest is held the send lock is ours, so that nothing lands inside the frame that was cut.
    """

    __slots__ = ("_flushing", "_rest", "_stall_seconds", "_transport", "holding")

    def __init__(self, transport: Transport, stall_seconds: float) -> None:
        self._transport = transport
        self._stall_seconds = stall_seconds
        self._rest = b""
        self._flushing = trio.Lock()
        self.holding = False

    @property
    def held_bytes(self) -> int:
        return len(self._rest)

    @property
    def unsent_bytes(self) -> int | None:
        """What the kernel holds and the peer has not acknowledged; None when that is not known."""
        return self._transport.unsent_bytes()

    @property
    def taken_bytes(self) -> int | None:
        """A number that rises by each byte that the peer acknowledges; None when that is not known."""
        return self._transport.taken_bytes()

    def write_nowait(self, page: Page) -> int:
        transport = self._transport
        if not transport.open:
            raise WireClosed
        if self.holding or not transport.send_lock.value:
            return 0
        sent = self._send(page.data)
        if sent == len(page.data):
            return len(page.frames)
        if sent == 0:
            return 0
        end = count = 0
        for frame in page.frames:
            end += len(frame)
            count += 1
            if end >= sent:
                break
        self._hold(page.data[sent:end])
        return count

    async def flush(self) -> None:
        async with self._flushing:
            if not self.holding:
                await self._transport.send_lock.acquire()
            try:
                await self._write_rest()
            except WireError:
                self._rest = b""
                raise
            finally:
                if not self._rest:
                    self._let_go()

    async def say(self, text: bytes) -> None:
        await self._write(lambda: text_frame(text))

    async def close(self, reason: CloseReason, last_word: bytes | None = None) -> None:
        if last_word is not None:
            await self.say(last_word)
        await self._write(lambda: self._transport.close_frame(reason.code, reason.reason))

    def abort(self) -> None:
        self._transport.abort()
        if self.holding and not self._flushing.locked():
            self._let_go()

    async def _write(self, make_frame: Callable[[], bytes]) -> None:
        """Write one frame, made when its turn has come."""
        while self.holding or not self._transport.send_lock.value:
            await self.flush()
        if not self._transport.open:
            raise WireClosed
        frame = make_frame()
        self._hold(frame[self._send(frame) :])
        while self._rest:
            await self.flush()

    def _send(self, data: bytes) -> int:
        try:
            return self._transport.send(data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise WireClosed from error

    def _hold(self, rest: bytes) -> None:
        """Keep what the socket did not take, and the send lock with it."""
        if rest:
            self._transport.send_lock.acquire_nowait()
            self._rest = rest
            self.holding = True

    def _let_go(self) -> None:
        self._rest = b""
        self.holding = False
        self._transport.send_lock.release()

    async def _write_rest(self) -> None:
        """Wait for the socket, and write the rest as it takes it; the send lock is held."""
        while True:
            try:
                await until_writable(self._transport, self._stall_seconds)
            except PeerStalled as error:
                self._transport.abort()
                raise WireStalled from error
            except (OSError, trio.ClosedResourceError) as error:
                raise WireClosed from error
            self._rest = self._rest[self._send(self._rest) :] if self._rest else b""
            if not self._rest:
                return


class AsgiWire:
    """A wire of plain ASGI sends: one frame at a time, and never at once."""

    __slots__ = ("_closed", "_frame", "_send_close", "_send_text", "_sending", "_server", "holding")

    def __init__(
        self,
        send_text: Callable[[str], Awaitable[None]],
        send_close: Callable[[int, str], Awaitable[None]],
        server: Server,
    ) -> None:
        self._server = server
        self._send_text = send_text
        self._send_close = send_close
        self.holding = False
        self._frame = b""
        self._closed = False
        self._sending = trio.Lock()

    @property
    def held_bytes(self) -> int:
        return len(self._frame) if self.holding else 0

    @property
    def unsent_bytes(self) -> int | None:
        """What the kernel holds and the peer has not acknowledged; None when that is not known."""
        return self._server.unsent_bytes()

    @property
    def taken_bytes(self) -> int | None:
        """A number that rises by each byte that the peer acknowledges; None when that is not known."""
        return self._server.taken_bytes()

    def write_nowait(self, page: Page) -> int:
        if self._closed:
            raise WireClosed
        if self.holding:
            return 0
        self._frame = page.frames[0]
        self.holding = True
        return 1

    async def flush(self) -> None:
        async with self._sending:
            if self.holding:
                await self._sent(self._send_text(payload_of(self._frame).decode()))
                self.holding = False

    async def say(self, text: bytes) -> None:
        async with self._sending:
            await self._sent(self._send_text(text.decode()))

    async def close(self, reason: CloseReason, last_word: bytes | None = None) -> None:
        while self.holding:
            await self.flush()
        if last_word is not None:
            await self.say(last_word)
        async with self._sending:
            self._closed = True
            await self._sent(self._send_close(reason.code, reason.reason))

    def abort(self) -> None:
        self._closed = True
        self._server.abort()

    async def _sent(self, sending: Awaitable[None]) -> None:
        """Wait for a send of the server, which ends it when the peer takes nothing for too long."""
        await sending
        if self._server.stalled:
            raise WireStalled
