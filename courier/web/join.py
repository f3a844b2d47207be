"""Join: from a WebSocket's handshake to a subscription, or to a close that says why not."""

from collections.abc import Sequence

import trio

from courier.actors.errors import ChannelFailed, Draining
from courier.actors.subscriber import Subscriber
from courier.logs import get_logger
from courier.schemas.channels import ChannelName
from courier.schemas.closing import CloseReason
from courier.schemas.position import parse_since
from courier.web import notes
from courier.web.access import Access, may_join
from courier.web.auth import TokenInvalid, TokenMissing, bearer
from courier.web.errors import JoinRefused, close_reason
from courier.web.request_ids import facts
from courier.web.session import V1, Ending, Session
from courier.web.site import Site
from courier.web.websocket import WebSocket

PLAIN = "courier.plain"
BEARER = "courier.bearer."

LONGEST_ORIGIN = 128
"""Characters of a refused `Origin` that are told."""

logger = get_logger(__name__)


async def join(site: Site, websocket: WebSocket, channel: str) -> None:
    """Serve one WebSocket: a subscription to `channel`, or a close that says why not.

    A refusal accepts the socket first, because a browser shows its page no other reason than a close code.
    """
    subprotocol = choose(websocket.subprotocols)
    told = facts(websocket.headers.get("x-request-id"), websocket.headers.get("traceparent"))
    try:
        access, subscriber = await _admit(site, websocket, channel, told)
    except Exception as error:
        reason = close_reason(error)
        if reason is CloseReason.CHANNEL_FAILED:
            site.node.metrics.error("join", error)
        if reason is CloseReason.CHANNEL_FAILED and not isinstance(error, ChannelFailed):
            logger.error("Join failed", **told, exc_info=error)
        else:  # a channel's crash was a line already
            notes.join_refused(site, reason, error, websocket.address, told)
        site.node.metrics.join_refused(reason)
        await websocket.accept(subprotocol)
        await websocket.close(reason.code, reason.reason)
        return
    site.node.metrics.joined(access.channel.kind)
    told["connection_id"] = subscriber.id
    began = trio.current_time()
    session = Session(site, websocket, subscriber, access, subprotocol)
    try:
        await websocket.accept(subprotocol)
        _note_joined(subscriber, told, subprotocol)
        await session.serve()
    finally:
        subscriber.close()
        site.node.metrics.left(access.channel.kind, session.ending.why)
        _note_left(subscriber, session.ending, told, trio.current_time() - began)


def _note_joined(subscriber: Subscriber, told: dict[str, str], subprotocol: str | None) -> None:
    beginning = subscriber.beginning
    assert beginning is not None
    logger.info(
        "Subscriber joined",
        **told,
        subprotocol=subprotocol,
        position=str(beginning.position),
        recovered=beginning.recovered,
        replayed=beginning.replayed,
    )


def _note_left(subscriber: Subscriber, ending: Ending, told: dict[str, str], seconds: float) -> None:
    logger.info(
        "Subscriber left",
        **told,
        code=ending.code,
        reason=ending.reason,
        aborted=subscriber.aborted,
        seconds=round(seconds, 3),
        delivered=subscriber.delivered,
        lag=subscriber.lag,
    )


def choose(offered: Sequence[str]) -> str | None:
    """The subprotocol to select: of those that we speak the one that says most, or None.

    A bearer is never among them: what is selected is echoed.
    """
    return next((ours for ours in (V1, PLAIN) if ours in offered), None)


async def _admit(
    site: Site, websocket: WebSocket, channel: str, told: dict[str, str]
) -> tuple[Access, Subscriber]:
    """Judge the join in the order of the contract, and make it; raises what the table of errors knows.

    `told` gets what is found out on the way and may be told.
    """
    hub = site.node.hub
    if hub.draining:
        raise Draining
    if hub.full:
        raise hub.no_room()
    origins = site.settings.allowed_origins
    origin = websocket.headers.get("origin")
    if origins and origin is not None and origin.lower() not in origins:
        allowed = "COURIER_ALLOWED_ORIGINS does not have this Origin"
        raise JoinRefused(CloseReason.ORIGIN_NOT_ALLOWED, f"{allowed}: {origin[:LONGEST_ORIGIN]}")
    claims = await site.verifier.subscriber(_token(websocket))
    told["user_id"] = claims.user_id
    name = ChannelName.parse(channel)
    told["channel"] = name.name
    access = await may_join(claims, name, site.ownership, site.settings)
    asked = websocket.query.get("since")
    if "since" in websocket.repeated:
        raise JoinRefused(CloseReason.UNREADABLE_SINCE, "query has the parameter since twice")
    try:
        since = None if asked is None else parse_since(asked)
    except ValueError as error:
        raise JoinRefused(CloseReason.UNREADABLE_SINCE, str(error)) from None
    return access, await hub.join(access.channel, claims.user_id, since)


def _token(websocket: WebSocket) -> str:
    """The token: `?token=`, else `Authorization: Bearer`, else the subprotocol `courier.bearer.<token>`.

    A browser cannot set the header; the subprotocol keeps the token out of URLs. It must stand beside one
    that can be selected, since it is itself never echoed.
    """
    if "token" in websocket.repeated:
        raise TokenInvalid("query has the parameter token twice")
    offered = websocket.subprotocols
    bearers = [protocol.removeprefix(BEARER) for protocol in offered if protocol.startswith(BEARER)]
    token: str | None = websocket.query.get("token") or bearer(websocket.headers.get("authorization"))
    if token is None and bearers:
        if choose(offered) is None:
            raise TokenInvalid(
                "bearer subprotocol stands alone: courier.v1 or courier.plain must stand beside it"
            )
        token = bearers[0]
    if not token:
        raise TokenMissing
    return token
