"""Event streams as their readers see them: WHATWG HTML, 9.2.6, over HTTP/1.1, chunk by chunk."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import quote

import h11
import trio

from tests.web.servers import PATIENCE_SECONDS, TestServer, token


class Message(NamedTuple):
    """One message, as a page gets it."""

    event: str
    data: Any
    last_id: str
    """That of the stream, after this message."""


class EventStream:
    """The reader of one stream."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.status = 0
        self.headers: dict[str, str] = {}
        self.last_id = ""
        self.retry_ms: int | None = None
        self.comments: list[str] = []
        self.text = ""
        """All that came."""
        self.ended = False
        self._connection = h11.Connection(h11.CLIENT)
        self._lines: list[str] = []
        self._rest = ""

    async def ask(self, path: str, headers: dict[str, str]) -> None:
        given = [("Host", "courier.test"), ("Accept", "text/event-stream"), *headers.items()]
        request = h11.Request(method="GET", target=path, headers=given)
        data = self._connection.send(request)
        assert data is not None
        await self.stream.send_all(data + (self._connection.send(h11.EndOfMessage()) or b""))
        answer = await self._next_event()
        assert isinstance(answer, h11.Response)
        self.status = answer.status_code
        self.headers = {name.decode(): value.decode() for name, value in answer.headers}

    async def body(self) -> bytes:
        """The rest of an answer that is no stream."""
        found = b""
        while isinstance(event := await self._next_event(), h11.Data):
            found += bytes(event.data)
        return found

    async def next(self) -> Message | None:
        """The next message; None at the end."""
        with trio.fail_after(PATIENCE_SECONDS):
            while True:
                while self._lines:
                    message = self._take(self._lines.pop(0))
                    if message is not None:
                        return message
                event = await self._next_event()
                if not isinstance(event, h11.Data):
                    self.ended = True
                    return None
                text = bytes(event.data).decode()
                self.text += text
                *lines, self._rest = (self._rest + text).split("\n")
                self._lines += lines

    async def events(self, count: int) -> list[Any]:
        """So many events, past what Courier says of its own."""
        found: list[Any] = []
        while len(found) < count:
            message = await self.next()
            assert message is not None, f"the stream ended: {self.text[-500:]}"
            if message.event == "message":
                found.append(message.data)
        return found

    async def say(self, kind: str) -> Any:
        """The next message that Courier says of its own, which must be of that type."""
        message = await self.next()
        assert message is not None
        assert message.event == "courier"
        assert message.data["type"] == kind
        return message.data

    _id = ""
    _event = ""
    _data: list[str]

    def _take(self, line: str) -> Message | None:
        """Take a line (9.2.6); a message at the empty line after its data."""
        if not line:
            self.last_id = self._id
            data, event = self.__dict__.pop("_data", []), self._event or "message"
            self._event = ""
            return Message(event, json.loads("\n".join(data)), self.last_id) if data else None
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "":
                self.comments.append(value)
            case "id":
                self._id = value
            case "event":
                self._event = value
            case "data":
                self.__dict__.setdefault("_data", []).append(value)
            case "retry":
                self.retry_ms = int(value)
            case _:
                raise AssertionError(f"no field of an event stream: {line!r}")
        return None

    async def _next_event(self) -> Any:
        while True:
            event = self._connection.next_event()
            if event is not h11.NEED_DATA:
                return event
            try:
                self._connection.receive_data(bytes(await self.stream.receive_some(64 * 1024)))
            except trio.BrokenResourceError:
                return h11.ConnectionClosed()


@asynccontextmanager
async def reading(
    server: TestServer,
    *channels: str,
    since: str | None = None,
    last_id: str | None = None,
    bearer: str | None = None,
    query: str = "",
    **headers: str,
) -> AsyncIterator[EventStream]:
    """A reader of channels, one by its path and several by the query; with a good token, unless another is
    given."""
    if len(channels) == 1:
        path = f"/events/{quote(channels[0])}?"
    else:
        path = "/events?" + "".join(f"channel={quote(channel)}&" for channel in channels)
    path += f"token={bearer or token()}" + ("" if since is None else f"&since={since}") + query
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if last_id is not None:
        given["Last-Event-ID"] = last_id
    async with await server.connect() as stream:
        with trio.fail_after(PATIENCE_SECONDS):
            reader = EventStream(stream)
            await reader.ask(path, given)
        yield reader
