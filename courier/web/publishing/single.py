"""Single: one event, from a request's headers and body to its receipt."""

import time

import trio

from courier.backplane import KeyConflict
from courier.backplane.steps import Steps, walk
from courier.web.answer import Answer
from courier.web.caller import Caller
from courier.web.publishing.deliver import deliver
from courier.web.publishing.judge import (
    JSON,
    Known,
    admit,
    authenticate,
    check_key,
    check_media_type,
    check_rights,
    parse,
    rate_headers,
    too_many,
)
from courier.web.publishing.refuse import refusal
from courier.web.site import Site


async def publish(site: Site, caller: Caller, channel: str | None, body: bytes) -> Answer:
    """Publish one event: 200 with its receipt once it is in the log, or the refusal.

    `channel` is the URL's; None when the body is an envelope that names it. Never raises but for what
    cancels the request.
    """
    return await walk(publishing(site, caller, channel, body))


def publishing(site: Site, caller: Caller, channel: str | None, body: bytes) -> Steps[Answer]:
    """The steps of `publish`. They wait for keys, for Redis, for room, or for a channel that is busy."""
    began = time.perf_counter()
    headers: dict[str, str] = {}
    known: Known | None = None
    try:
        publisher = yield from authenticate(site, caller)
        now = trio.current_time()
        verdict = yield from admit(site, publisher.name, 1, now)
        headers = rate_headers(verdict)
        if not verdict.admitted:
            raise too_many(verdict)  # noqa: TRY301 - the table of errors answers for this one, too
        check_media_type(caller, JSON)
        known = name, event = parse(site, channel, body)
        check_rights(site, name, event, publisher)
        check_key(caller)
        by = now + site.settings.inbox_wait_seconds
        [outcome] = yield from deliver(site, caller, name, [event], [caller.idempotency_key], by, began)
        if isinstance(outcome, KeyConflict):
            raise outcome  # noqa: TRY301 - likewise
    except Exception as error:  # noqa: BLE001 - the table of errors answers for every one of them
        return refusal(site, error, headers, caller, known)
    return Answer(200, outcome.to_json(), headers)
