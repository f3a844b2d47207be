"""Channels: what each is like, and one of them opened."""

import json
from collections.abc import Mapping
from typing import Any

from courier.actors.channel import Channel
from courier.actors.frames import event_json
from courier.actors.statistics import ChannelStatistics
from courier.backplane import Stretch
from courier.schemas.position import Since, parse_since
from courier.web.admin import connections
from courier.web.admin.answers import HEADERS, at
from courier.web.admin.listing import Table, find, number, parse_query
from courier.web.answer import Answer
from courier.web.errors import HttpError
from courier.web.site import Site

EVENTS = 50
LARGEST_EVENTS = 200
EVENT_BYTES = 256 * 1024
"""What the latest events of an opened channel may take in one answer, the newest at any rate."""

TABLE = Table[Channel](
    name=lambda channel: channel.name.name,
    texts=lambda channel: (channel.name.name,),
    columns={
        "channel": lambda channel: channel.name.name,
        "kind": lambda channel: channel.name.kind,
        "connections": lambda channel: len(channel.subscribers),
        "events": lambda channel: len(channel.log),
        "bytes": lambda channel: channel.log.bytes,
        "oldest_at": lambda channel: channel.log.oldest_ms or 0,
        "newest_at": lambda channel: channel.log.last_ms if len(channel.log) else 0,
        "lag": lambda channel: max(channel.lags(), default=0),
        "waiting": lambda channel: len(channel.inbox),
    },
)


async def list_channels(site: Site, given: Mapping[str, str]) -> dict[str, Any]:
    """One page of the node's channels. HttpError 400 when the query cannot be read."""
    query = parse_query(given, TABLE.columns)
    found = await find(site.node.hub.supervisor, TABLE, query)
    return {
        "channels": [_row(channel.statistics()) for channel in found.rows],
        "total": found.total,
        "limit": query.limit,
        "offset": query.offset,
    }


async def show_channel(site: Site, name: str, given: Mapping[str, str]) -> Answer:
    """One channel opened: what it is like, a page of its subscribers, and its latest events.

    With `since` only the events after it; when those are more than `events`, the newest of them, and
    `skipped` is true. HttpError 404 for a channel that this node does not have, 400 for an unreadable query.
    """
    query = parse_query(given, connections.TABLE.columns)
    limit = number(given, "events", EVENTS, least=1, most=LARGEST_EVENTS)
    since = read_position(given.get("since"))
    channel = site.node.hub.supervisor.running(site.registry.kinds.parse(name))
    if channel is None:
        raise not_running()
    subscribers = await connections.connections_of(site, channel, query)
    return Answer(200, _opened(channel, subscribers, since, limit), HEADERS)


def _opened(channel: Channel, subscribers: dict[str, Any], since: Since | None, limit: int) -> bytes:
    stretch = channel.read(since, limit)
    skipped = since is not None and (stretch.more or stretch.gap is not None)
    if skipped:
        stretch = channel.read(None, limit)
    events = _events(channel, stretch)
    facts = {
        "channel": _row(channel.statistics()),
        **subscribers,
        "position": str(stretch.head),
        "skipped": skipped or len(events) < len(stretch.records),
    }
    return b'%b,"events":[%b]}' % (json.dumps(facts, separators=(",", ":"))[:-1].encode(), b",".join(events))


def _events(channel: Channel, stretch: Stretch) -> list[bytes]:
    """The events as subscribers got them, with when they arrived; oldest first, as many as there is room."""
    events: list[bytes] = []
    room = EVENT_BYTES
    for record in reversed(stretch.records):
        event = event_json(record.position, channel.name.name, record.event)
        room -= len(event)
        if events and room < 0:
            break
        events.append(b'{"arrived_at":"%b","event":%b}' % (at(record.arrived_ms / 1000).encode(), event))
    return events[::-1]


def not_running() -> HttpError:
    """The answer about a channel that this node does not have."""
    return HttpError(404, "Channel is not running on this node")


def read_position(text: str | None) -> Since | None:
    """What `since` says; None when it is not given. HttpError 400 when it cannot be read."""
    try:
        return None if text is None else parse_since(text)
    except ValueError as error:
        raise HttpError(400, f"Unreadable since: {error}") from None


def _row(channel: ChannelStatistics) -> dict[str, Any]:
    return {
        "channel": channel.name.name,
        "kind": channel.name.kind,
        "connections": channel.subscribers,
        "position": str(channel.position),
        "events": channel.events,
        "bytes": channel.bytes,
        "oldest_at": None if channel.oldest_ms is None else at(channel.oldest_ms / 1000),
        "newest_at": None if channel.newest_ms is None else at(channel.newest_ms / 1000),
        "lag": channel.lag,
        "waiting": channel.waiting,
    }
