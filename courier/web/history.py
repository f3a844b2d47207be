"""History: what a channel's log holds, over HTTP, for whoever may join the channel."""

from collections.abc import Mapping

from courier.actors.errors import Draining
from courier.actors.frames import event_json
from courier.backplane import Stretch
from courier.schemas.channels import ChannelName
from courier.schemas.position import Position, Since, parse_since
from courier.web.access import AccessRefused, may_join
from courier.web.auth import AuthError, KeysUnavailable, TokenExpired, TokenMissing, bearer
from courier.web.errors import RETRY_AFTER, HttpError
from courier.web.ownership import OwnershipUnknown
from courier.web.publish import Answer, error_answer
from courier.web.site import Site

LIMIT = 100
LARGEST_LIMIT = 1000


async def history(site: Site, channel: str, query: Mapping[str, str], authorization: str | None) -> Answer:
    """200 with the events after `since`, oldest first, or the newest; or the refusal. Never raises but for
    what cancels the request.

    It is judged as a join, and in the same order; the token is `?token=` or a bearer.
    """
    try:
        name = await _admit(site, channel, query.get("token") or bearer(authorization))
        stretch = await site.node.hub.read(name, _since(query.get("since")), _limit(query.get("limit")))
    except Exception as error:  # noqa: BLE001 - the table of errors answers for every one of them
        return error_answer(site, error, {"Cache-Control": "no-store"}, "history")
    return Answer(200, _body(name, stretch), {"Cache-Control": "no-store"})


async def _admit(site: Site, channel: str, token: str | None) -> ChannelName:
    if site.node.hub.draining:
        raise Draining
    try:
        claims = await site.verifier.subscriber(token)
        access = await may_join(claims, ChannelName.parse(channel), site.ownership, site.settings)
    except KeysUnavailable:
        raise
    except AuthError as error:
        raise _unauthorized(error) from None
    except AccessRefused:
        raise HttpError(403, "Unauthorized access to channel") from None
    except OwnershipUnknown:
        raise HttpError(503, "Strategy's owner is not to be had at the moment", RETRY_AFTER) from None
    return access.channel


def _unauthorized(error: AuthError) -> HttpError:
    if isinstance(error, TokenMissing):
        return HttpError(401, "Authentication token required", {"WWW-Authenticate": "Bearer"})
    sentence = "Token expired" if isinstance(error, TokenExpired) else "Invalid token"
    return HttpError(401, sentence, {"WWW-Authenticate": 'Bearer error="invalid_token"'})


def _since(text: str | None) -> Since | None:
    try:
        return None if text is None else parse_since(text)
    except ValueError as error:
        raise HttpError(400, f"Unreadable since: {error}") from None


def _limit(text: str | None) -> int:
    if text is None:
        return LIMIT
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:10]) <= LARGEST_LIMIT):
        raise HttpError(400, f"Unreadable limit: expected a whole number from 1 to {LARGEST_LIMIT}")
    return int(text)


def _body(channel: ChannelName, stretch: Stretch) -> bytes:
    """`position` is the one just before what follows: where to go on, here or by a join."""
    epoch, offset = stretch.start
    return b'{"channel":"%b","position":"%b","events":[%b],"complete":%b,"more":%b}' % (
        channel.name.encode(),
        str(Position(epoch, offset + len(stretch.records))).encode(),
        b",".join(event_json(one.position, channel.name, one.event) for one in stretch.records),
        b"true" if stretch.gap is None else b"false",
        b"true" if stretch.more else b"false",
    )
