"""Publish: events from a file or a pipe to a channel, in order, in batches of what came together."""

import json
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from http import HTTPStatus
from io import BufferedIOBase
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import trio

from courier.terminal.errors import Refused, Unreachable, describe, detail_of, refused
from courier.terminal.lines import Line, Reader

BATCH_EVENTS = 1000
BATCH_BYTES = 900 * 1024
"""A batch with its envelope stays below 1 MiB."""

CHUNK_BYTES = 256 * 1024
REQUEST_SECONDS = 30.0
MAX_WAIT_SECONDS = 5.0
"""Between two tries when the node has not said how long to wait."""

_OF_THESE_EVENTS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.CONFLICT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
)
"""Refusals that concern the events that were sent, or their source; what comes behind may be good."""

TELL_SECONDS = 1.0
"""A wait that is longer is told."""


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


class _OneIsWrong(Exception):
    """The node does not say which event of a batch it cannot read. Nothing was published."""


class Publisher:
    """Sends batches to one channel, one at a time, so that their order is that of the lines."""

    def __init__(
        self, http: httpx.AsyncClient, channel: str, patience_seconds: float, tell: Callable[[str], None]
    ) -> None:
        self._http = http
        self._channel = channel
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
            except _OneIsWrong:
                return await self.publish(waiting[: len(batch) // 2])
            except _Later as later:
                seconds = later.seconds or min(MAX_WAIT_SECONDS, 0.1 * 2**failures)
                if trio.current_time() + seconds > give_up_at:
                    raise Unreachable(str(later)) from None
                if seconds >= TELL_SECONDS:
                    self._tell(f"{later}; trying again in {seconds:.0f} s")
                await trio.sleep(seconds)
        raise AssertionError("count() has no end")

    async def _try(self, batch: Sequence[Line], key: str) -> list[Result]:
        channel = json.dumps(self._channel).encode()
        events = b",".join(b'{"channel":%b,"data":%b}' % (channel, line.event) for line in batch)
        headers = {
            "X-Service-Name": batch[0].source,
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        }
        answer = await self._post("/publish/batch", b'{"events":[%b]}' % events, headers)
        if answer.status_code == HTTPStatus.BAD_REQUEST:
            if len(batch) > 1:
                raise _OneIsWrong
            # In a batch JSON may be nested less deeply than alone, by what the batch puts round it.
            answer = await self._post(f"/publish/{quote(self._channel, safe='')}", batch[0].event, headers)
            if answer.status_code == HTTPStatus.OK:
                return [Result(batch[0].number, answer.json())]
        if answer.status_code == HTTPStatus.OK:
            results = [
                Result(line.number, one) for line, one in zip(batch, answer.json()["results"], strict=True)
            ]
            if later := [str(one) for one in results if one.answer.get("code") in (429, 503)]:
                raise _Later(later[0])
            return results
        if answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and len(batch) > 1:
            raise _TooMany
        if answer.status_code in _OF_THESE_EVENTS and (detail := detail_of(answer)):
            return [_failed(line, answer.status_code, detail) for line in batch]
        problem = refused(answer)
        if isinstance(problem, Refused):
            raise problem
        raise _Later(str(problem), _retry_after(answer))

    async def _post(self, path: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
        try:
            return await self._http.post(path, content=content, headers=headers)
        except httpx.TransportError as error:
            raise _Later(f"No node at {self._http.base_url}: {error or type(error).__name__}") from None


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

    Raises Refused or Unreachable; what was yielded as published before is. `tell` gets a
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
