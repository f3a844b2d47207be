"""Serve: from a request for an event stream to the stream, or to an answer that says why not."""

import random
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from courier.actors.connection import Connection
from courier.actors.errors import Draining
from courier.actors.subscriber import Subscriber
from courier.backplane.steps import Steps, walk
from courier.logs import get_logger
from courier.schemas.closing import CloseReason
from courier.serving.peer import Peer
from courier.web import notes
from courier.web.access import Access
from courier.web.answer import Answer, answer_to
from courier.web.auth import Identity, bearer
from courier.web.cors import cors_headers
from courier.web.events.request import channels_of, starts_of
from courier.web.events.session import OneSession, SeveralSession
from courier.web.exchange import EVENT_STREAM, Asked, Exchange
from courier.web.exchange.asgi import OverAsgi
from courier.web.exchange.text import EventText, SeveralChannels, closed_text
from courier.web.faults import is_news, is_ours
from courier.web.paths import EVENTS
from courier.web.reader import admit_reader
from courier.web.request_ids import echo, facts
from courier.web.session import Session
from courier.web.site import Site

RETRY_MS = 1000, 5000
"""When a browser that was refused for now comes back, at the soonest and at the latest: not all at once."""

HEADERS = {"cache-control": "no-store, no-transform", "x-accel-buffering": "no"}
"""So that nothing on the way keeps events, or waits for more of them (nginx)."""

logger = get_logger(__name__)


def is_events(scope: Any) -> bool:
    """Whether the request (ASGI 3, `http` scope) asks for an event stream."""
    path = scope["path"]
    return scope["type"] == "http" and scope["method"] == "GET" and are_events(path)


def are_events(path: str) -> bool:
    """Whether event streams are at the path."""
    return path == EVENTS or path.startswith(f"{EVENTS}/")


async def serve_events(site: Site, scope: Any, receive: Any, send: Any) -> None:
    """Serve an event stream to its end, below Quart."""
    exchange = OverAsgi(scope, receive, send, partial(site.node.metrics.error, "connection"))
    await walk(open_stream(site, Asked.of_scope(scope), exchange))
    await exchange.run()


def open_stream(site: Site, asked: Asked, exchange: Exchange) -> Steps[None]:
    """Answer with an event stream, or say why not. It is judged as a request for history."""
    request = facts(asked.request_id, asked.traceparent)
    known: dict[str, str] = {}
    headers = HEADERS | cors_headers(site.settings, asked.origin) | echo(asked.request_id)
    connection: Subscriber | Connection
    try:
        connection, identity, text = yield from _join(site, asked, known)
    except Exception as error:  # noqa: BLE001 - the table of errors answers for every one of them
        _note(site, error, exchange.address, request | known)
        answer = answer_to(error, headers)
        if answer.status == 503 and asked.wants_events:
            exchange.answer(Answer(200, _come_back(error), headers), EVENT_STREAM)
        else:
            exchange.answer(answer)
        return

    def begin(peer: Peer) -> Session:
        session: Session
        if isinstance(connection, Connection):
            session = SeveralSession(site, connection, request, identity, peer)
        else:
            session = OneSession(site, connection, request, identity, peer)
        session.begin(identity)
        return session

    exchange.stream(headers, text, begin)


def _join(
    site: Site, asked: Asked, known: dict[str, str]
) -> Steps[tuple[Subscriber | Connection, Identity, EventText]]:
    """Judge the request, and join; `known` gets what a line may give of what is found on the way."""
    hub = site.node.hub
    if hub.draining:
        raise Draining
    if hub.full:
        raise hub.no_room()
    channels = channels_of(asked)
    token = dict(parse_qsl(asked.query, keep_blank_values=True)).get("token") or bearer(asked.authorization)
    accesses: list[Access] = []
    for channel in channels:
        accesses.append((yield from admit_reader(site, token, channel, known)))
    starts = starts_of(asked, channels)
    identity = accesses[0].identity
    owner = identity.claims.user_id
    if len(accesses) == 1:
        since = starts.get(channels[0])
        subscriber = yield from hub.joining(accesses[0].channel, owner, since)
        return subscriber, identity, site.texts[since is not None]
    connection = hub.connect(owner)
    positions: dict[str, str] = {}
    try:
        for access in accesses:
            name = access.channel.name
            subscriber = yield from connection.joining(access.channel, starts.get(name))
            assert subscriber.beginning is not None
            positions[name] = str(starts.get(name, subscriber.beginning.position))
    except BaseException:
        connection.close()
        raise
    return connection, identity, SeveralChannels(positions, starts)


def _come_back(error: Exception) -> bytes:
    """What a browser gets in the place of a 503: it would give up on that for good (WHATWG HTML, 9.2.3)."""
    reason = CloseReason.SHUTTING_DOWN if isinstance(error, Draining) else CloseReason.TRY_AGAIN_LATER
    retry_ms = random.randint(*RETRY_MS)  # noqa: S311 - it spreads, and hides nothing
    return b"retry: %d\n%b" % (retry_ms, closed_text(reason.code, reason.reason))


def _note(site: Site, error: Exception, address: str | None, line: dict[str, Any]) -> None:
    if is_ours(error):
        site.node.metrics.error("events", error)
    if is_news(error):
        logger.error("Event stream failed", **line, exc_info=error)
    else:
        notes.stream_refused(site, error, address, line)
