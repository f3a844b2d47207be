"""Batch: many events in one request, each judged by itself."""

import time
from collections.abc import Iterator, Sequence
from functools import partial

import trio

from courier.backplane import KeyConflict
from courier.backplane.steps import Steps, walk
from courier.schemas.batch import cut_batch
from courier.schemas.channels import ChannelName
from courier.schemas.errors import NotJsonError
from courier.schemas.events.base import Event
from courier.web import notes
from courier.web.answer import Answer
from courier.web.auth import Publisher
from courier.web.caller import Caller
from courier.web.errors import HttpError
from courier.web.publishing.deliver import deliver
from courier.web.publishing.failures import Failures
from courier.web.publishing.judge import (
    JSON,
    Known,
    admit,
    authenticate,
    check_key,
    check_media_type,
    check_rights,
    rate_headers,
    too_many,
)
from courier.web.publishing.refuse import count_refusal, note_failed_publish, refusal
from courier.web.rate_limit import Verdict
from courier.web.site import Site

NDJSON = "application/x-ndjson"

Result = bytes | Exception
"""A receipt, ready to be written; or why there is none."""

BATCH_BYTES = 1024 * 1024
"""How large the body of a batch may be."""


async def publish_batch(site: Site, caller: Caller, body: bytes) -> Answer:
    """Publish `{"events": [{"channel", "data"}, …]}`: 200 with a result for each, in order, or the refusal of
    the whole. The good ones are published though others fail. Never raises but for what cancels it."""
    return await walk(publishing_batch(site, caller, body))


def publishing_batch(site: Site, caller: Caller, body: bytes) -> Steps[Answer]:
    """The steps of `publish_batch`. They wait for what those of a single publish wait for, and for turns."""
    headers: dict[str, str] = {}
    began = time.perf_counter()
    events: list[bytes] = []
    items: list[Known | Exception] = []
    try:
        publisher = yield from authenticate(site, caller)
        check_media_type(caller, JSON)
        yield from _take(site, cut_batch(body, events))
        verdict = yield from admit(site, publisher.name, len(events), trio.current_time())
        headers |= rate_headers(verdict)
        check_rate(verdict, len(events))
        check_key(caller)
        yield from _take(site, _read_all(site, events, items))
        results = yield from publishing_all(site, publisher, caller, items, began)
    except Exception as error:  # noqa: BLE001 - the table of errors answers for every one of them
        return refusal(site, error, headers, caller)
    told: list[bytes] = []
    yield from _take(site, _tell_all(site, publisher.name, results, told))
    failures = [result for result in results if isinstance(result, Exception)]
    published, failed = len(results) - len(failures), len(failures)
    if failures:
        notes.refused_in_part(site, caller, published, failed, failures[0])
    counts = b'{"status":"published","published":%d,"failed":%d,"results":[' % (published, failed)
    return Answer(200, counts + b",".join(told) + b"]}", headers)


def _take(site: Site, work: Iterator[None]) -> Steps[None]:
    """Run `work` to its end, and wait for turns when it is long."""
    if not site.turns.begin(work):
        yield partial(site.turns.finish, work)


def _read_all(site: Site, events: Sequence[bytes], items: list[Known | Exception]) -> Iterator[None]:
    """Append what each of the events says, or what is wrong with it. NotJsonError is of the whole batch."""
    for event in events:
        item = read_item(site, event, "Event is too large")
        if isinstance(item, NotJsonError):
            raise item
        items.append(item)
        yield


def read_item(site: Site, item: bytes, too_large: str) -> Known | Exception:
    """What a `{"channel", "data"}` says, or what is wrong with it; `too_large` is the sentence of its 413."""
    limit = site.settings.max_event_bytes
    if len(item) > limit:
        return HttpError(413, too_large, limit_bytes=limit)
    try:
        return site.registry.parse_request(item)
    except ValueError as error:
        return error


def _tell_all(site: Site, service: str, results: Sequence[Result], told: list[bytes]) -> Iterator[None]:
    """Append what the answer says of each, and count those that failed."""
    failures = Failures()
    for result in results:
        if isinstance(result, Exception):
            count_refusal(site, result, service)
            told.append(failures.tell(result))
        else:
            told.append(result)
        yield


def publishing_all(
    site: Site, publisher: Publisher, caller: Caller, items: Sequence[Known | Exception], began: float
) -> Steps[list[Result]]:
    """The steps that deliver what is good, as one message a channel; a result for each, in order. Event i has
    the idempotency key `<key>/<i>`. `began` (`time.perf_counter`) is when they began to be judged."""
    key = caller.idempotency_key
    results: list[Result] = [b""] * len(items)
    places: dict[ChannelName, list[int]] = {}
    events: dict[ChannelName, list[Event]] = {}
    for place, item in enumerate(items):
        if isinstance(item, Exception):
            results[place] = item
            continue
        channel, event = item
        try:
            check_rights(site, channel, event, publisher)
        except HttpError as error:
            results[place] = error
            continue
        places.setdefault(channel, []).append(place)
        events.setdefault(channel, []).append(event)

    def publishing_to(channel: ChannelName) -> Steps[None]:
        outcome: Sequence[Result]
        by = trio.current_time() + site.settings.inbox_wait_seconds
        keys = [None if key is None else f"{key}/{place}" for place in places[channel]]
        try:
            delivered = yield from deliver(site, caller, channel, events[channel], keys, by, began)
            outcome = [one if isinstance(one, KeyConflict) else one.to_json() for one in delivered]
        except Exception as error:  # noqa: BLE001 - a channel's failure concerns its own events only
            note_failed_publish(site, error)
            outcome = [error] * len(events[channel])
        for place, result in zip(places[channel], outcome, strict=True):
            results[place] = result

    async def publish_to_all() -> None:
        async with trio.open_nursery() as nursery:
            for channel in places:
                nursery.start_soon(walk, publishing_to(channel))

    if len(places) == 1:
        yield from publishing_to(next(iter(places)))
    elif places:
        yield publish_to_all
    return results


def check_rate(verdict: Verdict, events: int) -> None:
    """Raise 429 for a batch of more events than are left, 413 for one of more than there ever are."""
    if not verdict.admitted:
        if events > verdict.limit:
            raise HttpError(413, "Batch has more events than the rate limit ever admits", limit=verdict.limit)
        raise too_many(verdict)
