"""What Courier changes in Hypercorn 0.18, each thing with its reason; the one file that knows its insides.

`install`, called when `courier.web` is imported, puts our classes in the place of Hypercorn's, in its own
modules: so every command that runs the app, `courier serve` or `hypercorn` itself, runs the same server.
Each change has a test in `tests/web/test_hypercorn.py` that fails when a release makes it wrong or needless.
"""

import errno
import gc
import json
import logging
import math
import re
import resource
import socket
import ssl
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext, suppress
from functools import lru_cache, partial
from typing import Any, ClassVar, Protocol, cast

import h11
import hypercorn.protocol
import hypercorn.protocol.h11
import hypercorn.protocol.ws_stream
import hypercorn.trio.run
import trio
from hypercorn.config import Config, Sockets, SocketTypeError
from hypercorn.events import Closed, Event, RawData
from hypercorn.protocol.events import Body, Data, Request, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import ASGIWebsocketState, FrameTooLargeError, WSStream
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState, LifespanState
from hypercorn.utils import check_multiprocess_shutdown_event, repr_socket_addr
from wsproto.connection import ConnectionState as WebSocketState
from wsproto.events import CloseConnection, Message, Ping
from wsproto.events import Event as WebSocketEvent

from courier.logs import get_logger
from courier.schemas.closing import CloseReason
from courier.systemd import open_manager
from courier.web.errors import HttpError
from courier.web.head import check_headers
from courier.web.lane import Lane, next_request, response
from courier.web.master import bound_to_master, has_master, until_master_is_gone
from courier.web.patience import PatientStream, PeerStalled, SocketPeer, send_all
from courier.web.publishing.turns import TURN_SECONDS
from courier.web.shutdown import reloading, until_asked
from courier.web.websocket import BY_SERVER

STALL_SECONDS = 30.0
"""How long a peer may take nothing of what the server sends: answers, pongs, closes, and by TLS all."""

STALL_LIMIT = "courier_stall_seconds"
CONNECTION_LIMIT = "courier_connections"
"""Attributes that `Application.prepare` may give Hypercorn's settings: how long a peer may take nothing, and
how many connections there may be, of any kind; one more is closed unheard."""

PIECE_BYTES = 64 * 1024
"""How much of an answer is made ready to be sent at a time."""

FIRST_RECV = 16 * 1024
"""What is asked of the kernel at a time, until so much has come: to set 64 KiB aside takes longer than to
read a plain request."""

LINGER_SECONDS = 2.0
LINGER_BYTES = 8 * 1024 * 1024
"""After the last byte of ours, how long and how much is read and dropped. A socket that is closed with
bytes unread sends a reset, and a reset takes away from the peer what it has not read yet."""

COLLECTED_AFTER = 5_000, 5, 2_000
"""The garbage collector's thresholds. It stops the node for a millisecond for each thousand objects that it
walks, so the first two keep it to 25,000 at a time. All of them, a hundred a subscriber, it walks after 50
million new ones at the soonest: neither events nor closed connections leave it anything.
"""

BUSY_SECONDS = 5.0
LAST_REQUEST_SECONDS = 1.0
LAST_SEND_SECONDS = 1.0
"""At the end, how lately a connection must have been used to be waited for, and how long; and how long after
all else what is still sent may take."""

TAKEN_OVER = "courier_taken_over"
"""Another: its presence says that this was to run on asyncio."""

FAULT = "courier_fault"
"""Another: what is called with the error when a connection fails by a fault of ours."""

LIVING = "courier_living"
"""An attribute of Hypercorn's context: the connections of one server."""

LANE = "courier_lane"
"""Another such attribute: what makes the `Lane` of a connection."""

SPLIT_SECONDS = 0.05
"""How long the lane waits for the rest of a request before it leaves the request to Hypercorn."""

MAX_MESSAGE_BYTES = 64 * 1024

NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
NO_ROOM_SECONDS = 0.1
NO_ROOM_TOLD_SECONDS = 60.0
"""When no socket can be made for a new connection (accept(2)): how soon it is tried again, and how often a
line says so."""

EXTENSION = "courier.wire"
CONNECTION_EXTENSION = "courier.connection"
"""What the ASGI scope of a WebSocket offers: a `Transport`, except under TLS, and a `Server`."""

logger = get_logger(__name__)


class Application(Protocol):
    """The ASGI application that the server serves, and what else it is asked."""

    def prepare(self, config: Config) -> None:
        """Refuse, by raising, to be served in this way."""

    def reload(self) -> None:
        """Take anew what may change while it runs."""

    def status(self) -> str:
        """How it is, in a few words for people."""

    async def leave(self) -> None:
        """Return when it will take nothing new; it was told that it is to stop."""

    async def drain(self) -> None:
        """Return when nothing would be lost if the server stopped."""

    async def failed(self) -> None:
        """Return when it cannot go on, so that the server should stop."""

    def raise_if_failed(self) -> None:
        """End the process with an exit code that says so, if it could not go on."""


class Http1(H11Protocol):
    """Hypercorn's HTTP/1.1, and no other: a request that asks for HTTP/2 is served as HTTP/1.1.

    Cleartext HTTP/2 (`h2c`, or by prior knowledge) cannot be switched off, and one odd path in it ends the
    stock server.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.connection = Reader(h11.SERVER, max_incomplete_event_size=self.config.h11_max_incomplete_size)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Stay."""

    async def stream_send(self, event: StreamEvent) -> None:
        """Write a large body piece by piece, so that of a peer which does not read one piece is held."""
        if isinstance(event, Body) and len(event.data) > PIECE_BYTES:
            for start in range(0, len(event.data), PIECE_BYTES):
                await super().stream_send(Body(event.stream_id, event.data[start : start + PIECE_BYTES]))
        else:
            await super().stream_send(event)

    async def _send_error_response(self, status_code: int) -> None:
        """Say in a sentence what Hypercorn says by the status alone."""
        sentence = "Request head is too large" if status_code == 431 else "Request is malformed (RFC 9112)"
        if isinstance(self.connection, Reader) and self.connection.fault is not None:
            sentence = self.connection.fault
        body = json.dumps({"detail": {"error": sentence}}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            *self.config.response_headers("h11"),
        ]
        answer: list[Any] = [h11.Response(status_code=status_code, headers=headers), h11.EndOfMessage()]
        if getattr(self.connection, "_request_method", None) != b"HEAD":
            answer.insert(1, h11.Data(data=body))
        with suppress(h11.LocalProtocolError):  # the application has answered
            # In one step: the application may be about to answer, too.
            await self.send(RawData(data=b"".join([self.connection.send(event) or b"" for event in answer])))


_EMPTY_LINES = re.compile(rb"(?:\r\n)*")


class Reader(h11.Connection):
    """h11, with three rules of RFC 9112 more. What follows the last request of a connection is not looked at
    (9.6): h11 would make an error of it, which takes the place of the answer, or cuts off one that was begun.
    Empty lines before a request are passed over (2.2). A head that can be read in two ways is an error.
    """

    fault: str | None = None
    """What is wrong with such a head, as a sentence."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        if self.their_state is h11.MUST_CLOSE:
            return h11.NEED_DATA
        if self.their_state is h11.IDLE and (match := _EMPTY_LINES.match(self._receive_buffer._data)):
            self._receive_buffer._extract(match.end())
            if self._receive_buffer._data == b"\r" and not self.trailing_data[1]:
                return h11.NEED_DATA  # of the next empty line, most likely
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            # h11 raises it through a frame that refers to it, so that it would wait for the collector.
            raise error.with_traceback(None) from None
        if isinstance(event, h11.Request):
            try:
                check_headers(event.headers)
            except HttpError as error:
                self.fault = error.error
                self._process_error(self.their_role)
                raise h11.RemoteProtocolError(error.error) from None
        return event


class WebSocketStream(WSStream):
    """Hypercorn's WebSocket, which closes with a code and a reason whatever the peer did wrong."""

    transport: "WebSocketTransport | None" = None
    end: dict[str, Any] | None = None
    """How it ended, when a close was said: what the application is told, where Hypercorn says 1006."""

    async def handle(self, event: StreamEvent) -> None:
        if isinstance(event, (Body, Data)) and not self.closed and not self.handshake.accepted:
            # A peer must wait for our side of the handshake (RFC 6455, 4.1). Hypercorn answers, and then
            # forgets to tell the application that there is no WebSocket.
            self.closed = True  # first: the application may be about to accept
            await self._send_error_response(400)
            assert self.app_put is not None
            await self.app_put({"type": "websocket.disconnect", "code": 1006, "reason": ""})
            await self.send(StreamClosed(stream_id=self.stream_id))
            return
        if isinstance(event, StreamClosed) and not self.closed and self.end and self.app_put is not None:
            self.closed = True
            await self.app_put({"type": "websocket.disconnect", **self.end})
            return
        await super().handle(event)
        if isinstance(event, Request) and self.closed:  # refused, and left open
            await self.send(StreamClosed(stream_id=self.stream_id))

    async def _handle_events(self) -> None:
        for event in self.connection.events():
            if isinstance(event, Message):
                # Hypercorn counts characters, and tells the application only when the peer has closed.
                self.buffer.length += (
                    len(event.data.encode()) - len(event.data) if isinstance(event.data, str) else 0
                )
                try:
                    self.buffer.extend(event)
                except FrameTooLargeError:
                    reason = CloseReason.MESSAGE_TOO_BIG
                    await self._end(CloseConnection(reason.code, reason.reason), by_server=True)
                    return
                if event.message_finished:
                    assert self.app_put is not None
                    await self.app_put(self.buffer.to_message())
                    self.buffer.clear()
            elif isinstance(event, Ping):
                await self._send_wsproto_event(event.response())
            elif isinstance(event, CloseConnection):
                if self.connection.state == WebSocketState.REMOTE_CLOSING:
                    await self._end(event.response())
                else:
                    # Our own close was answered, or the peer broke the protocol, and then wsproto has made
                    # the close that RFC 6455, 7.1.7 asks for, which Hypercorn does not send.
                    await self._end(event, by_server=True)
                return

    async def _end(self, close: CloseConnection, *, by_server: bool = False) -> None:
        self.end = {"code": int(close.code), "reason": close.reason or "", BY_SERVER: by_server}
        await self._send_wsproto_event(close)
        await self.send(StreamClosed(stream_id=self.stream_id))

    async def _send_wsproto_event(self, event: WebSocketEvent) -> None:
        if isinstance(event, CloseConnection) and self.transport is not None:
            self.transport.open = False
        await super()._send_wsproto_event(event)


class WebSocketTransport:
    """The extension `courier.wire`: the socket of one WebSocket, for `SocketWire`."""

    __slots__ = (
        "_abort",
        "_websocket",
        "open",
        "send",
        "send_lock",
        "taken_bytes",
        "unsent_bytes",
        "writable",
    )

    def __init__(self, connection: "Connection", websocket: WebSocketStream) -> None:
        self._websocket = websocket
        self._abort = connection.abort
        self.open = True
        self.send_lock = connection.send_lock
        self.send: Callable[[bytes], int] = connection.peer.socket.send
        self.writable = connection.peer.writable
        self.taken_bytes = connection.peer.taken_bytes
        self.unsent_bytes = connection.peer.unsent_bytes

    def close_frame(self, code: int, reason: str) -> bytes:
        self.open = False
        self._websocket.state = ASGIWebsocketState.CLOSED
        return self._websocket.connection.send(CloseConnection(code, reason))

    def abort(self) -> None:
        self.open = False
        self._abort()


class Connection(TCPServer):
    """Hypercorn's connection, made so that no peer can harm anyone but itself."""

    send_lock: trio.Semaphore  # type: ignore[assignment]
    count: ClassVar[int] = 0
    """Connections of this process, of any kind."""

    def __init__(
        self, app: AppWrapper, config: Config, context: WorkerContext, state: ConnectionState, stream: Any
    ) -> None:
        super().__init__(cast(AppWrapper, self._run_app), config, context, state, stream)
        self._wrapped_app = app
        # A trio.Lock must be released by the task that took it; a frame is begun by a channel's task and
        # finished by a subscriber's.
        self.send_lock = trio.Semaphore(1)
        self._stall_seconds: float = getattr(config, STALL_LIMIT, STALL_SECONDS)
        self.stalled = False
        """The peer took nothing for so long, and the socket is closed."""
        self._most_connections: float = getattr(config, CONNECTION_LIMIT, math.inf)
        self._reading = trio.CancelScope()
        self._handling = trio.CancelScope()
        self._ended = False
        self._read_all = False
        self._read_bytes = FIRST_RECV
        # Trio's own `send` and `recv` wait; only the socket under them does not. Once closed it raises, and
        # never writes to a stranger who got the same file descriptor.
        under: Any = stream.transport_stream if self._is_tls else stream
        self.peer = SocketPeer(under.socket._sock)
        make_lane = getattr(config, LANE, None)
        # With an access log all requests take the long way, which writes it.
        self._lane: Lane | None = None
        if make_lane is not None and config.accesslog is None and not self._is_tls:
            self._lane = make_lane()
        self._address = _address_of(self.peer.socket)
        self._websocket: WebSocketStream | None = None
        self._answering = False
        self._answered: trio.Event | None = None
        """For whoever waits until the lane has answered."""
        self._used_at = trio.current_time()

    async def run(self) -> None:
        """Serve the connection. Hypercorn lets through all but OSError, and that ends the whole server."""
        if Connection.count >= self._most_connections:
            await trio.aclose_forcefully(self.stream)
            return
        Connection.count += 1
        living: set[Connection] = getattr(self.context, LIVING)
        living.add(self)
        try:
            await super().run()
        except BaseExceptionGroup as group:
            errors, others = group.split(Exception)
            if errors is not None:
                self._failed(errors)
            if others is not None:
                raise others from None
        except Exception as error:  # noqa: BLE001 - one connection's failure is never another's
            self._failed(error)
        finally:
            Connection.count -= 1
            living.remove(self)
            self._take_apart()

    def _take_apart(self) -> None:
        """Leave nothing that waits for the garbage collector: its parts refer to it, and to one another."""
        if self._is_tls:
            cast(Any, self.stream)._handshook = None  # Trio's, which refers to its stream
        connection: Any = getattr(self._websocket, "connection", None)
        if connection is not None:
            connection._proto._parse_more.close()  # wsproto's, a generator that refers to its protocol
        vars(self).clear()

    def _failed(self, error: BaseException) -> None:
        """A peer's nonsense is a line; anything else is a fault of ours, with its traceback."""
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if isinstance(error, (UnicodeError, h11.LocalProtocolError)):
            logger.info("Connection refused: malformed request", error=type(error).__name__)
        else:
            getattr(self.config, FAULT, _nothing)(error)
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
            await self._wrapped_app(scope, receive, send, sync_spawn, call_soon)
            return
        scope["extensions"][CONNECTION_EXTENSION] = self
        websocket = self._websocket = cast(WebSocketStream, cast(H11Protocol, self.protocol.protocol).stream)
        if not self._is_tls:
            transport = WebSocketTransport(self, websocket)
            websocket.transport = scope["extensions"][EXTENSION] = transport
        try:
            await self._wrapped_app(scope, receive, send, sync_spawn, call_soon)
        finally:
            # What the peer still sends has nobody to read it: Hypercorn would wait for room in this queue.
            websocket.app_put = _nowhere
            receive.__self__.close()
            websocket.transport = None  # with the next line, what `_take_apart` does for a connection
            scope["extensions"].clear()

    def taken_bytes(self) -> int | None:
        """A number that rises by each byte that the peer acknowledges; None when that is not known."""
        return self.peer.taken_bytes()

    def unsent_bytes(self) -> int | None:
        """What the kernel holds and the peer has not acknowledged; None when that is not known."""
        return self.peer.unsent_bytes()

    def abort(self) -> None:
        """Close the socket by force: what is unsent is dropped, and the peer sees a reset."""
        stream = self.stream.transport_stream if self._is_tls else self.stream
        if stream.socket.fileno() != -1:
            reset = struct.pack("ii", 1, 0)  # SO_LINGER on, for 0 seconds
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            stream.socket.close()

    @property
    def _is_tls(self) -> bool:
        return isinstance(self.stream, trio.SSLStream)

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._send(event.data)
        elif isinstance(event, Closed):
            if self._is_answering:
                return  # the rest of a request is broken: its answer, which was begun, ends the connection
            self._ended = True
            await self._send_eof()
            try:
                await self.protocol.handle(Closed())
            finally:
                self._handling.cancel()
        elif not self._read_all:
            # Quart ends a request by cancelling its own tasks, and it is from one of them that Hypercorn
            # starts the idle timer: unshielded, a connection once used is never closed for being idle.
            with trio.CancelScope(shield=True):
                await super().protocol_send(event)

    async def _send(self, data: bytes) -> None:
        """Write all of it, or close: Hypercorn's send is shielded and has no limit, so that a peer which
        does not read could neither be cancelled nor drained."""
        async with self.send_lock:
            try:
                with trio.CancelScope(shield=True):
                    if self._is_tls:
                        await self.stream.send_all(data)
                    else:
                        await send_all(self.peer, data, self._stall_seconds)
            except PeerStalled:
                self.stalled = True
                self.abort()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            else:
                return
        # The reading task tells the application. It may wait for an answer to be finished that never will be.
        self._reading.cancel()

    async def _send_eof(self) -> None:
        """Say that nothing more comes, and give the peer time to read what came."""
        if self._is_tls:  # TLS has no half-closed state that peers agree on (RFC 8446, 6.1)
            self._reading.cancel()
            return
        self._reading.deadline = trio.current_time() + LINGER_SECONDS
        # Shielded, as Quart cancels the task that comes here once it has answered: the peer would wait for
        # the end until the time above is over.
        with trio.CancelScope(shield=True), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with self.send_lock:
                await self.stream.send_eof()

    async def _read_data(self) -> None:
        dropped = 0
        with self._reading:
            while dropped <= LINGER_BYTES:
                try:
                    data = await self._receive()
                except (trio.ClosedResourceError, trio.BrokenResourceError):
                    break
                if self._ended:
                    dropped += len(data)
                else:
                    await self._handle(bytes(data))
                if not data:
                    break
        self._read_all = True  # so there is nothing to wait for
        await self.idle_task.stop()
        await self.protocol.handle(Closed())

    async def _receive(self) -> bytes:
        """What comes next; nothing at the end. Waits before it reads: whoever has just been answered has not
        sent anything yet, as a rule."""
        plain_socket = self.peer.socket
        if self._is_tls:
            return bytes(await self.stream.receive_some(MAX_RECV))
        while True:
            if plain_socket.fileno() == -1:
                raise trio.ClosedResourceError
            await trio.lowlevel.wait_readable(plain_socket)
            try:
                data = plain_socket.recv(self._read_bytes)
            except BlockingIOError:
                continue
            except OSError as error:
                raise trio.BrokenResourceError from error
            self._read_bytes = MAX_RECV if len(data) == self._read_bytes else FIRST_RECV
            return data

    async def _send_soon(self, data: bytes) -> None:
        """Write all of it: at once, when nobody else is writing and the socket takes it."""
        sent = 0
        if not self._is_tls and self.send_lock.value:
            with suppress(OSError):  # which `_send` will meet again
                sent = self.peer.socket.send(data)
        if sent < len(data):
            await self._send(data[sent:])

    async def _handle(self, data: bytes) -> None:
        if data and cast(H11Protocol, self.protocol.protocol).connection.their_state is h11.MUST_CLOSE:
            return  # `Reader` would keep it
        if data:
            data = await self._publish(data)
            if not data:
                return
        # A broken resource here is the queue of an application that has ended, see `_run_app`.
        with trio.CancelScope() as self._handling, suppress(trio.BrokenResourceError):
            await self.protocol.handle(RawData(data))

    async def _publish(self, data: bytes) -> bytes:
        """Answer the plain publish requests that `data` begins with; returns what is left for Hypercorn.

        Only between requests: not while Hypercorn holds a part of one, or answers one.
        """
        if self._lane is None or not data.startswith(b"POST /publish") or not self._is_idle:
            return data
        self._answering = True
        try:
            return await self._take_lane(self._lane, data)
        finally:
            self._answering = False
            self._used_at = trio.current_time()
            if self._answered is not None:
                self._answered.set()

    async def _take_lane(self, lane: Lane, data: bytes) -> bytes:
        done = 0
        answers: list[bytes] = []
        until = time.perf_counter() + TURN_SECONDS
        while done < len(data) and not lane.closed():
            if time.perf_counter() >= until:  # of so many requests that others should get a turn
                await trio.lowlevel.cancel_shielded_checkpoint()
                until = time.perf_counter() + TURN_SECONDS
            request = next_request(data, done, lane, self._address)
            if request is None:
                break
            if request.whole:
                answer = await lane.answer(request)
                answers.append(response(answer, _server_headers(self.config, int(time.time()))))
                done = request.end
                continue
            # Many clients send head and body apart: the rest is most likely on its way.
            await self._send_soon(b"".join(answers))
            answers.clear()
            data, done = data[done:], 0
            more = await self._receive_soon()
            if not more:
                break
            data += more
        if answers:
            # Whoever else was readable publishes first, so that the answers leave one right after the other:
            # to wake a reader costs more than to write to one that is awake.
            await trio.lowlevel.cancel_shielded_checkpoint()
            await self._send_soon(b"".join(answers))
        return data[done:]

    async def _receive_soon(self) -> bytes:
        """What comes within a moment; nothing when nothing does, or nothing ever will."""
        with trio.move_on_after(SPLIT_SECONDS), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            return await self._receive()
        return b""

    @property
    def _is_answering(self) -> bool:
        """The application has begun an answer, and not ended it."""
        protocol = cast(H11Protocol, self.protocol.protocol)
        return protocol.stream is not None and protocol.connection.our_state is h11.SEND_BODY

    @property
    def _is_idle(self) -> bool:
        """Hypercorn has answered all that it was given, and has nothing more."""
        protocol = cast(H11Protocol, self.protocol.protocol)
        connection = protocol.connection
        return (
            protocol.stream is None and connection.their_state is h11.IDLE and not connection.trailing_data[0]
        )

    async def _idle_timeout(self) -> None:
        """Close when nothing was asked for so long, or at the end; Hypercorn does not see the lane's.

        Whoever asked just before the end most likely asks again: cut, it could not tell whether it was heard.
        It gets a moment, and is told to go (503, Connection: close).
        """
        self._used_at = trio.current_time()
        ended = False
        while not ended:
            with trio.move_on_at(self._used_at + self.config.keep_alive_timeout):
                await self.context.terminated.wait()
            if self._answering:
                self._answered = trio.Event()
                await self._answered.wait()
            idle_until = self._used_at + self.config.keep_alive_timeout
            ended = self.context.terminated.is_set() or trio.current_time() >= idle_until
        if self.context.terminated.is_set() and trio.current_time() < self._used_at + BUSY_SECONDS:
            await trio.sleep(LAST_REQUEST_SECONDS)
        with trio.CancelScope(shield=True):
            await self._initiate_server_close()


@lru_cache(maxsize=4)
def _server_headers(config: Config, second: int) -> bytes:
    """What Hypercorn adds to every answer, the date above all, as lines; made once a second."""
    return b"".join(b"%b: %b\r\n" % header for header in config.response_headers("h11"))


def _nothing(_: BaseException) -> None:
    """What a fault calls where nobody counts them."""


async def _nowhere(message: Any) -> None:
    """Where messages go that nobody reads."""


def adapt(config: Config) -> None:
    """Set what Courier needs of Hypercorn's settings, whoever made them."""
    # As loggers, so that Hypercorn gives them no handlers of its own: its lines go where ours go.
    config.errorlog = logging.getLogger("hypercorn.error")
    if config.accesslog is not None:
        config.accesslog = logging.getLogger("hypercorn.access")
    config.alpn_protocols = ["http/1.1"]
    config.backlog = 2048
    config.graceful_timeout = 3.0  # what is left of plain HTTP after our own drain
    config.include_server_header = False
    config.keep_alive_max_requests = sys.maxsize  # a publisher's connection is not to be cut
    config.keep_alive_timeout = 75.0
    config.max_requests = None  # it would end the node without a drain
    config.websocket_max_message_size = MAX_MESSAGE_BYTES
    config.access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(b)s'  # no query: it may hold a token


def harden(listener: socket.socket, stall_seconds: float = STALL_SECONDS) -> None:
    """Set what accepted sockets inherit: the kernel, too, notices a peer that has vanished. It does so later
    than one that takes nothing is cut off."""
    if listener.family in (socket.AF_INET, socket.AF_INET6):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            ("TCP_KEEPIDLE", 60),
            ("TCP_KEEPINTVL", 15),
            ("TCP_KEEPCNT", 4),
            ("TCP_USER_TIMEOUT", max(60_000, round(2000 * stall_seconds))),
        ):
            if hasattr(socket, option):
                listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def raise_file_limit() -> None:
    """Let the process have as many sockets as it may: the soft limit is often 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def worker_serve(
    app: AppWrapper,
    config: Config,
    *,
    sockets: Sockets | None = None,
    shutdown_trigger: Callable[..., Awaitable[None]] | None = None,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Hypercorn's Trio worker, drained before it is stopped: by a signal or by its master, as one request.

    Hypercorn itself would stop listening, tell the WebSockets nothing and wait `graceful_timeout`. A service
    manager hears of it. Sockets that were handed down (`fd://3`) are not accepted from while it drains.
    """
    application = getattr(app, "app", None)
    if not hasattr(application, "drain"):  # somebody else's app in the same process
        await _stock_worker_serve(
            app, config, sockets=sockets, shutdown_trigger=shutdown_trigger, task_status=task_status
        )
        return
    worker = has_master(shutdown_trigger)
    with bound_to_master() if worker else nullcontext():
        triggers = (shutdown_trigger, until_master_is_gone) if worker else (shutdown_trigger,)
        await _serve_node(app, config, cast(Application, application), sockets, triggers, task_status)


async def _serve_node(
    app: AppWrapper,
    config: Config,
    application: Application,
    sockets: Sockets | None,
    triggers: Sequence[Callable[..., Awaitable[None]] | None],
    task_status: trio.TaskStatus[list[str]],
) -> None:
    adapt(config)
    # Whoever hands a socket down keeps it: what waits at it when we no longer accept is our successor's.
    handed_down = all(bind.startswith("fd://") for bind in (*config.bind, *config.insecure_bind))
    if handed_down:
        sockets = sockets or _create_sockets(config)
        config.bind = [repr_socket_addr(each.family, each.getsockname()) for each in _all(sockets)]
        config.insecure_bind = []
    application.prepare(config)
    if hasattr(config, TAKEN_OVER):
        logger.warning("Hypercorn's Trio worker takes over from its asyncio worker: say hypercorn -k trio")
    try:
        certificate = Certificate(config)
    except OSError as error:
        raise SystemExit(
            f"Courier does not start: {config.certfile} and {config.keyfile} cannot be used for TLS: {error}"
        ) from None
    sockets = sockets or _create_sockets(config)
    for listener in _all(sockets):
        if not handed_down:  # where it is, the queue's length was decided too
            listener.listen(config.backlog)
        harden(listener, getattr(config, STALL_LIMIT, STALL_SECONDS))

    raise_file_limit()
    gc.freeze()
    gc.set_threshold(*COLLECTED_AFTER)

    async with (
        until_asked(*triggers, application.failed) as asked,
        open_manager(application.status) as manager,
        reloading(certificate.renew, application.reload),
    ):

        def ready(addresses: list[str]) -> None:
            task_status.started(addresses)
            manager.ready()

        async def drained(accepting: trio.CancelScope) -> None:
            await asked.wait()
            manager.stopping()
            await application.leave()
            if handed_down:
                accepting.cancel()
            await application.drain()

        await _serve(app, config, sockets, certificate, ready, drained)
    application.raise_if_failed()


class Certificate:
    """What TLS shows to new connections. Raises OSError when it cannot be used."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.context: ssl.SSLContext | None = config.create_ssl_context()
        """None without TLS."""

    def renew(self) -> None:
        """Read the files again; when they cannot be used, what was read before goes on."""
        files = {"certfile": self._config.certfile, "keyfile": self._config.keyfile}
        if self.context is None:
            return
        try:
            self.context = self._config.create_ssl_context()
        except OSError as error:
            logger.error("Certificate not renewed: the one before is in use", **files, error=str(error))
        else:
            logger.info("Certificate renewed", **files)


class TlsListener(trio.abc.Listener[trio.SSLStream[PatientStream]]):
    """Trio's, but that its certificate may change, and that a peer may be slow as on a plain socket."""

    def __init__(self, listener: trio.SocketListener, certificate: Certificate, stall_seconds: float) -> None:
        self._listener = listener
        self._certificate = certificate
        self._stall_seconds = stall_seconds

    async def accept(self) -> trio.SSLStream[PatientStream]:
        stream = PatientStream(await self._listener.accept(), self._stall_seconds)
        context = self._certificate.context
        assert context is not None
        return trio.SSLStream(stream, context, server_side=True, https_compatible=True)

    async def aclose(self) -> None:
        await self._listener.aclose()


async def _serve(
    app: AppWrapper,
    config: Config,
    sockets: Sockets,
    certificate: "Certificate",
    ready: Callable[[list[str]], None],
    drained: Callable[[trio.CancelScope], Awaitable[None]],
) -> None:
    """Hypercorn's Trio worker, but that `drained`, which says when to end, may stop the accepting earlier."""
    state: LifespanState = {}
    lifespan = Lifespan(app, config, state)
    context = WorkerContext(None)
    living: set[Connection] = set()
    setattr(context, LIVING, living)
    accepting = trio.CancelScope()
    async with trio.open_nursery() as application:
        await application.start(lifespan.handle_lifespan)
        await lifespan.wait_for_startup()
        stall_seconds: float = getattr(config, STALL_LIMIT, STALL_SECONDS)
        listeners: dict[str, trio.abc.Listener[Any]] = {}
        for each in _all(sockets):
            listener = trio.SocketListener(trio.socket.from_stdlib_socket(each))
            address = repr_socket_addr(each.family, each.getsockname())
            if certificate.context is not None and each in sockets.secure_sockets:
                listeners[f"https://{address}"] = TlsListener(listener, certificate, stall_seconds)
            else:
                listeners[f"http://{address}"] = listener

        async with trio.open_nursery() as connections:

            async def serve(stream: Any) -> None:
                try:
                    await Connection(app, config, context, ConnectionState(state.copy()), stream)
                finally:
                    await trio.aclose_forcefully(stream)

            async def accept() -> None:
                with accepting:
                    async with trio.open_nursery() as nursery:
                        for each in listeners.values():
                            nursery.start_soon(_accept, each, serve, connections)

            connections.start_soon(accept)
            logger.info("Listening", addresses=list(listeners))
            ready(list(listeners))
            await drained(accepting)
            accepting.cancel()
            await context.terminated.set()
            connections.cancel_scope.deadline = trio.current_time() + config.graceful_timeout
            application.start_soon(_abort_last, living, config.graceful_timeout + LAST_SEND_SECONDS)
        await lifespan.wait_for_shutdown()
        application.cancel_scope.cancel()


async def _accept(
    listener: trio.abc.Listener[Any], serve: Callable[[Any], Awaitable[None]], connections: trio.Nursery
) -> None:
    """Take what comes to the listener, and close it at the end. While there is no room for another socket,
    new connections wait in the kernel, which is one line a minute; those that there are go on."""
    told_at = -math.inf
    async with listener:
        while True:
            try:
                stream = await listener.accept()
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                if trio.current_time() >= told_at + NO_ROOM_TOLD_SECONDS:
                    told_at = trio.current_time()
                    logger.error(
                        "No room for new connections: raise the limit of open files",
                        error=errno.errorcode[error.errno],
                        connections=Connection.count,
                    )
                await trio.sleep(NO_ROOM_SECONDS)
            else:
                connections.start_soon(serve, stream)


async def _abort_last(living: set[Connection], seconds: float) -> None:
    """After so many seconds close what is left by force: a send is shielded, and may take as long as the peer
    takes something."""
    await trio.sleep(seconds)
    for connection in tuple(living):
        connection.abort()


def _create_sockets(config: Config) -> Sockets:
    """What the settings ask to listen on; SystemExit with a sentence when it cannot be had."""
    wrong: object = None
    try:
        sockets = config.create_sockets()
    except OSError as error:
        wrong = error
    except SocketTypeError:
        wrong = "a socket that is handed down must be a stream socket"
    else:
        for bind, each in zip(config.bind, _all(sockets), strict=False):
            if bind.startswith("fd://") and not each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                wrong = "a socket that is handed down must be listening"
    if wrong is not None:
        raise SystemExit(f"Courier does not start: it cannot listen on {', '.join(config.bind)}: {wrong}")
    return sockets


def _all(sockets: Sockets) -> list[socket.socket]:
    return [*sockets.secure_sockets, *sockets.insecure_sockets]


_stock_worker_serve = hypercorn.trio.run.worker_serve


def _run_in_trio(
    main: partial[Any],
    *,
    debug: bool = False,
    shutdown_trigger: partial[Any] | None = None,
    loop_factory: Any = None,
) -> None:
    """In the place of `hypercorn.asyncio.run._run`: what was to run on asyncio runs on Trio.

    The worker has imported the application, and with it this module, just before it comes here.
    """
    app, config = main.args
    if shutdown_trigger is not None:
        shutdown_trigger = partial(check_multiprocess_shutdown_event, shutdown_trigger.args[0], trio.sleep)
    setattr(config, TAKEN_OVER, True)
    trio.run(
        partial(
            worker_serve, app, config, sockets=main.keywords["sockets"], shutdown_trigger=shutdown_trigger
        )
    )


def install() -> None:
    """Put what stands above in its place. Doing it twice does nothing more."""
    _put(hypercorn.trio.run, "TCPServer", Connection)
    _put(hypercorn.trio.run, "worker_serve", worker_serve)
    _put(hypercorn.protocol.h11, "WSStream", WebSocketStream)
    _put(hypercorn.protocol, "H11Protocol", Http1)
    # Compression costs 93 KiB a connection and one deflate a subscriber an event, and what comes in may
    # grow a thousandfold before its size is looked at. RFC 7692, 5 lets a server decline.
    _put(hypercorn.protocol.ws_stream, "server_extensions_handshake", _no_extensions)
    if "hypercorn.asyncio.run" in sys.modules:
        _put(sys.modules["hypercorn.asyncio.run"], "_run", _run_in_trio)


def _put(owner: object, name: str, ours: object) -> None:
    """Replace what is there; AttributeError when a release of Hypercorn has nothing there."""
    getattr(owner, name)
    setattr(owner, name, ours)


def _no_extensions(requested: Any, supported: Any) -> None:
    """In the place of `wsproto.handshake.server_extensions_handshake`, as Hypercorn calls it."""


def _address_of(plain_socket: socket.socket) -> str | None:
    """Where the peer's packets come from; None where there are no addresses, or the peer has gone."""
    try:
        name = plain_socket.getpeername()
    except OSError:
        return None
    return name[0] if isinstance(name, tuple) else None
