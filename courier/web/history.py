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
from courier.web.publish import Answer, refusal
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
        stretch = await site.node.hub.read(
            name, read_since(query.get("since")), read_limit(query.get("limit"))
        )
    except Exception as error:  # noqa: BLE001 - the table of errors answers for every one of them
        return refusal(site, error, {"Cache-Control": "no-store"})
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
        raise unauthorized(error) from None
    except AccessRefused:
        raise forbidden() from None
    except OwnershipUnknown:
        raise owner_unknown() from None
    return access.channel


def unauthorized(error: AuthError) -> HttpError:
    """The 401 of a subscriber's token."""
    if isinstance(error, TokenMissing):
        return HttpError(401, "Authentication token required", {"WWW-Authenticate": "Bearer"})
    sentence = "Token expired" if isinstance(error, TokenExpired) else "Invalid token"
    return HttpError(401, sentence, {"WWW-Authenticate": 'Bearer error="invalid_token"'})


def forbidden() -> HttpError:
    """The 403 of a channel that is not this subscriber's."""
    return HttpError(403, "Unauthorized access to channel")


def owner_unknown() -> HttpError:
    """The 503 of a strategy of which nobody can say now whose it is."""
    return HttpError(503, "Strategy's owner is not to be had at the moment", RETRY_AFTER)


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
