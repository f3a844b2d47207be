"""Publish: from a request's headers and body to an event in the log, judged in the order of the contract."""

import json
import math
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import NamedTuple

import trio

from courier.actors.errors import ChannelFailed, Draining
from courier.backplane import BackplaneAway, KeyConflict, Publication
from courier.logs import get_logger
from courier.schemas.channels import ChannelName
from courier.schemas.claims import ServiceClaims
from courier.schemas.errors import JsonError, SchemaError
from courier.schemas.events.base import Event
from courier.schemas.publish import Receipt
from courier.web import notes
from courier.web.auth import AuthError, bearer
from courier.web.caller import Caller
from courier.web.errors import HttpError, cause_of, http_answer
from courier.web.rate_limit import UNLIMITED, RateLimiter, Verdict
from courier.web.site import Site

logger = get_logger(__name__)

JSON = "application/json"

_KEY = re.compile(r"[\x21-\x7e]{1,255}\Z")


Known = tuple[ChannelName, Event]
"""What a publish is found to be, once it has been read."""


class Answer(NamedTuple):
    """An HTTP answer, ready to be written."""

    status: int
    body: bytes
    headers: dict[str, str]


async def publish(site: Site, caller: Caller, channel: str | None, body: bytes) -> Answer:
    """Publish one event: 200 with its receipt once it is in the log, or the refusal.

    `channel` is the URL's; None when the body is an envelope that names it. Never raises but for what
    cancels the request.
    """
    headers: dict[str, str] = {}
    known: list[Known] = []
    try:
        receipt = await _publish(site, caller, channel, body, headers, known)
    except Exception as error:  # noqa: BLE001 - the table of errors answers for every one of them
        return refusal(site, error, headers, caller, *known)
    return Answer(200, receipt.to_json(), headers)


async def _publish(
    site: Site,
    caller: Caller,
    channel: str | None,
    body: bytes,
    headers: dict[str, str],
    known: list[Known],
) -> Receipt:
    """Judge and deliver; `headers` gets what every answer bears from the rate step on, and `known` what was
    read of the body."""
    began = time.perf_counter()
    service = await authenticate(site, caller)
    now = trio.current_time()
    verdict = await admit(site, service, 1, now)
    headers |= rate_headers(verdict)
    if not verdict.admitted:
        raise too_many(verdict)
    check_media_type(caller, JSON)
    name, event = _parse(site, channel, body)
    known.append((name, event))
    check_source(event, service)
    check_key(caller)
    by = now + site.settings.inbox_wait_seconds
    [outcome] = await deliver(site, caller, name, [event], [caller.idempotency_key], by, began)
    if isinstance(outcome, KeyConflict):
        raise outcome
    return outcome


def refusal(
    site: Site, error: Exception, headers: dict[str, str], caller: Caller, known: Known | None = None
) -> Answer:
    """The answer for a publish that is refused, with `headers` beside its own; it is counted, and a line."""
    note_fault(site, error)
    count_refusal(site, error, caller.service)
    notes.refused(site, caller, error, known)
    return answer_to(error, headers)


def answer_to(error: Exception, headers: dict[str, str]) -> Answer:
    """What the table of errors answers, with `headers` beside its own."""
    status, sentence, facts, own = http_answer(error)
    body = json.dumps({"detail": {"error": sentence, **facts}}).encode()
    return Answer(status, body, {**headers, **own})


def count_refusal(site: Site, error: Exception, service: str | None) -> None:
    """Count a publish that was refused, or one event of several."""
    metrics, status = site.node.metrics, http_answer(error).status
    metrics.publish_refused(status)
    if isinstance(error, SchemaError):
        metrics.invalid_event(error.event_type, service)
    elif isinstance(error, JsonError):
        metrics.invalid_event("", service)
    elif status == 429:
        metrics.rate_exceeded(service)


def note_fault(site: Site, error: Exception) -> None:
    """Count an error that is a fault of ours, and write a line of it; of a channel's crash there is
    one already."""
    if http_answer(error).status == 500:
        site.node.metrics.error("publish", error)
        site.node.failed_publishes.append(trio.current_time())
        if not isinstance(error, ChannelFailed):
            logger.error("Publish failed", exc_info=error)


async def authenticate(site: Site, caller: Caller) -> str:
    """The service that publishes. With `publish_auth=report` what is wrong is counted, not refused."""
    if site.node.hub.draining:
        raise Draining
    service = check_service(caller)
    if site.settings.publish_auth == "off" or caller.trusted:
        return service
    try:
        await _verify(site, caller, service)
    except (AuthError, HttpError) as error:
        if site.settings.publish_auth == "required":
            raise
        site.node.metrics.error("publish_auth", error)
        cause = cause_of(error) or http_answer(error).error
        logger.warning("Publish would be refused", **caller.facts(), reason=type(error).__name__, cause=cause)
    return service


def check_service(caller: Caller) -> str:
    """The service that the caller says it is; raises 400 when it is no service's name."""
    service = caller.service
    if service is None:
        raise HttpError(400, "Header X-Service-Name is required")
    if not caller.is_named:
        raise HttpError(
            400,
            "Header X-Service-Name must be 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or a digit",
        )
    return service


async def _verify(site: Site, caller: Caller, service: str) -> None:
    check_claims(await site.verifier.service(bearer(caller.authorization)), service)
    site.node.metrics.verified(service)


def check_claims(claims: ServiceClaims, service: str) -> None:
    """Raise 403 for another service's token."""
    if claims.service != service:
        why = f"claim service is {claims.service}, X-Service-Name is {service}"
        raise HttpError(403, "Service token is another service's than X-Service-Name", why=why)


async def admit(site: Site, service: str, events: int, now: float) -> Verdict:
    """Count the events against the service's limit; `now` is `trio.current_time`. While Redis is away, and
    with it the count, nothing is refused for its rate: it will be because Redis is away."""
    limiter = site.limiter
    if isinstance(limiter, RateLimiter):
        return limiter.admit(service, events, now)
    try:
        return await limiter.admit(service, events)
    except BackplaneAway:
        return UNLIMITED


def check_media_type(caller: Caller, expected: str) -> None:
    """Raise 415 for a body of another kind; parameters such as a charset are borne (RFC 9110, 8.3.1)."""
    if media_type(caller) != expected:
        raise HttpError(415, f"Media type must be {expected}", content_type=caller.content_type)


def media_type(caller: Caller) -> str:
    """What the body is said to be, without parameters, in lower case."""
    return (caller.content_type or "").partition(";")[0].strip().lower()


def check_source(event: Event, service: str) -> None:
    """Raise 400 for an event in another service's name."""
    if event.source != service:
        why = f"source is {event.source}, X-Service-Name is {service}"
        raise HttpError(400, "Event source must match X-Service-Name header", why=why)


def rate_headers(verdict: Verdict) -> dict[str, str]:
    """What every answer bears from the rate step on; nothing when there is no limit."""
    if not verdict.limit:
        return {}
    headers = {
        "X-RateLimit-Limit": str(verdict.limit),
        "X-RateLimit-Remaining": str(verdict.remaining),
        "X-RateLimit-Reset": str(math.ceil(time.time() + verdict.reset_seconds)),
    }
    if not verdict.admitted:
        headers["Retry-After"] = str(max(1, math.ceil(verdict.reset_seconds)))
    return headers


def too_many(verdict: Verdict) -> HttpError:
    """The 429 of a service over its limit; `rate_headers` go with it."""
    return HttpError(
        429,
        "Rate limit exceeded",
        limit=verdict.limit,
        window_seconds=verdict.window_seconds,
        remaining=verdict.remaining,
        reset_at=_iso(math.ceil((time.time() + verdict.reset_seconds) * 1000)),
    )


def _parse(site: Site, channel: str | None, body: bytes) -> tuple[ChannelName, Event]:
    """The channel and the event. JSON is judged before the channel, and the channel before the event."""
    if channel is None:
        return site.registry.parse_request(body)
    try:
        event = site.registry.parse(body)
    except SchemaError as error:
        error.channel = ChannelName.parse(channel).name
        raise
    return ChannelName.parse(channel), event


def check_key(caller: Caller) -> None:
    """Raise 400 for an idempotency key that is none."""
    key = caller.idempotency_key
    if key is not None and _KEY.match(key) is None:
        raise HttpError(400, "Header Idempotency-Key must be 1 to 255 visible ASCII characters")


async def deliver(
    site: Site,
    caller: Caller,
    channel: ChannelName,
    events: Sequence[Event],
    keys: Sequence[str | None],
    by: float,
    began: float,
) -> list[Receipt | KeyConflict]:
    """Append the events to the channel's log, all or none, but for those whose idempotency key was used: a
    repeat gets the first receipt, another event a conflict. What waits for room waits until `by`
    (`trio.current_time`) and no longer; what has got room is waited for to its end.

    `began` (`time.perf_counter`) is when the request began to be judged."""
    outcomes = await site.node.hub.publish(
        channel,
        [_publication(site, event, key) for event, key in zip(events, keys, strict=True)],
        by,
    )
    answers = [
        outcome
        if isinstance(outcome, KeyConflict)
        else Receipt(
            channel.name,
            event.type,
            outcome.clients_reached,
            _iso(outcome.arrived_ms),
            str(outcome.position),
            outcome.deduplicated,
        )
        for event, outcome in zip(events, outcomes, strict=True)
    ]
    published = [
        answer.event_type for answer in answers if isinstance(answer, Receipt) and not answer.deduplicated
    ]
    if published:
        seconds = time.perf_counter() - began
        site.node.metrics.published(channel.kind, events[0].source, published, seconds)
    if site.verbose:
        notes.published(caller, events, answers)
    return answers


def _publication(site: Site, event: Event, key: str | None) -> Publication:
    encoded = site.registry.encode(event)
    if key is None:
        return Publication(encoded, "", b"", event.type)
    # Of what was sent: a timestamp that Courier filled in is another one the next time. An object is the same
    # whatever the order of its keys (RFC 8259 section 1).
    sent = json.dumps(event.model_dump(mode="json", exclude_unset=True), sort_keys=True).encode()
    return Publication(encoded, f"{event.source}/{key}", sha256(sent).digest(), event.type)


def _iso(milliseconds: int) -> str:
    """ISO 8601 in UTC."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_iso_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=8)
def _iso_second(seconds: int) -> str:
    """Many events arrive in one second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
