"""Deliver: from events that are judged to their receipts."""

import json
import time
from collections.abc import Sequence
from functools import partial
from hashlib import sha256

import trio

from courier.backplane import KeyConflict, Publication
from courier.backplane.steps import Steps
from courier.schemas.channels import ChannelName
from courier.schemas.events.base import Event
from courier.schemas.publish import Receipt
from courier.web import notes
from courier.web.caller import Caller
from courier.web.publishing.times import iso
from courier.web.site import Site


def deliver(
    site: Site,
    caller: Caller,
    channel: ChannelName,
    events: Sequence[Event],
    keys: Sequence[str | None],
    by: float,
    began: float,
) -> Steps[list[Receipt | KeyConflict]]:
    """Append the events to the channel's log, all or none, but for those whose idempotency key was used: a
    repeat gets the first receipt, another event a conflict. What waits for room waits until `by`
    (`trio.current_time`) and no longer; what has got room is waited for to its end.

    `began` (`time.perf_counter`) is when the request began to be judged."""
    hub = site.node.hub
    publications = [_publication(site, event, key) for event, key in zip(events, keys, strict=True)]
    try:
        reply = hub.publish_nowait(channel, publications)
    except trio.WouldBlock:
        outcomes = yield partial(hub.publish, channel, publications, by)
    else:
        outcomes = reply.result() if reply.given else (yield reply)
    answers = [
        outcome
        if isinstance(outcome, KeyConflict)
        else Receipt(
            channel.name,
            event.type,
            outcome.clients_reached,
            iso(outcome.arrived_ms),
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
