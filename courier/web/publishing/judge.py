"""Judge: who publishes, how much, and what, each step in the order of the contract."""

import math
import re
import time
from functools import partial

import trio

from courier.actors.errors import Draining
from courier.backplane import BackplaneAway
from courier.backplane.steps import Steps
from courier.logs import get_logger
from courier.schemas.channels import ChannelKind, ChannelName
from courier.schemas.errors import SchemaError
from courier.schemas.events.base import Event
from courier.web.auth import AuthError, Publisher, bearer
from courier.web.caller import Caller
from courier.web.errors import HttpError, cause_of, http_answer
from courier.web.publishing.times import iso
from courier.web.rate_limit import UNLIMITED, RateLimiter, Verdict
from courier.web.site import Site

JSON = "application/json"

_KEY = re.compile(r"[\x21-\x7e]{1,255}\Z")

Known = tuple[ChannelName, Event]
"""What a publish is found to be, once it has been read."""

logger = get_logger(__name__)


def authenticate(site: Site, caller: Caller) -> Steps[Publisher]:
    """The service that publishes. With `publish_auth=report` what is wrong is counted, not refused."""
    if site.node.hub.draining:
        raise Draining
    service = check_service(caller)
    if site.settings.publish_auth == "off" or caller.trusted:
        return Publisher(service)
    try:
        publisher = yield from _verify(site, bearer(caller.authorization))
        check_publisher(publisher, service)
        site.node.metrics.verified(service)
    except (AuthError, HttpError) as error:
        if site.settings.publish_auth == "required":
            raise
        site.node.metrics.error("publish_auth", error)
        cause = cause_of(error) or http_answer(error).error
        logger.warning("Publish would be refused", **caller.facts(), reason=type(error).__name__, cause=cause)
        return Publisher(service)
    return publisher


def _verify(site: Site, token: str | None) -> Steps[Publisher]:
    try:
        publisher = site.verifier.service_nowait(token)
    except trio.WouldBlock:
        publisher = yield partial(site.verifier.service, token)
    site.revoking.check_service(publisher)
    return publisher


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


def check_publisher(publisher: Publisher, service: str) -> None:
    """Raise 403 for another service's token."""
    if publisher.name != service:
        why = f"claim service is {publisher.name}, X-Service-Name is {service}"
        raise HttpError(403, "Service token is another service's than X-Service-Name", why=why)


def admit(site: Site, service: str, events: int, now: float) -> Steps[Verdict]:
    """Count the events against the service's limit; `now` is `trio.current_time`. While Redis is away, and
    with it the count, nothing is refused for its rate: it will be because Redis is away."""
    limiter = site.limiter
    if isinstance(limiter, RateLimiter):
        return limiter.admit(service, events, now)
    try:
        verdict: Verdict = yield partial(limiter.admit, service, events)
    except BackplaneAway:
        return UNLIMITED
    return verdict


def check_media_type(caller: Caller, expected: str) -> None:
    """Raise 415 for a body of another kind; parameters such as a charset are allowed (RFC 9110, 8.3.1)."""
    if media_type(caller) != expected:
        raise HttpError(415, f"Media type must be {expected}", content_type=caller.content_type)


def media_type(caller: Caller) -> str:
    """What the body is said to be, without parameters, in lower case."""
    return (caller.content_type or "").partition(";")[0].strip().lower()


def check_rights(site: Site, channel: ChannelName, event: Event, publisher: Publisher) -> None:
    """Raise 400 or 403 for an event that the service may not publish to the channel."""
    check_source(event, publisher.name)
    check_kind(site.registry.kinds[channel.kind], event, publisher.name)
    check_grants(publisher, channel)


def check_source(event: Event, service: str) -> None:
    """Raise 400 for an event in another service's name."""
    if event.source != service:
        why = f"source is {event.source}, X-Service-Name is {service}"
        raise HttpError(400, "Event source must match X-Service-Name header", why=why)


def check_kind(kind: ChannelKind, event: Event, service: str) -> None:
    """Raise 400 for an event that the kind does not take, 403 for a service that it does not hear."""
    if not kind.takes(event.type):
        why = f"kind {kind.name} does not take {event.type}"
        raise HttpError(400, "Event type is not allowed on this channel", why=why)
    if not kind.hears(service):
        why = f"kind {kind.name} does not name {service}"
        raise HttpError(403, "Service may not publish to this channel", why=why)


def check_grants(publisher: Publisher, channel: ChannelName) -> None:
    """Raise 403 for a channel that the service's token does not name, when it names any."""
    if publisher.channels is not None and channel not in publisher.channels:
        raise HttpError(403, "Service may not publish to this channel", why="token does not name the channel")


def rate_headers(verdict: Verdict) -> dict[str, str]:
    """What every answer has from the rate step on; nothing when there is no limit."""
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
        reset_at=iso(math.ceil((time.time() + verdict.reset_seconds) * 1000)),
    )


def parse(site: Site, channel: str | None, body: bytes) -> tuple[ChannelName, Event]:
    """The channel and the event. JSON is judged before the channel, and the channel before the event."""
    if channel is None:
        return site.registry.parse_request(body)
    try:
        event = site.registry.parse(body)
    except SchemaError as error:
        error.channel = site.registry.kinds.parse(channel).name
        raise
    return site.registry.kinds.parse(channel), event


def check_key(caller: Caller) -> None:
    """Raise 400 for an idempotency key that is none."""
    key = caller.idempotency_key
    if key is not None and _KEY.match(key) is None:
        raise HttpError(400, "Header Idempotency-Key must be 1 to 255 visible ASCII characters")
