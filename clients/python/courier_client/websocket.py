"""WebSocket: text messages over a socket (RFC 6455, by wsproto)."""

from contextlib import suppress
from typing import Self

from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from courier_client.address import Address
from courier_client.closing import ABNORMAL, NORMAL, PROTOCOL_ERROR, TOO_LARGE, Closed
from courier_client.sockets import Socket

MESSAGE_CHARACTERS = 64 * 1024 * 1024
"""The longest message that is taken. No node can be set to send one: it takes events of 16 MiB at most,
which may grow almost fourfold as they are written again (`1e15` as `1000000000000000.0`)."""

SWITCHING_PROTOCOLS = 101


class HandshakeRefused(Exception):
    """The request for a WebSocket was answered in another way than asked for."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


class WebSocket:
    """An open WebSocket. Whoever leaves it calls `close`, which does not wait."""

    def __init__(self, sock: Socket) -> None:
        self.closed: Closed | None = None
        """Why it ended, once what came before that has been received."""
        self._socket = sock
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._answer: AcceptConnection | RejectConnection | None = None
        """Of the handshake."""
        self._texts: list[str] = []
        self._parts: list[str] = []
        """The beginning of a message whose end has not come."""
        self._characters = 0
        """In these parts."""
        self._owed = b""
        """Pongs of the protocol that are not sent yet."""

    @classmethod
    async def open(
        cls, address: Address, target: str, subprotocol: str, headers: list[tuple[bytes, bytes]]
    ) -> Self:
        """Connect and shake hands. An OSError when that fails, HandshakeRefused when the server will not."""
        self = cls(await Socket.connect(address.host, address.port, address.ssl_context))
        request = Request(address.authority, target, subprotocols=[subprotocol], extra_headers=headers)
        try:
            await self._shake_hands(request)
        except BaseException:
            self._socket.close()
            raise
        return self

    @property
    def unread(self) -> bool:
        """Whether messages have come that `receive` gives without waiting."""
        return bool(self._texts)

    async def receive(self) -> list[str]:
        """The messages that have come, at least one of them unless `closed` says why. Cancelled, nothing is
        lost."""
        while not self._texts and self.closed is None:
            try:
                if self._owed:
                    owed, self._owed = self._owed, b""
                    await self._send(owed)
                data = await self._socket.receive()
            except OSError:
                data = b""
            if self.closed is None:
                self._feed(data)
        texts, self._texts = self._texts, []
        return texts

    async def send(self, text: str) -> None:
        """Send a message. Should that fail or be cancelled, the WebSocket is closed."""
        if self.closed is None:
            await self._send(self._protocol.send(TextMessage(text)))

    def close(self) -> None:
        """Say goodbye if that goes at once, and close."""
        if self.closed is None:
            self._end(ABNORMAL, CloseConnection(NORMAL))

    async def _shake_hands(self, request: Request) -> None:
        await self._socket.send(self._protocol.send(request))
        while self._answer is None and self.closed is None:
            self._feed(await self._socket.receive())
        match self._answer:
            case None:
                raise ConnectionError("the connection ended in the handshake")
            case RejectConnection(status_code=status):
                raise HandshakeRefused(status, "The join was answered with an HTTP status")
            case AcceptConnection(subprotocol=None):
                raise HandshakeRefused(SWITCHING_PROTOCOLS, "The server does not speak courier.v1")

    async def _send(self, data: bytes) -> None:
        try:
            await self._socket.send(data)
        except BaseException as error:
            self._end(ABNORMAL)
            if not isinstance(error, OSError):
                raise

    def _feed(self, data: bytes) -> None:
        """Take what has come, which is nothing at the end of the connection."""
        if not data:
            self._end(ABNORMAL)
            return
        try:
            self._protocol.receive_data(data)
            for event in self._protocol.events():
                self._handle(event)
        except RemoteProtocolError as error:
            self._end(Closed(PROTOCOL_ERROR, str(error)), error.event_hint)

    def _handle(self, event: Event) -> None:
        match event:
            case TextMessage():
                self._parts.append(event.data)
                self._characters += len(event.data)
                if self._characters > MESSAGE_CHARACTERS:
                    self._end(TOO_LARGE, CloseConnection(TOO_LARGE.code))
                elif event.message_finished:
                    self._texts.append("".join(self._parts))
                    self._parts.clear()
                    self._characters = 0
            case Ping():
                self._owed += self._protocol.send(event.response())
            case CloseConnection():
                self._end(Closed(event.code, event.reason or ""), event.response())
            case AcceptConnection() | RejectConnection():
                self._answer = event

    def _end(self, why: Closed, last_word: Event | None = None) -> None:
        """It is over; what the peer has not read of ours, it need not know."""
        if self.closed is not None:
            return
        self.closed = why
        with suppress(LocalProtocolError):
            if last_word is not None:
                self._socket.send_nowait(self._protocol.send(last_word))
        self._socket.close()
