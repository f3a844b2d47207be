"""Join: from a WebSocket's handshake to a subscription, and until one of the two ends."""

import time

import trio

from courier.actors.errors import Draining, NodeFull, WireError
from courier.actors.subscriber import Subscriber
from courier.logs import get_logger
from courier.schemas.channels import ChannelName
from courier.schemas.claims import SubscriberClaims
from courier.schemas.closing import CloseReason
from courier.schemas.position import parse_since
from courier.web.access import may_join
from courier.web.auth import TokenInvalid, TokenMissing, bearer
from courier.web.errors import JoinRefused, close_reason
from courier.web.hypercorn import ABORT_EXTENSION, EXTENSION
from courier.web.site import Site
from courier.web.websocket import Disconnected, WebSocket
from courier.web.wire import AsgiWire, SocketWire

PLAIN = "courier.plain"
BEARER = "courier.bearer."

PING = b"ping"
PONG = b"pong"

logger = get_logger(__name__)


async def join(site: Site, websocket: WebSocket, channel: str) -> None:
    """Serve one WebSocket: a subscription to `channel`, or a close that says why not.

    A refusal accepts the socket first, because a browser shows its page no other reason than a close code.
    """
    subprotocol = PLAIN if PLAIN in websocket.subprotocols else None
    try:
        claims, subscriber = await _admit(site, websocket, channel)
    except Exception as error:
        reason = close_reason(error)
        if reason is CloseReason.CHANNEL_FAILED:
            site.node.metrics.error("join")
            logger.error("Join failed", exc_info=error)
        else:
            logger.info("Join refused", code=reason.code, reason=reason.reason)
        await websocket.accept(subprotocol)
        await websocket.close(reason.code, reason.reason)
        return
    try:
        await websocket.accept(subprotocol)
        await _serve(site, websocket, subscriber, claims)
    finally:
        subscriber.close()


async def _admit(site: Site, websocket: WebSocket, channel: str) -> tuple[SubscriberClaims, Subscriber]:
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
    name = ChannelName.parse(channel)
    await may_join(claims, name, site.ownership, site.settings)
    asked = websocket.query.get("since")
    try:
        since = None if asked is None else parse_since(asked)
    except ValueError:
        raise JoinRefused(CloseReason.UNREADABLE_SINCE) from None
    return claims, await hub.join(name, claims.user_id, since)


def _token(websocket: WebSocket) -> str:
    """The token: `?token=`, else `Authorization: Bearer`, else the subprotocol `courier.bearer.<token>`.

    A browser cannot set the header; the subprotocol keeps the token out of URLs. It must stand beside one
    that can be selected, since it is itself never echoed.
    """
    offered = websocket.subprotocols
    bearers = [protocol.removeprefix(BEARER) for protocol in offered if protocol.startswith(BEARER)]
    token: str | None = websocket.query.get("token") or bearer(websocket.headers.get("authorization"))
    if token is None and bearers:
        if PLAIN not in offered:
            raise TokenInvalid
        token = bearers[0]
    if not token:
        raise TokenMissing
    return token


async def _serve(site: Site, websocket: WebSocket, subscriber: Subscriber, claims: SubscriberClaims) -> None:
    """Keep the subscription until it ends or the peer goes, and say the last word."""
    stall_seconds = site.settings.stall_seconds
    transport = websocket.extensions.get(EXTENSION)
    wire: SocketWire | AsgiWire
    if transport is None:
        abort = websocket.extensions.get(ABORT_EXTENSION, _leave_it_to_the_server)
        wire = AsgiWire(websocket.send, websocket.close, abort, stall_seconds)
    else:
        wire = SocketWire(transport, stall_seconds)
    try:
        with subscriber.alive:
            subscriber.open(wire)
            await _listen(websocket, subscriber, wire, claims, site.settings.heartbeat_seconds)
        if subscriber.reason is not None:
            with subscriber.goodbye:
                await wire.close(subscriber.reason)
            if subscriber.goodbye.cancelled_caught:
                subscriber.close(aborted=True)
    except Disconnected:
        pass
    except WireError as error:
        subscriber.fail(error)
        subscriber.close(aborted=True)
    finally:
        if subscriber.aborted or wire.holding:
            wire.abort()


async def _listen(
    websocket: WebSocket,
    subscriber: Subscriber,
    wire: SocketWire | AsgiWire,
    claims: SubscriberClaims,
    heartbeat_seconds: float,
) -> None:
    """Take what the peer says, so that it is never kept waiting; ping it when it says nothing."""
    token_ends = trio.current_time() + claims.exp - time.time()
    while (now := trio.current_time()) < token_ends:
        word = None
        with trio.move_on_at(min(now + heartbeat_seconds, token_ends)) as silence:
            message = await websocket.receive()
            word = PONG if message in ("ping", PING) else None
        if silence.cancelled_caught:
            word = PING
        if word is not None:
            with trio.move_on_at(token_ends):
                await wire.say(word)
    subscriber.end(CloseReason.TOKEN_EXPIRED)


def _leave_it_to_the_server() -> None:
    """The abort of a server that offers none: it closes the socket when we return."""
