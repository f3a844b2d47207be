"""Lines: a batch as a stream of lines, each judged as it comes."""

import time
from collections.abc import Awaitable, Callable, Iterator, Sequence

import trio

from courier.backplane.steps import walk
from courier.web import notes
from courier.web.answer import Answer
from courier.web.auth import Publisher, TokenRevoked
from courier.web.caller import Caller
from courier.web.errors import HttpError
from courier.web.publishing.batch import Result, publishing_all, read_item
from courier.web.publishing.failures import Failures
from courier.web.publishing.judge import Known, admit, authenticate, too_many
from courier.web.publishing.refuse import count_refusal, refusal
from courier.web.rate_limit import UNLIMITED, Verdict
from courier.web.site import Site

GROUP_LINES = 1000
"""How many lines are judged together."""

FAILURES_TOLD = 1000
"""How many failures of a stream its answer lists; all are counted."""

STREAM_SECONDS = 75.0
"""How long a stream may say nothing before it is answered."""

Numbered = tuple[int, bytes | None]
"""A line and its number; None is one that is too long."""


async def publish_stream(site: Site, caller: Caller, receive: Callable[[], Awaitable[bytes]]) -> Answer:
    """Publish a stream of lines, each `{"channel", "data"}`, as they come: 200 with the counts, the number of
    the last line judged and the first failures, when the stream ends, falls silent or the node drains.

    `receive` gives what has come, and nothing at the end.
    """
    tally = Tally()
    lines = Lines(site.settings.max_event_bytes)
    try:
        publisher = await walk(authenticate(site, caller))
    except Exception as error:  # noqa: BLE001 - as in `publish_batch`
        return refusal(site, error, {"Connection": "close"}, caller)

    async def stop_at_a_drain(reading: trio.CancelScope) -> None:
        await site.node.hub.closing.wait()
        reading.cancel()

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as reading:
            nursery.start_soon(stop_at_a_drain, reading)
            ended = False
            while not ended and not tally.revoked:
                reading.deadline = trio.current_time() + STREAM_SECONDS
                chunk = await receive()
                reading.deadline = float("inf")
                ended = not chunk
                await _judge(site, publisher, caller, lines.feed(chunk) if chunk else lines.rest(), tally)
        nursery.cancel_scope.cancel()
    tally.note(site, caller)
    return Answer(
        200, tally.to_json(), {"Connection": "close"} if reading.cancelled_caught or tally.revoked else {}
    )


class Lines:
    """Cuts a stream into lines, whatever pieces it comes in; keeps at most one line that is not whole."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._rest = b""
        self._skipping = False

    def feed(self, chunk: bytes) -> Iterator[bytes | None]:
        """The lines that are whole now, without their ends; None for one that is too long."""
        data, start = self._rest + chunk, 0
        while (end := data.find(b"\n", start)) >= 0:
            line, start = data[start:end], end + 1
            if self._skipping:  # the end of one that was answered already
                self._skipping = False
            else:
                yield line if len(line) <= self._limit_bytes else None
        self._rest = data[start:]
        if len(self._rest) > self._limit_bytes:
            known, self._rest, self._skipping = self._skipping, b"", True
            if not known:
                yield None

    def rest(self) -> Iterator[bytes | None]:
        """The last line, if it has no end of its own."""
        if self._rest and not self._skipping:
            yield self._rest


class Tally:
    """What became of a stream's lines."""

    def __init__(self) -> None:
        self.last_line = 0
        self.revoked = False
        """The service's token was revoked meanwhile: no more lines are read."""
        self._published = 0
        self._failed = 0
        self._failures: list[bytes] = []
        self._told = Failures()
        self._first: Exception | None = None

    def add(self, line: int, result: Result) -> None:
        """Count one line's result, and keep it if it is among the first failures."""
        if not isinstance(result, Exception):
            self._published += 1
            return
        self._failed += 1
        self._first = self._first or result
        if len(self._failures) < FAILURES_TOLD:
            self._failures.append(self._told.tell(result, line=line))

    def note(self, site: Site, caller: Caller) -> None:
        """Write a line of what failed, if anything did."""
        if self._first is not None:
            notes.refused_in_part(site, caller, self._published, self._failed, self._first)

    def to_json(self) -> bytes:
        counts = b'{"status":"published","published":%d,"failed":%d,"last_line":%d,"failures":[' % (
            self._published,
            self._failed,
            self.last_line,
        )
        return counts + b",".join(self._failures) + b"]}"


async def _judge(
    site: Site, publisher: Publisher, caller: Caller, lines: Iterator[bytes | None], tally: Tally
) -> None:
    """Publish what came together, group by group; may be cancelled between two of them."""
    more = True
    while more:
        await trio.lowlevel.checkpoint_if_cancelled()
        with trio.CancelScope(shield=True):
            group: list[Numbered] = []
            await site.turns.take(_gather(lines, tally, group))
            more = len(group) == GROUP_LINES
            await _judge_group(site, publisher, caller, group, tally)


def _gather(lines: Iterator[bytes | None], tally: Tally, group: list[Numbered]) -> Iterator[None]:
    """Append the next lines; a blank one is none, but is counted so that numbers are an editor's."""
    for line in lines:
        tally.last_line += 1
        if line is None or line.strip():
            group.append((tally.last_line, line))
            if len(group) == GROUP_LINES:
                return
        yield


async def _judge_group(
    site: Site, publisher: Publisher, caller: Caller, group: Sequence[Numbered], tally: Tally
) -> None:
    began = time.perf_counter()
    items: list[Known | Exception] = []
    try:
        if site.settings.publish_auth == "required":
            site.revoking.check_service(publisher)
    except TokenRevoked as error:
        tally.revoked = True
        await site.turns.take(_count(site, publisher.name, group, [error] * len(group), tally))
        return
    admitted, refused = await _admit(site, publisher.name, sum(line is not None for _, line in group))
    await site.turns.take(_read_lines(site, group, items, admitted, refused))
    results = await walk(publishing_all(site, publisher, caller, items, began))
    await site.turns.take(_count(site, publisher.name, group, results, tally))


def _read_lines(
    site: Site, group: Sequence[Numbered], items: list[Known | Exception], admitted: int, refused: Verdict
) -> Iterator[None]:
    """Append what each line says, or what is wrong with it; those beyond the rate are not read."""
    too_long = HttpError(413, "Line is too long", limit_bytes=site.settings.max_event_bytes)
    over = None
    for _, line in group:
        if line is None:
            items.append(too_long)
        elif admitted:
            admitted -= 1
            items.append(read_item(site, line, "Line is too long"))
        else:
            over = over or too_many(refused)
            items.append(over)
        yield


def _count(
    site: Site, service: str, group: Sequence[Numbered], results: Sequence[Result], tally: Tally
) -> Iterator[None]:
    for (number, _), result in zip(group, results, strict=True):
        if isinstance(result, Exception):
            count_refusal(site, result, service)
        tally.add(number, result)
        yield


async def _admit(site: Site, service: str, events: int) -> tuple[int, Verdict]:
    """How many of so many single events are admitted, the first ones, and what was said of the next."""
    admitted, asked, verdict = 0, events, UNLIMITED
    while asked:
        verdict = await walk(admit(site, service, asked, trio.current_time()))
        if verdict.admitted:
            admitted += asked
            asked = events - admitted
        else:
            asked = min(max(verdict.remaining, 1), asked - 1)
    return admitted, verdict
