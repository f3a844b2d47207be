"""Connections: who is subscribed, how far behind each is, and the closing of one."""

from collections.abc import Iterable, Mapping
from typing import Any

from courier.actors.channel import Channel
from courier.actors.statistics import State
from courier.metrics import MANY
from courier.schemas.closing import CloseReason
from courier.web.admin.answers import at
from courier.web.admin.listing import Found, Query, Table, find, parse_query
from courier.web.errors import HttpError
from courier.web.sessions import Served
from courier.web.site import Site

CLOSED_BY_ADMIN = CloseReason.TRY_AGAIN_LATER
"""What a well-behaved subscriber answers by backing off and coming back with `since`: closing is no ban."""

TABLE = Table[Served](
    name=lambda session: session.connection.id,
    texts=lambda session: (
        session.connection.owner,
        *(each.channel.name for each in session.subscribers),
        session.connection.id,
        session.address or "",
    ),
    columns={
        "connected_at": lambda session: session.connected_at,
        "user_id": lambda session: session.connection.owner,
        "channel": lambda session: min((each.channel.name for each in session.subscribers), default=""),
        "kind": lambda session: session.kind,
        "id": lambda session: session.connection.id,
        "lag": lambda session: session.connection.lag,
        "state": lambda session: _state(session),
        "heard_at": lambda session: -session.quiet_seconds,
        "address": lambda session: session.address or "",
    },
)


async def list_connections(site: Site, given: Mapping[str, str]) -> dict[str, Any]:
    """One page of the node's subscribers. HttpError 400 when the query cannot be read."""
    query = parse_query(given, TABLE.columns)
    return shown(await find(site.sessions.values(), TABLE, query), query)


async def connections_of(site: Site, channel: Channel, query: Query) -> dict[str, Any]:
    """One page of a channel's subscribers."""
    found = (site.sessions.get(subscriber.id) for subscriber in tuple(channel.subscribers))
    return shown(await find(filter(None, found), TABLE, query), query)


def close_connection(site: Site, id: str) -> dict[str, Any]:
    """End one subscription; what was begun is written first, for a few seconds. HttpError 404 when there is
    none of that id."""
    session = site.sessions.get(id)
    if session is None:
        raise not_there()
    session.connection.end(CLOSED_BY_ADMIN)
    return {"status": "closing", "id": id, "code": CLOSED_BY_ADMIN.code, "reason": CLOSED_BY_ADMIN.reason}


def not_there() -> HttpError:
    """The answer about a subscription that this node does not have."""
    return HttpError(404, "Connection is not there, or not any more")


def shown(found: Found[Served], query: Query) -> dict[str, Any]:
    rows: Iterable[Served] = found.rows
    return {
        "connections": [_row(session) for session in rows],
        "total": found.total,
        "limit": query.limit,
        "offset": query.offset,
    }


def _row(session: Served) -> dict[str, Any]:
    connection = session.statistics()
    subscriptions = [
        {
            "channel": each.channel,
            "state": each.state,
            "position": None if each.position is None else str(each.position),
            "lag": each.lag,
        }
        for each in connection.subscriptions
    ]
    alone = subscriptions[0] if session.kind != MANY else None
    return {
        "id": connection.id,
        "user_id": connection.owner,
        "channel": alone and alone["channel"],
        "kind": session.kind,
        "state": _state(session),
        "position": alone and alone["position"],
        "lag": session.connection.lag,
        "subscriptions": subscriptions,
        "held_bytes": connection.held_bytes,
        "unsent_bytes": connection.unsent_bytes,
        "connected_at": at(connection.connected_at),
        "heard_at": at(connection.heard_at),
        "pinged_at": None if connection.pinged_at is None else at(connection.pinged_at),
        "subprotocol": connection.subprotocol,
        "address": connection.address,
    }


def _state(session: Served) -> str:
    """That of its subscription; of many the one that is furthest from being up to date."""
    if session.connection.reason is not None:
        return State.CLOSING.value
    states = {each.state for each in session.subscribers}
    return next((state for state in (State.BEHIND, State.JOINING) if state in states), State.CURRENT).value
