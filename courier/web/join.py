"""Join: from a WebSocket's handshake to a subscription, or to a close that says why not."""

from collections.abc import Sequence

from courier.actors.errors import Draining, NodeFull
from courier.actors.subscriber import Subscriber
from courier.logs import get_logger
from courier.schemas.channels import ChannelName
from courier.schemas.closing import CloseReason
from courier.schemas.position import parse_since
from courier.web.access import Access, may_join
from courier.web.auth import TokenInvalid, TokenMissing, bearer
from courier.web.errors import JoinRefused, close_reason
from courier.web.session import V1, Session
from courier.web.site import Site
from courier.web.websocket import WebSocket

PLAIN = "courier.plain"
BEARER = "courier.bearer."

logger = get_logger(__name__)


async def join(site: Site, websocket: WebSocket, channel: str) -> None:
    """Serve one WebSocket: a subscription to `channel`, or a close that says why not.

    A refusal accepts the socket first, because a browser shows its page no other reason than a close code.
    """
    subprotocol = choose(websocket.subprotocols)
    try:
        access, subscriber = await _admit(site, websocket, channel)
    except Exception as error:
        reason = close_reason(error)
        if reason is CloseReason.CHANNEL_FAILED:
            site.node.metrics.error("join", error)
            logger.error("Join failed", exc_info=error)
        else:
            logger.info("Join refused", code=reason.code, reason=reason.reason)
        site.node.metrics.join_refused(reason)
        await websocket.accept(subprotocol)
        await websocket.close(reason.code, reason.reason)
        return
    site.node.metrics.joined(access.channel.kind)
    try:
        await websocket.accept(subprotocol)
        await Session(site, websocket, subscriber, access, subprotocol).serve()
    finally:
        subscriber.close()
        site.node.metrics.left(access.channel.kind, subscriber.reason)


def choose(offered: Sequence[str]) -> str | None:
    """The subprotocol to select: of those that we speak the one that says most, or None.

    A bearer is never among them: what is selected is echoed.
    """
    return next((ours for ours in (V1, PLAIN) if ours in offered), None)


async def _admit(site: Site, websocket: WebSocket, channel: str) -> tuple[Access, Subscriber]:
    """Judge the join in the order of the contract, and make it; raises what the table of errors knows."""
    hub = site.node.hub
    if hub.draining:
        raise Draining
    if hub.full:
        raise NodeFull
    origins = site.settings.allowed_origins
    origin = websocket.headers.get("origin")
    if origins and origin is not None and origin.lower() not in origins:
        raise JoinRefused(CloseReason.ORIGIN_NOT_ALLOWED)
    claims = await site.verifier.subscriber(_token(websocket))
    access = await may_join(claims, ChannelName.parse(channel), site.ownership, site.settings)
    asked = websocket.query.get("since")
    try:
        since = None if asked is None else parse_since(asked)
    except ValueError:
        raise JoinRefused(CloseReason.UNREADABLE_SINCE) from None
    return access, await hub.join(access.channel, claims.user_id, since)


def _token(websocket: WebSocket) -> str:
    """The token: `?token=`, else `Authorization: Bearer`, else the subprotocol `courier.bearer.<token>`.

    A browser cannot set the header; the subprotocol keeps the token out of URLs. It must stand beside one
    that can be selected, since it is itself never echoed.
    """
    offered = websocket.subprotocols
    bearers = [protocol.removeprefix(BEARER) for protocol in offered if protocol.startswith(BEARER)]
    token: str | None = websocket.query.get("token") or bearer(websocket.headers.get("authorization"))
    if token is None and bearers:
        if choose(offered) is None:
            raise TokenInvalid
        token = bearers[0]
    if not token:
        raise TokenMissing
    return token
