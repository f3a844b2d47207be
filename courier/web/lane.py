"""Lane: the quick way in for plain publish requests, below ASGI.

A request is plain when it is whole in what was read and nothing about it can be read in two ways. Whatever
is not goes on to the server as the bytes that came, with all that follows it. Both ways call `publish`.
"""

import re
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from courier.web.answer import Answer
from courier.web.caller import HEADERS, Caller
from courier.web.head import is_plain
from courier.web.paths import BATCH, PUBLISH
from courier.web.publishing.batch import NDJSON
from courier.web.publishing.judge import media_type
from courier.web.request_ids import echo

Publish = Callable[[Caller, str | None, bytes], Awaitable[Answer]]

MOST_HEAD_BYTES = 8192
HEADS_KEPT = 1024
HEADS_KEPT_BYTES = 1024
"""Heads that were taken apart and are remembered: a publisher sends the same one again and again."""

# RFC 9112, 3 and 5, less all that is allowed but never sent: absolute targets, folded lines, space round the
# colon's name, control characters and bytes beyond ASCII. Of a path, what a channel's name may have.
_REQUEST_LINE = re.compile(rb"POST (%b(?:/([A-Za-z0-9._~@:+|%%-]+))?) HTTP/1\.1" % PUBLISH.encode())
_HEADER = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]+): ?([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")

_FRAMING = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"te", b"trailer", b"http2-settings"})
"""What would change how the request is to be read."""
_KEEP_ALIVE = b"keep-alive"
_CALLER_HEADERS = [name.lower().encode() for name in HEADERS]


class Head(NamedTuple):
    """A plain request, but for its body."""

    caller: Caller
    channel: str | None
    body_bytes: int


class Request(NamedTuple):
    """A plain request, as far as it has come."""

    head: Head
    body: bytes
    end: int
    """Where in the bytes it ends, or will end."""

    @property
    def whole(self) -> bool:
        return len(self.body) == self.head.body_bytes


class Lane(NamedTuple):
    """A `courier.serving.service.Lane`, and what it leads to."""

    publish: Publish
    """One event, to the channel or, when that is None, to the one that the body names."""
    publish_batch: Callable[[Caller, bytes], Awaitable[Answer]]
    event_bytes: int
    batch_bytes: int
    """How large a body may be."""
    closed: Callable[[], bool]
    """Whether all must take the long way, as in a drain, whose answers close the connection."""
    beginning: bytes = b"POST " + PUBLISH.encode()
    """How all its requests begin."""

    def next_request(self, data: bytes, start: int, address: str | None) -> Request | None:
        return next_request(data, start, self, address)

    async def respond(self, request: Request, date: bytes) -> bytes:
        """Publish what the request, which is whole, holds."""
        caller, channel, _ = request.head
        if channel == BATCH:
            answer = await self.publish_batch(caller, request.body)
        else:
            answer = await self.publish(caller, channel, request.body)
        if caller.request_id is not None:
            answer.headers.update(echo(caller.request_id))
        return response(answer, date)


def next_request(data: bytes, start: int, lane: Lane, address: str | None = None) -> Request | None:
    """The plain request of a peer at `address` that begins at `start`; None when what is there is none, has a
    body that is too large, or its head is not whole."""
    stop = data.find(b"\r\n\r\n", start, start + MOST_HEAD_BYTES)
    if stop < 0:
        return None
    raw = data[start:stop]
    head = _kept(raw, address) if len(raw) <= HEADS_KEPT_BYTES else parse_head(raw, address)
    if head is None or head.body_bytes > (lane.batch_bytes if head.channel == BATCH else lane.event_bytes):
        return None
    begin = stop + 4
    end = begin + head.body_bytes
    return Request(head, data[begin:end], end)


def parse_head(raw: bytes, address: str | None = None) -> Head | None:
    """A plain request's head, from its first byte to its last header's, without the line ends after it."""
    first, *lines = raw.split(b"\r\n")
    line = _REQUEST_LINE.fullmatch(first)
    if line is None or not is_plain(line[1]):
        return None
    headers: dict[bytes, bytes] = {}
    for one in lines:
        header = _HEADER.fullmatch(one)
        if header is None:
            return None
        name = header[1].lower()
        if name in headers or name in _FRAMING:
            return None
        headers[name] = header[2]
    length = headers.get(b"content-length", b"")
    if (
        b"host" not in headers
        or not (0 < len(length) < 8 and length.isdigit())
        or headers.get(b"connection", _KEEP_ALIVE).lower() != _KEEP_ALIVE
    ):
        return None
    caller = Caller._make([*[_text(headers.get(name)) for name in _CALLER_HEADERS], False, address])
    if media_type(caller) == NDJSON:
        return None  # read as it comes, and so not whole
    channel = _text(line[2])
    return Head(caller, None if channel is None else unquote(channel), int(length))


_kept = lru_cache(HEADS_KEPT)(parse_head)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("ascii")


def response(answer: Answer, date: bytes) -> bytes:
    """The answer as HTTP/1.1, to the byte as on the long way; `date` is a whole header line."""
    lines = "".join([f"{name.lower()}: {value}\r\n" for name, value in answer.headers.items()])
    return b"HTTP/1.1 %d \r\n%bcontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n%b" % (
        answer.status,
        lines.encode("ascii"),
        len(answer.body),
        date,
        answer.body,
    )
