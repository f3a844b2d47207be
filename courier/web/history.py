"""History: what a channel's log holds, over HTTP, for whoever may join the channel."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from itertools import accumulate
from typing import Any
from urllib.parse import parse_qsl

from courier.actors.errors import Draining
from courier.actors.frames import event_json
from courier.backplane import Stretch
from courier.backplane.steps import walk
from courier.logs import get_logger
from courier.schemas.channels import ChannelName
from courier.schemas.position import Position, Since, parse_since
from courier.web import notes
from courier.web.access import AccessRefused, AccessUnknown
from courier.web.admission import admit
from courier.web.answer import Answer, answer_to
from courier.web.asgi import send_answer
from courier.web.auth import AuthError, KeysUnavailable, TokenExpired, TokenMissing, TokenRevoked, bearer
from courier.web.cors import cors_headers
from courier.web.errors import RETRY_AFTER, REVOKED, HttpError, cause_for_bearer
from courier.web.faults import is_news, is_ours
from courier.web.request_ids import echo, facts
from courier.web.site import Site

HISTORY = "/history/"
"""Where a channel's history is: its name follows."""

LIMIT = 100
LARGEST_LIMIT = 1000

PAGE_BYTES = 1024 * 1024
"""How many bytes of events one answer has at most, if it has more than one event."""

PIECE_BYTES = 64 * 1024

logger = get_logger(__name__)


def is_history(scope: Any) -> bool:
    """Whether the request (ASGI 3, `http` scope) asks for history."""
    return (
        scope["type"] == "http"
        and scope["method"] in ("GET", "HEAD")
        and len(scope["path"]) > len(HISTORY)
        and scope["path"].startswith(HISTORY)
    )


async def serve_history(site: Site, scope: Any, send: Any) -> None:
    """Answer a request for history, below Quart: the reader has its place until the last byte is sent."""
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    told = facts(headers.get("x-request-id"), headers.get("traceparent"))
    channel = scope["path"].removeprefix(HISTORY)
    address = scope["client"][0] if scope.get("client") else None
    with ExitStack() as place:
        answer, pieces = await _history(
            site, channel, query, headers.get("authorization"), told, place, address
        )
        answer.headers.update(cors_headers(site.settings, headers.get("origin")))
        answer.headers.update(echo(headers.get("x-request-id")))
        await send_answer(send, answer, pieces)


async def _history(
    site: Site,
    channel: str,
    query: Mapping[str, str],
    authorization: str | None,
    told: Mapping[str, str],
    place: ExitStack,
    address: str | None,
) -> tuple[Answer, Iterator[bytes] | None]:
    """200, and in pieces the events after `since`, oldest first, or the newest; or the refusal. Never raises
    but for what cancels the request.

    It is judged as a join, and in the same order; the token is `?token=` or a bearer. `told` is what a line
    about it tells, `address` where the peer's packets come from; `place` gets the reader's.
    """
    known: dict[str, str] = {}
    try:
        name = await _admit(site, channel, query.get("token") or bearer(authorization), known)
        since, limit = read_since(query.get("since")), read_limit(query.get("limit"))
        place.enter_context(site.readers.admit(known["user_id"]))
        stretch = _page(await site.node.hub.read(name, since, limit), newest=since is None)
    except Exception as error:
        answer = answer_to(error, {"Cache-Control": "no-store"})
        line = {**told, **known}
        if is_ours(error):
            site.node.metrics.error("history", error)
        if is_news(error):
            logger.error("History failed", **line, exc_info=error)
        else:
            notes.history_refused(site, error, address, line)
        return answer, None
    begin, end = _around(name, stretch)
    # An event's JSON is its head and the event, less the brace that both have.
    heads = sum(len(event_json(one.position, name.name, b"")) for one in stretch.records)
    events = sum(len(one.event) - 1 for one in stretch.records)
    size = len(begin) + heads + events + max(0, len(stretch.records) - 1) + len(end)
    headers = {"Cache-Control": "no-store", "content-length": str(size)}
    return Answer(200, b"", headers), _pieces(name, stretch, begin, end)


async def _admit(site: Site, channel: str, token: str | None, known: dict[str, str]) -> ChannelName:
    """The channel, if it may be read; `known` gets what is found out on the way."""
    if site.node.hub.draining:
        raise Draining
    try:
        access = await walk(admit(site, token, channel, known))
    except KeysUnavailable:
        raise
    except AuthError as error:
        raise unauthorized(error) from None
    except AccessRefused as error:
        raise forbidden(str(error)) from None
    except AccessUnknown:
        raise access_unknown() from None
    return access.channel


def unauthorized(error: AuthError) -> HttpError:
    """The 401 of a subscriber's token."""
    if isinstance(error, TokenMissing):
        return HttpError(401, "Authentication token required", {"WWW-Authenticate": "Bearer"})
    if isinstance(error, TokenRevoked):
        sentence = REVOKED
    else:
        sentence = "Token expired" if isinstance(error, TokenExpired) else "Invalid token"
    headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    return HttpError(401, sentence, headers, why=str(error), **cause_for_bearer(error))


def forbidden(why: str = "") -> HttpError:
    """The 403 of a channel that is not this subscriber's; `why` is for operators."""
    return HttpError(403, "Unauthorized access to channel", why=why)


def access_unknown() -> HttpError:
    """The 503 of a channel of which nobody can say now who may read it."""
    return HttpError(503, "Nobody can say now who may read this channel; try again later", RETRY_AFTER)


def read_since(text: str | None) -> Since | None:
    """Where to start; raises 400 for what is no position and no time."""
    try:
        return None if text is None else parse_since(text)
    except ValueError as error:
        raise HttpError(400, f"Unreadable since: {error}") from None


def read_limit(text: str | None) -> int:
    """How many events at most; raises 400 for what is no such number."""
    if text is None:
        return LIMIT
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:10]) <= LARGEST_LIMIT):
        raise HttpError(400, f"Unreadable limit: expected a whole number from 1 to {LARGEST_LIMIT}")
    return int(text)


def _page(stretch: Stretch, *, newest: bool) -> Stretch:
    """The stretch, or as much of it as is `PAGE_BYTES`: its first events, or its newest; at least one."""
    records = list(stretch.records)
    sizes = accumulate(len(one.event) for one in (reversed(records) if newest else records))
    few = sum(1 for place, size in enumerate(sizes) if not place or size <= PAGE_BYTES)
    if few == len(records):
        return stretch
    if not newest:
        return stretch._replace(records=records[:few])
    epoch, offset = stretch.start
    return stretch._replace(start=Position(epoch, offset + len(records) - few), records=records[-few:])


def _around(channel: ChannelName, stretch: Stretch) -> tuple[bytes, bytes]:
    """What stands before the events and after them. `position` is the one just before what follows: where to
    go on, here or by a join."""
    epoch, offset = stretch.start
    position = Position(epoch, offset + len(stretch.records))
    begin = b'{"channel":"%b","position":"%b","events":[' % (channel.name.encode(), str(position).encode())
    complete, more = (b"true" if holds else b"false" for holds in (stretch.gap is None, stretch.more))
    return begin, b'],"complete":%b,"more":%b}' % (complete, more)


def _pieces(channel: ChannelName, stretch: Stretch, begin: bytes, end: bytes) -> Iterator[bytes]:
    """The answer in pieces of about `PIECE_BYTES`, each made when the one before it has been sent."""
    piece = bytearray(begin)
    for place, record in enumerate(stretch.records):
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
        if place:
            piece += b","
        piece += event_json(record.position, channel.name, record.event)
    yield bytes(piece + end)
