"""Serve: answers requests for what a channel's log holds, from users who may join the channel."""

from contextlib import ExitStack
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from courier.actors.subscriber import Subscriber
from courier.backplane.steps import Steps, walk
from courier.logs import get_logger
from courier.serving.peer import Endpoint, Peer
from courier.web import notes
from courier.web.access import Access
from courier.web.answer import Answer, answer_to
from courier.web.asgi import send_answer
from courier.web.auth import bearer
from courier.web.cors import cors_headers
from courier.web.exchange import Asked, Exchange
from courier.web.exchange.asgi import OverAsgi
from courier.web.faults import is_news, is_ours
from courier.web.history.page import Page, Read, read_page
from courier.web.history.poll import POLL_BYTES, Poll, until
from courier.web.history.render import body_of, pieces_of, size_of
from courier.web.history.request import Wanted
from courier.web.paths import HISTORY
from courier.web.reader import admit_reader
from courier.web.request_ids import echo, facts
from courier.web.site import Site

logger = get_logger(__name__)


def is_history(scope: Any) -> bool:
    """Whether the request (ASGI 3, `http` scope) asks for history."""
    return scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and is_of_history(scope["path"])


def is_of_history(path: str) -> bool:
    """Whether a channel's history is at the path."""
    return path.startswith(f"{HISTORY}/") and len(path) > len(HISTORY) + 1


def waits(query: str) -> bool:
    """Whether a request with that query may wait for its answer."""
    return "wait" in dict(parse_qsl(query, keep_blank_values=True))


async def serve_history(site: Site, scope: Any, receive: Any, send: Any) -> None:
    """Answer a request for history, below Quart."""
    asked = Asked.of_scope(scope)
    if waits(asked.query) and scope["method"] == "GET":
        exchange = OverAsgi(scope, receive, send, partial(site.node.metrics.error, "connection"))
        await walk(poll_history(site, asked, exchange))
        await exchange.run()
        return
    address = scope["client"][0] if scope.get("client") else None
    known: dict[str, str] = {}
    with ExitStack() as place:  # the reader has its place until the last byte is sent
        try:
            access, wanted = await walk(_judge(site, asked, known))
            place.enter_context(site.readers.admit(access.identity.claims.user_id))
            page = await read_page(_reader(site, access), wanted)
        except Exception as error:  # noqa: BLE001 - the table of errors answers for every one of them
            await send_answer(send, _refusal(site, asked, error, address, known))
            return
        headers = _headers(site, asked) | {"content-length": str(size_of(access.channel.name, page))}
        await send_answer(send, Answer(200, b"", headers), pieces_of(access.channel.name, page))


def poll_history(site: Site, asked: Asked, exchange: Exchange) -> Steps[None]:
    """Answer a request that waits while nothing follows `since`, for a while."""
    known: dict[str, str] = {}
    try:
        access, wanted = yield from _judge(site, asked, known)
        found = yield from _join_or_read(site, access, wanted)
        if isinstance(found, Page):
            body = body_of(access.channel.name, found)
            exchange.answer(Answer(200, body, _headers(site, asked)))
            return
    except Exception as error:  # noqa: BLE001 - as above
        exchange.answer(_refusal(site, asked, error, exchange.address, known))
        return
    headers, seconds = _headers(site, asked), wanted.wait_seconds or 0.0
    poll = Poll(site, found, access.identity, wanted.limit, exchange, headers)

    def begin(peer: Peer) -> Endpoint:
        poll.begin(peer, until(seconds, access.identity))
        return poll

    exchange.wait(begin)


def _join_or_read(site: Site, access: Access, wanted: Wanted) -> Steps[Subscriber | Page]:
    """A subscription that stands where nothing follows yet, or the page that there is already."""
    user_id, since = access.identity.claims.user_id, wanted.since
    if since is None:
        page: Page = yield partial(_read_placed, site, access, wanted)
        if page.records:
            return page
        since = page.position
    subscriber = yield from site.node.hub.joining(access.channel, user_id, since)
    beginning = subscriber.beginning
    assert beginning is not None
    if beginning.recovered and not beginning.replayed:
        try:
            site.revoking.check_subscriber(access.identity)  # again: the channel was waited for
        except BaseException:
            subscriber.close()
            raise
        return subscriber
    subscriber.close()
    found: Page = yield partial(_read_placed, site, access, wanted._replace(since=since))
    return found


async def _read_placed(site: Site, access: Access, wanted: Wanted) -> Page:
    """The page, read in a place among the readers, and small: it is held until the peer has taken it."""
    with site.readers.admit(access.identity.claims.user_id):
        return await read_page(_reader(site, access), wanted, POLL_BYTES)


def _reader(site: Site, access: Access) -> Read:
    return partial(site.node.hub.read, access.channel)


def _judge(site: Site, asked: Asked, known: dict[str, str]) -> Steps[tuple[Access, Wanted]]:
    """Judge a request as a join, and in the same order; the token is `?token=` or a bearer."""
    query = dict(parse_qsl(asked.query, keep_blank_values=True))
    token = query.get("token") or bearer(asked.authorization)
    access = yield from admit_reader(site, token, asked.path.removeprefix(f"{HISTORY}/"), known)
    return access, Wanted.of(query)


def _headers(site: Site, asked: Asked) -> dict[str, str]:
    return {"cache-control": "no-store"} | cors_headers(site.settings, asked.origin) | echo(asked.request_id)


def _refusal(
    site: Site, asked: Asked, error: Exception, address: str | None, known: dict[str, str]
) -> Answer:
    """The answer to a request that raised this. It is counted, and a line."""
    line = facts(asked.request_id, asked.traceparent) | known
    if is_ours(error):
        site.node.metrics.error("history", error)
    if is_news(error):
        logger.error("History failed", **line, exc_info=error)
    else:
        notes.history_refused(site, error, address, line)
    return answer_to(error, _headers(site, asked))
