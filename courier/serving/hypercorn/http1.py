"""HTTP/1.1: Hypercorn's protocol and h11's reader, with the rules that they leave out."""

import json
import re
from contextlib import suppress
from typing import Any, cast

import h11
import trio
from hypercorn.events import RawData
from hypercorn.protocol.events import Body
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.h11 import H11Protocol

from courier.serving.desk.lingering import LINGER_SECONDS
from courier.serving.headers import fault_of
from courier.serving.hypercorn.context import ServerContext

PIECE_BYTES = 64 * 1024
"""How much of an answer is made ready to be sent at a time."""

_EMPTY_LINES = re.compile(rb"(?:\r\n)*")


class Http1(H11Protocol):
    """Hypercorn's HTTP/1.1, and no other: a request that asks for HTTP/2 is served as HTTP/1.1.

    Cleartext HTTP/2 (`h2c`, or by prior knowledge) cannot be switched off, and one odd path in it ends the
    stock server.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        once = cast(ServerContext, self.context).once_headers
        self.connection = Reader(once, self.config.h11_max_incomplete_size)

    async def _check_protocol(self, event: h11.Request) -> None:
        """Stay."""

    async def stream_send(self, event: StreamEvent) -> None:
        """Write a large body piece by piece, so that of a peer which does not read one piece is held."""
        if isinstance(event, Body) and len(event.data) > PIECE_BYTES:
            for start in range(0, len(event.data), PIECE_BYTES):
                await super().stream_send(Body(event.stream_id, event.data[start : start + PIECE_BYTES]))
        else:
            await super().stream_send(event)

    async def _close_stream(self) -> None:
        """Tell the application that the peer has gone. Shielded: a write that fails cancels the reading,
        which may be what calls this. An application that has ended takes nothing more, and is left."""
        with trio.move_on_after(LINGER_SECONDS, shield=True):
            await super()._close_stream()

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


class Reader(h11.Connection):
    """h11, with three rules of RFC 9112 more. What follows the last request of a connection is not looked at
    (9.6): h11 would make an error of it, which takes the place of the answer, or cuts off one that was begun.
    Empty lines before a request are passed over (2.2). A head that can be read in two ways is an error.
    """

    fault: str | None = None
    """What is wrong with such a head, as a sentence."""

    def __init__(self, once_headers: frozenset[bytes], most_head_bytes: int) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size=most_head_bytes)
        self._once_headers = once_headers

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
            self.fault = fault_of(event.headers, self._once_headers)
            if self.fault is not None:
                self._process_error(self.their_role)
                raise h11.RemoteProtocolError(self.fault)
        return event
