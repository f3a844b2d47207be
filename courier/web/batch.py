"""Batch: many events in one request, each judged by itself."""

import json
from collections.abc import Awaitable, Callable, Sequence

import trio

from courier.backplane import KeyConflict
from courier.schemas.channels import ChannelName
from courier.schemas.events.base import Event
from courier.schemas.registry import BatchItem
from courier.web.errors import HttpError, http_answer
from courier.web.publish import (
    JSON,
    Answer,
    Caller,
    admit,
    authenticate,
    check_key,
    check_media_type,
    check_source,
    deliver,
    rate_headers,
    refusal,
    too_many,
)
from courier.web.rate_limit import UNLIMITED, Verdict
from courier.web.site import Site

NDJSON = "application/x-ndjson"

Result = bytes | Exception
"""A receipt, ready to be written; or why there is none."""

BATCH_BYTES = 1024 * 1024
"""How large the body of a batch may be."""

FAILURES_TOLD = 1000
"""How many failures of a stream its answer lists; all are counted."""

STREAM_SECONDS = 75.0
"""How long a stream may say nothing before it is answered."""


async def publish_batch(site: Site, caller: Caller, body: bytes) -> Answer:
    """Publish `{"events": [{"channel", "data"}, …]}`: 200 with a result for each, in order, or the refusal of
    the whole. The good ones are published though others fail. Never raises but for what cancels it."""
    headers: dict[str, str] = {}
    try:
        service = await authenticate(site, caller)
        check_media_type(caller, JSON)
        items = site.registry.parse_batch(body)
        verdict = await admit(site, service, len(items), trio.current_time())
        headers |= rate_headers(verdict)
        check_rate(verdict, len(items))
        check_key(caller)
        results = await _publish_all(site, service, items, caller.idempotency_key)
    except Exception as error:  # noqa: BLE001 - the table of errors answers for every one of them
        return refusal(site, error, headers)
    failed = sum(isinstance(result, Exception) for result in results)
    told = [_failure(result) if isinstance(result, Exception) else result for result in results]
    counts = b'{"status":"published","published":%d,"failed":%d,"results":[' % (len(told) - failed, failed)
    return Answer(200, counts + b",".join(told) + b"]}", headers)


async def publish_stream(site: Site, caller: Caller, receive: Callable[[], Awaitable[bytes]]) -> Answer:
    """Publish a stream of lines, each `{"channel", "data"}`, as they come: 200 with the counts, the number of
    the last line judged and the first failures, when the stream ends, falls silent or the node drains.

    `receive` gives what has come, and nothing at the end.
    """
    tally = Tally()
    lines = Lines(site.settings.max_event_bytes)
    try:
        service = await authenticate(site, caller)
    except Exception as error:  # noqa: BLE001 - as in `publish_batch`
        return refusal(site, error, {"Connection": "close"})

    async def stop_at_a_drain(reading: trio.CancelScope) -> None:
        await site.node.hub.closing.wait()
        reading.cancel()

    async with trio.open_nursery() as nursery:
        with trio.move_on_after(STREAM_SECONDS) as reading:
            nursery.start_soon(stop_at_a_drain, reading)
            while chunk := await receive():
                reading.deadline = trio.current_time() + STREAM_SECONDS
                with trio.CancelScope(shield=True):  # a line that was begun is judged to its end
                    await _judge(site, service, lines.feed(chunk), tally)
            with trio.CancelScope(shield=True):
                await _judge(site, service, lines.rest(), tally)
        nursery.cancel_scope.cancel()
    return Answer(200, tally.to_json(), {"Connection": "close"} if reading.cancelled_caught else {})


class Lines:
    """Cuts a stream into lines, whatever pieces it comes in; keeps at most one line that is not whole."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._rest = b""
        self._skipping = False

    def feed(self, chunk: bytes) -> list[bytes | None]:
        """The lines that are whole now, without their ends; None for one that is too long."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        lines: list[bytes | None] = [line if len(line) <= self._limit_bytes else None for line in whole]
        if self._skipping and lines:
            del lines[0]  # the end of one that was told already
            self._skipping = False
        if len(self._rest) > self._limit_bytes:
            if not self._skipping:
                lines.append(None)
            self._rest, self._skipping = b"", True
        return lines

    def rest(self) -> list[bytes | None]:
        """The last line, if it has no end of its own."""
        return [self._rest] if self._rest and not self._skipping else []


class Tally:
    """What became of a stream's lines."""

    def __init__(self) -> None:
        self.last_line = 0
        self._published = 0
        self._failed = 0
        self._failures: list[bytes] = []

    def add(self, line: int, result: Result) -> None:
        """Count one line's result, and keep it if it is among the first failures."""
        if not isinstance(result, Exception):
            self._published += 1
            return
        self._failed += 1
        if len(self._failures) < FAILURES_TOLD:
            self._failures.append(_failure(result, line=line))

    def to_json(self) -> bytes:
        counts = b'{"status":"published","published":%d,"failed":%d,"last_line":%d,"failures":[' % (
            self._published,
            self._failed,
            self.last_line,
        )
        return counts + b",".join(self._failures) + b"]}"


async def _judge(site: Site, service: str, lines: Sequence[bytes | None], tally: Tally) -> None:
    """Publish what came together; a blank line is none, but is counted so that numbers are an editor's."""
    numbers: list[int] = []
    items: list[BatchItem | Exception] = []
    admitted, refused = await _admit(site, service, sum(1 for line in lines if line and line.strip()))
    for line in lines:
        tally.last_line += 1
        if line is None:
            items.append(HttpError(413, "Line is too long", limit_bytes=site.settings.max_event_bytes))
        elif not line.strip():
            continue
        elif admitted:
            admitted -= 1
            items.append(_item(site, line))
        else:
            items.append(too_many(refused))
        numbers.append(tally.last_line)
    for number, result in zip(numbers, await _publish_all(site, service, items), strict=True):
        tally.add(number, result)


async def _admit(site: Site, service: str, events: int) -> tuple[int, Verdict]:
    """How many of so many single events are admitted, the first ones, and what was said of the next."""
    admitted, asked, verdict = 0, events, UNLIMITED
    while asked:
        verdict = await admit(site, service, asked, trio.current_time())
        if verdict.admitted:
            admitted += asked
            asked = events - admitted
        else:
            asked = min(max(verdict.remaining, 1), asked - 1)
    return admitted, verdict


def _item(site: Site, line: bytes) -> BatchItem | Exception:
    """What one line says, or what is wrong with it."""
    try:
        return site.registry.parse_request(line)
    except ValueError as error:
        return error


async def _publish_all(
    site: Site, service: str, items: Sequence[BatchItem | Exception], key: str | None = None
) -> list[Result]:
    """Deliver what is good, as one message a channel; a result for each, in order. Event i has the
    idempotency key `<key>/<i>`."""
    results: list[Result] = [b""] * len(items)
    places: dict[ChannelName, list[int]] = {}
    events: dict[ChannelName, list[Event]] = {}
    for place, item in enumerate(items):
        if isinstance(item, Exception):
            results[place] = item
            continue
        channel, event = item
        try:
            check_source(event, service)
        except HttpError as error:
            results[place] = error
            continue
        places.setdefault(channel, []).append(place)
        events.setdefault(channel, []).append(event)

    async def publish_to(channel: ChannelName) -> None:
        outcome: Sequence[Result]
        by = trio.current_time() + site.settings.inbox_wait_seconds
        keys = [None if key is None else f"{key}/{place}" for place in places[channel]]
        try:
            outcome = [
                one if isinstance(one, KeyConflict) else one.to_json()
                for one in await deliver(site, channel, events[channel], service, keys, by)
            ]
        except Exception as error:  # noqa: BLE001 - a channel's failure is told of its own events only
            outcome = [error] * len(events[channel])
        for place, result in zip(places[channel], outcome, strict=True):
            results[place] = result

    if len(places) == 1:
        await publish_to(next(iter(places)))
    else:
        async with trio.open_nursery() as nursery:
            for channel in places:
                nursery.start_soon(publish_to, channel)
    return results


def check_rate(verdict: Verdict, events: int) -> None:
    """Raise 429 for a batch of more events than are left, 413 for one of more than there ever are."""
    if not verdict.admitted:
        if events > verdict.limit:
            raise HttpError(413, "Batch has more events than the rate limit ever admits", limit=verdict.limit)
        raise too_many(verdict)


def _failure(error: Exception, **place: int) -> bytes:
    """One event's failure, as it would have been answered alone."""
    status, sentence, facts, _ = http_answer(error)
    return json.dumps({**place, "status": "failed", "code": status, "error": sentence, **facts}).encode()
