"""WebSocket: Hypercorn's, with a close that says why."""

from typing import Any

import trio
from hypercorn.protocol.events import Body, Data, Request, StreamClosed
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.ws_stream import FrameTooLargeError, WSStream
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection, Message, Ping

from courier.serving.transport import BY_SERVER

TOO_BIG = 1009, "Message too big"
"""The close of a peer whose message is too long (RFC 6455, 7.4.1, and its registry)."""


class WebSocketStream(WSStream):
    """Hypercorn's WebSocket, which closes with a code and a reason whatever the peer did wrong."""

    end: dict[str, Any] | None = None
    """How it ended, when a close was said: what the application gets, where Hypercorn says 1006."""

    async def handle(self, event: StreamEvent) -> None:
        if isinstance(event, (Body, Data)) and not self.closed and not self.handshake.accepted:
            # A peer must wait for our side of the handshake (RFC 6455, 4.1). Hypercorn answers, and then
            # forgets to tell the application that there is no WebSocket.
            self.closed = True  # first: the application may be about to accept
            assert self.app_put is not None
            # Shielded: the reading is cancelled when the peer has gone, and the application would never hear.
            with trio.CancelScope(shield=True):
                await self._send_error_response(400)
                await self.app_put({"type": "websocket.disconnect", "code": 1006, "reason": ""})
            await self.send(StreamClosed(stream_id=self.stream_id))
            return
        if isinstance(event, StreamClosed):
            # Shielded: the reading is cancelled when the peer has gone amid our close, and the application
            # would never hear of the end.
            with trio.CancelScope(shield=True):
                if self.closed or self.end is None or self.app_put is None:
                    await super().handle(event)
                else:
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
                    await self._end(CloseConnection(*TOO_BIG), by_server=True)
                    return
                if event.message_finished:
                    assert self.app_put is not None
                    await self.app_put(self.buffer.to_message())
                    self.buffer.clear()
            elif isinstance(event, Ping):
                await self._send_wsproto_event(event.response())
            elif isinstance(event, CloseConnection):
                if self.connection.state == ConnectionState.REMOTE_CLOSING:
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
