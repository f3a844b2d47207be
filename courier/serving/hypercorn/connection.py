"""Connection: Hypercorn's connection, made so that no peer can harm anyone but itself."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, cast

import h11
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.typing import AppWrapper, ConnectionState

from courier.logs import get_logger
from courier.serving import garbage
from courier.serving.desk.http import BUSY_SECONDS, LAST_REQUEST_SECONDS
from courier.serving.hypercorn.context import ServerContext
from courier.serving.hypercorn.link import Link
from courier.serving.hypercorn.websocket import WebSocketStream
from courier.serving.transport import CONNECTION_EXTENSION

LINGER_BYTES = 8 * 1024 * 1024
"""How much is read and dropped after our last byte, see `LINGER_SECONDS`."""

OBJECTS = 300
"""About how many the garbage collector sees of one connection."""

logger = get_logger(__name__)


class HandedOver(NamedTuple):
    """What the desk knows of a connection that it hands over."""

    data: bytes
    """What the peer has sent, and was not answered."""
    used_at: float
    """When it began, or was last given an answer (`trio.current_time`)."""


class Connection(TCPServer):
    """One connection on the general path, of any kind, from its first byte to its last, or until it is idle
    and the desk can have it back."""

    context: ServerContext

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        context: ServerContext,
        state: ConnectionState,
        stream: Any,
        handed_over: HandedOver | None = None,
    ) -> None:
        super().__init__(cast(AppWrapper, self._run_app), config, context, state, stream)
        del self.send_lock  # the link has one
        self._wrapped_app = app
        self.link = Link(stream, context.service.stall_seconds)
        self._handling = trio.CancelScope()
        self._receiving = trio.CancelScope()
        self._ended = False
        self._read_all = False
        self._handed_over = handed_over
        self._goes_back = False
        """All that was handed over is answered, and the desk will have it back."""
        self._next = b""
        """What came while the last answer was not finished: the beginning of the next request."""
        self._websocket: WebSocketStream | None = None
        self._used_at = trio.current_time() if handed_over is None else handed_over.used_at
        if handed_over is not None:
            context.links.add(self.link)  # at once, so that it is counted all the time

    async def run(self) -> None:
        """Serve the connection to its end, or until it is idle and the desk has it back.

        Hypercorn lets through all but OSError, and that ends the whole server.
        """
        context, links = self.context, self.context.links
        if self._handed_over is None and context.connections >= context.service.max_connections:
            await trio.aclose_forcefully(self.stream)
            return
        links.add(self.link)
        garbage.made(OBJECTS)
        goes_back = False
        try:
            await super().run()
            goes_back = self._goes_back
        except BaseExceptionGroup as group:
            errors, others = group.split(Exception)
            if errors is not None:
                self._fail(errors)
            if others is not None:
                raise others from None
        except Exception as error:  # noqa: BLE001 - one connection's failure is never another's
            self._fail(error)
        finally:
            links.remove(self.link)
            stream, link, unread = self.stream, self.link, self._next
            self._take_apart()
            if goes_back and context.desk is not None:
                context.desk.take_back(link.peer.socket, link.address, unread)
            else:
                await trio.aclose_forcefully(stream)

    def _take_apart(self) -> None:
        """Leave nothing that waits for the garbage collector: its parts refer to it, and to one another."""
        if self.link.is_tls:
            cast(Any, self.stream)._handshook = None  # Trio's, which refers to its stream
        connection: Any = getattr(self._websocket, "connection", None)
        if connection is not None:
            connection._proto._parse_more.close()  # wsproto's, a generator that refers to its protocol
        vars(self).clear()

    def _fail(self, error: BaseException) -> None:
        """A peer's nonsense is a line; anything else is a fault of ours, with its traceback."""
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if isinstance(error, (UnicodeError, h11.LocalProtocolError)):
            logger.info("Connection refused: malformed request", error=type(error).__name__)
        else:
            self.context.service.fault(error)
            logger.error("Connection failed", exc_info=error)

    async def _run_app(
        self,
        scope: Any,
        receive: Any,
        send: Any,
        sync_spawn: Callable[..., Any],
        call_soon: Callable[..., Any],
    ) -> None:
        if scope["type"] != "websocket":
            scope.setdefault("extensions", {})[CONNECTION_EXTENSION] = self.link
            try:
                await self._wrapped_app(scope, receive, send, sync_spawn, call_soon)
            finally:
                scope["extensions"].clear()  # as below
            return
        scope["extensions"][CONNECTION_EXTENSION] = self.link
        websocket = self._websocket = cast(WebSocketStream, self._http.stream)
        try:
            await self._wrapped_app(scope, receive, send, sync_spawn, call_soon)
        finally:
            # What the peer still sends has nobody to read it: Hypercorn would wait for room in this queue.
            websocket.app_put = _drop
            receive.__self__.close()
            scope["extensions"].clear()  # what `_take_apart` does for a connection

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self.link.send(event.data)
        elif isinstance(event, Closed):
            if self._is_answering:
                return  # the rest of a request is broken: its answer, which was begun, ends the connection
            self._ended = True
            self._receiving.cancel()
            await self.link.send_eof()
            try:
                await self.protocol.handle(Closed())
            finally:
                self._handling.cancel()
        elif not self._read_all:
            if isinstance(event, Updated) and event.idle:
                self._used_at = trio.current_time()
                if self._handed_over is not None and self._is_idle and not self.context.terminated.is_set():
                    self._goes_back = True
                    self._receiving.cancel()
                    return
            # Quart ends a request by cancelling its own tasks, and it is from one of them that Hypercorn
            # starts the idle timer: unshielded, a connection once used is never closed for being idle.
            with trio.CancelScope(shield=True):
                await super().protocol_send(event)

    async def _read_data(self) -> None:
        dropped = 0
        with self.link.reading:
            if self._handed_over is not None:
                await self._handle(self._handed_over.data)
            while dropped <= LINGER_BYTES and not self._goes_back:
                data, self._next = self._next, b""
                if not data:
                    with trio.CancelScope() as self._receiving:
                        try:
                            data = await self.link.receive()
                        except (trio.ClosedResourceError, trio.BrokenResourceError):
                            break
                    if self._receiving.cancelled_caught:
                        continue
                    if data and (self._goes_back or self._is_finishing):
                        # Once h11 had it, it could not go back; and a peer that asks at once always has more.
                        self._next = data
                        if not self._goes_back:
                            with trio.CancelScope() as self._receiving:
                                await trio.sleep_forever()
                        continue
                if self._ended:
                    dropped += len(data)
                else:
                    await self._handle(bytes(data))
                if not data:
                    break
        self._read_all = True  # so there is nothing to wait for
        await self.idle_task.stop()
        await self.protocol.handle(Closed())

    async def _handle(self, data: bytes) -> None:
        if data and self._http.connection.their_state is h11.MUST_CLOSE:
            return  # `Reader` would keep it
        # A broken resource here is the queue of an application that has ended, see `_run_app`.
        with trio.CancelScope() as self._handling, suppress(trio.BrokenResourceError):
            await self.protocol.handle(RawData(data))

    async def _close(self) -> None:
        if not self._goes_back:
            await super()._close()

    @property
    def _http(self) -> H11Protocol:
        return cast(H11Protocol, self.protocol.protocol)

    @property
    def _is_answering(self) -> bool:
        """The application has begun an answer, and not ended it."""
        return self._http.stream is not None and self._http.connection.our_state is h11.SEND_BODY

    @property
    def _is_finishing(self) -> bool:
        """The last request has come whole, its answer is under way, and then the connection may go back."""
        protocol = self._http
        return (
            self._handed_over is not None
            and not self._ended
            and protocol.stream is not None
            and protocol.connection.their_state is h11.DONE
        )

    @property
    def _is_idle(self) -> bool:
        """Hypercorn has answered all that it was given, and has nothing more."""
        protocol = self._http
        connection = protocol.connection
        return (
            protocol.stream is None
            and not self._ended
            and isinstance(connection, h11.Connection)
            and connection.their_state is h11.IDLE
            and not connection.trailing_data[0]
        )

    async def _idle_timeout(self) -> None:
        """Close when nothing was asked for so long, or at the end (`BUSY_SECONDS`)."""
        with trio.move_on_at(self._used_at + self.config.keep_alive_timeout):
            await self.context.terminated.wait()
        if self.context.terminated.is_set() and trio.current_time() < self._used_at + BUSY_SECONDS:
            await trio.sleep(LAST_REQUEST_SECONDS)
        with trio.CancelScope(shield=True):
            await self._initiate_server_close()


async def _drop(message: Any) -> None:
    """Take a message that nobody reads."""
