"""Publish: events from a file or a pipe to a channel, in order, in batches of what came together."""

import json
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from http import HTTPStatus
from io import BufferedIOBase
from itertools import count
from typing import Any, NamedTuple

import httpx
import trio

from courier.terminal.errors import Refused, Unreachable, Unreadable, describe, refused

BATCH_EVENTS = 1000
BATCH_BYTES = 900 * 1024
"""A batch with its envelope stays below 1 MiB."""

LINE_BYTES = 16 * 1024 * 1024
"""How long a line may be, and a document of many lines."""

CHUNK_BYTES = 256 * 1024
REQUEST_SECONDS = 30.0
MAX_WAIT_SECONDS = 5.0
"""Between two tries when the node has not said how long to wait."""

TELL_SECONDS = 1.0
"""A wait that is longer is told."""


class Line(NamedTuple):
    """One event as it was written, and the line that it begins at, counted from 1."""

    number: int
    event: bytes
    source: str = ""
    error: str = ""
    """Why it is no event that could be sent."""


class Result(NamedTuple):
    """What became of one line: its receipt, or the status and the error that the event got."""

    line: int
    answer: dict[str, Any]

    @property
    def published(self) -> bool:
        return bool(self.answer["status"] == "published")

    def __str__(self) -> str:
        if self.published:
            return f"{self.answer['channel']} {self.answer['id']}"
        return f"line {self.line}: {self.answer['code']} {describe(self.answer)}"


class Reader:
    """Cuts what comes into events: one JSON object a line, or all of it as one object over many lines."""

    def __init__(self) -> None:
        self._rest = b""
        self._number = 0
        self._by_line: bool | None = None
        """None until there was a line to judge by."""

    def feed(self, chunk: bytes) -> list[Line]:
        """The events that are whole now. Raises Unreadable when one is too long."""
        lines: list[Line] = []
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        while whole and self._by_line is not False:
            text = whole.pop(0)
            if self._by_line is None and text.strip():
                self._by_line = not _is_begun(text)
                if not self._by_line:
                    whole.insert(0, text)
                    break
            self._number += 1
            if text.strip():
                lines.append(_line(self._number, text))
        self._rest = b"\n".join([*whole, self._rest])
        if len(self._rest) > LINE_BYTES:
            raise Unreadable(f"Line {self._number + 1} goes on for more than {LINE_BYTES} bytes")
        return lines

    def rest(self) -> list[Line]:
        """At the end: the last line, or the document."""
        return [_line(self._number + 1, self._rest)] if self._rest.strip() else []


def _is_begun(text: bytes) -> bool:
    """Whether an object begins here that ends on another line."""
    try:
        json.loads(text)
    except ValueError:
        return text.lstrip().startswith(b"{")
    return False


def _line(number: int, text: bytes) -> Line:
    try:
        event = json.loads(text)
    except ValueError as error:
        return Line(number, text, error=f"Event is no JSON: {error}")
    if not isinstance(event, dict):
        return Line(number, text, error="Event is no JSON object")
    source = event.get("source")
    if not isinstance(source, str) or not source.isascii() or not source.isprintable():
        return Line(number, text, error='Event has no "source", the name of the service that publishes it')
    return Line(number, text.strip(), source)


def take_batch(waiting: Sequence[Line], most: int) -> Sequence[Line]:
    """The first of `waiting` that may travel together: of one source, `most` at most, not too many bytes."""
    size = 0
    for place, line in enumerate(waiting[:most]):
        size += len(line.event) + 200
        if line.error or line.source != waiting[0].source or (place and size > BATCH_BYTES):
            return waiting[:place]
    return waiting[:most]


class _Later(Exception):
    """The node could not take a batch now; `seconds` is how long to wait if it has said so."""

    def __init__(self, problem: str, seconds: float | None = None) -> None:
        super().__init__(problem)
        self.seconds = seconds


class _TooMany(Exception):
    """The node never takes so much at a time. Nothing was published."""


class Publisher:
    """Sends batches to one channel, one at a time, so that their order is that of the lines."""

    def __init__(
        self, http: httpx.AsyncClient, channel: str, patience_seconds: float, tell: Callable[[str], None]
    ) -> None:
        self._http = http
        self._channel = json.dumps(channel).encode()
        self._patience_seconds = patience_seconds
        self._tell = tell
        self._most = BATCH_EVENTS

    async def publish(self, waiting: Sequence[Line]) -> list[Result]:
        """Publish the first of `waiting`, as many as travel together; a result for each of them.

        A batch whose fate is unknown goes again with the same idempotency key, so that nothing is published
        twice. Raises Refused for what concerns all of it, and Unreachable when patience is at its end.
        """
        if waiting[0].error:
            return [_failed(waiting[0], HTTPStatus.BAD_REQUEST, {"error": waiting[0].error})]
        batch, key = take_batch(waiting, self._most), secrets.token_urlsafe(16)
        give_up_at = trio.current_time() + self._patience_seconds
        for failures in count():
            try:
                return await self._try(batch, key)
            except _TooMany:
                self._most = len(batch) // 2
                return await self.publish(waiting)
            except _Later as later:
                seconds = later.seconds or min(MAX_WAIT_SECONDS, 0.1 * 2**failures)
                if trio.current_time() + seconds > give_up_at:
                    raise Unreachable(str(later)) from None
                if seconds >= TELL_SECONDS:
                    self._tell(f"{later}; trying again in {seconds:.0f} s")
                await trio.sleep(seconds)
        raise AssertionError("count() has no end")

    async def _try(self, batch: Sequence[Line], key: str) -> list[Result]:
        events = b",".join(b'{"channel":%b,"data":%b}' % (self._channel, line.event) for line in batch)
        headers = {
            "X-Service-Name": batch[0].source,
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        }
        try:
            answer = await self._http.post(
                "/publish/batch", content=b'{"events":[%b]}' % events, headers=headers
            )
        except httpx.TransportError as error:
            raise _Later(f"No node at {self._http.base_url}: {error or type(error).__name__}") from None
        if answer.status_code == HTTPStatus.OK:
            results = [
                Result(line.number, one) for line, one in zip(batch, answer.json()["results"], strict=True)
            ]
            if later := [str(one) for one in results if one.answer.get("code") in (429, 503)]:
                raise _Later(later[0])
            return results
        if answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            if len(batch) > 1:
                raise _TooMany
            return [_failed(batch[0], answer.status_code, answer.json()["detail"])]
        problem = refused(answer)
        if isinstance(problem, Refused):
            raise problem
        raise _Later(str(problem), _retry_after(answer))


def _failed(line: Line, code: int, detail: dict[str, Any]) -> Result:
    return Result(line.number, {"status": "failed", "code": int(code), **detail})


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds (RFC 9110 section 10.2.3); None when the answer does not say."""
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None


async def publish(
    url: str,
    channel: str,
    token: str | None,
    source: BufferedIOBase,
    patience_seconds: float,
    tell: Callable[[str], None],
) -> AsyncGenerator[list[Result], None]:
    """Publish all that `source` has; yields results as they come, in the order of the lines.

    Raises Unreadable, Refused or Unreachable; what was yielded as published before is. `tell` gets a
    sentence when it has to wait.
    """
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=REQUEST_SECONDS) as http:
        publisher = Publisher(http, channel, patience_seconds, tell)
        async for lines in _read(source):
            waiting: Sequence[Line] = lines
            while waiting:
                results = await publisher.publish(waiting)
                yield results
                waiting = waiting[len(results) :]


async def _read(source: BufferedIOBase) -> AsyncGenerator[list[Line], None]:
    """The events that came together. A cancelled read is left behind in its thread."""
    reader = Reader()
    while chunk := await trio.to_thread.run_sync(source.read1, CHUNK_BYTES, abandon_on_cancel=True):
        yield reader.feed(chunk)
    yield reader.rest()
