"""Join: from a WebSocket's handshake to a subscription, or to a close that says why not."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

from courier.actors.connection import Connection
from courier.actors.errors import Draining
from courier.actors.subscriber import Subscriber
from courier.backplane.steps import Steps
from courier.schemas.closing import CloseReason
from courier.schemas.position import parse_since
from courier.serving.peer import Opening, Peer
from courier.serving.requests import Head
from courier.web.admission import admit, refused, verify
from courier.web.auth import Identity, TokenInvalid, TokenMissing, bearer
from courier.web.errors import JoinRefused
from courier.web.head import is_plain
from courier.web.many import ManySession
from courier.web.paths import SUBSCRIBE
from courier.web.request_ids import facts
from courier.web.session import V1, Session
from courier.web.single import SingleSession
from courier.web.site import Site

PLAIN = "courier.plain"
BEARER = "courier.bearer."

LONGEST_ORIGIN = 128
"""Characters of a refused `Origin` that a line gives."""


class Handshake(NamedTuple):
    """A request for a WebSocket, unjudged; None is a header that is not there."""

    channel: str | None
    """What the path names, decoded; empty, which names no channel, when the path can be read in two ways;
    None where many channels are to be read."""
    query: bytes
    subprotocols: Sequence[str]
    """In the order in which they were offered."""
    origin: str | None
    authorization: str | None
    request_id: str | None
    traceparent: str | None


def join_at_desk(site: Site, head: Head, opening: Opening) -> bool:
    """Take a plain handshake, and answer it now or later; False when it is for the general path."""
    if head.path == SUBSCRIBE:
        channel = None
    elif head.path.startswith(f"{SUBSCRIBE}/"):
        channel = unquote(head.path.removeprefix(f"{SUBSCRIBE}/")) if is_plain(head.path.encode()) else ""
    else:
        return False
    headers = head.headers
    offered = headers.get("sec-websocket-protocol")
    handshake = Handshake(
        channel,
        head.query.encode(),
        [] if offered is None else [each.strip() for each in offered.split(",")],
        headers.get("origin"),
        headers.get("authorization"),
        headers.get("x-request-id"),
        headers.get("traceparent"),
    )
    site.walker.start(join(site, handshake, opening), partial(_joined, site, opening))
    return True


def _joined(site: Site, opening: Opening, outcome: Exception | None) -> None:
    """A join that had to wait is over; it raised only if the fault is ours."""
    if outcome is not None:
        _refuse(opening, None, refused(site, outcome, opening.address, {}))


def _refuse(opening: Opening, subprotocol: str | None, reason: CloseReason) -> None:
    opening.refuse(subprotocol, reason.code, reason.reason)


def join(site: Site, handshake: Handshake, opening: Opening) -> Steps[None]:
    """Answer a handshake: with a subscription, or with a close that says why not.

    A refusal accepts the socket first, because a browser shows its page no other reason than a close code.
    """
    subprotocol = choose(handshake.subprotocols)
    request = facts(handshake.request_id, handshake.traceparent)
    found: dict[str, Any] = {}
    connection: Subscriber | Connection
    try:
        if handshake.channel is None:
            connection, identity = yield from _connect(site, handshake, subprotocol, found)
        else:
            connection, identity = yield from _admit(site, handshake, handshake.channel, found)
    except Exception as error:  # noqa: BLE001 - the table of errors has a close for every one of them
        _refuse(opening, subprotocol, refused(site, error, opening.address, request | found))
        return

    def begin(peer: Peer) -> Session:
        session: Session
        if isinstance(connection, Connection):
            session = ManySession(site, connection, request, identity, peer)
        else:
            session = SingleSession(site, connection, subprotocol, request, identity, peer)
        session.begin(identity)
        return session

    opening.accept(subprotocol, begin)


def choose(offered: Sequence[str]) -> str | None:
    """The subprotocol to select: of those that we speak the one that says most, or None.

    A bearer is never among them: what is selected is echoed.
    """
    return next((ours for ours in (V1, PLAIN) if ours in offered), None)


def _admit(
    site: Site, handshake: Handshake, channel: str, found: dict[str, Any]
) -> Steps[tuple[Subscriber, Identity]]:
    """Judge the join of a channel in the order of the contract, and make it; raises what the table of errors
    knows.

    `found` gets what a line may give of what is found on the way.
    """
    query = _judge_handshake(site, handshake)
    access = yield from admit(site, _token(handshake, query), channel, found)
    given = query.get("since", [])
    if len(given) > 1:
        raise JoinRefused(CloseReason.UNREADABLE_SINCE, "query has the parameter since twice")
    try:
        since = parse_since(given[0]) if given else None
    except ValueError as error:
        raise JoinRefused(CloseReason.UNREADABLE_SINCE, str(error)) from None
    identity = access.identity
    subscriber = yield from site.node.hub.joining(access.channel, identity.claims.user_id, since)
    return subscriber, identity


def _connect(
    site: Site, handshake: Handshake, subprotocol: str | None, found: dict[str, Any]
) -> Steps[tuple[Connection, Identity]]:
    """The same for a connection for many channels, of which each is judged when it is subscribed."""
    query = _judge_handshake(site, handshake)
    identity = yield from verify(site, _token(handshake, query))
    found["user_id"] = identity.claims.user_id
    if subprotocol != V1:
        raise JoinRefused(CloseReason.SUBPROTOCOL_REQUIRED, f"{V1} must be offered")
    return site.node.hub.connect(identity.claims.user_id), identity


def _judge_handshake(site: Site, handshake: Handshake) -> dict[str, list[str]]:
    """Refuse what needs no token to be refused; returns the query."""
    hub = site.node.hub
    if hub.draining:
        raise Draining
    if hub.full:
        raise hub.no_room()
    origins, origin = site.settings.allowed_origins, handshake.origin
    if origins and origin is not None and origin.lower() not in origins:
        allowed = "COURIER_ALLOWED_ORIGINS does not have this Origin"
        raise JoinRefused(CloseReason.ORIGIN_NOT_ALLOWED, f"{allowed}: {origin[:LONGEST_ORIGIN]}")
    return parse_qs(handshake.query.decode("latin-1"), keep_blank_values=True)


def _token(handshake: Handshake, query: dict[str, list[str]]) -> str:
    """The token: `?token=`, else `Authorization: Bearer`, else the subprotocol `courier.bearer.<token>`.

    A browser cannot set the header; the subprotocol keeps the token out of URLs. It must stand beside one
    that can be selected, since it is itself never echoed.
    """
    given = query.get("token", [])
    if len(given) > 1:
        raise TokenInvalid("query has the parameter token twice")
    offered = handshake.subprotocols
    bearers = [protocol.removeprefix(BEARER) for protocol in offered if protocol.startswith(BEARER)]
    token = (given[0] if given else "") or bearer(handshake.authorization)
    if token is None and bearers:
        if choose(offered) is None:
            raise TokenInvalid(
                "bearer subprotocol stands alone: courier.v1 or courier.plain must stand beside it"
            )
        token = bearers[0]
    if not token:
        raise TokenMissing
    return token
