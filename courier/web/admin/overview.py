"""Overview: the node as a whole, now and in its last fifteen minutes."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from heapq import nlargest
from typing import Any

import trio

from courier.metrics.disk import Disk
from courier.timeline import Sample
from courier.version import VERSION
from courier.web.admin.answers import HEADERS
from courier.web.admin.listing import number
from courier.web.answer import Answer
from courier.web.site import Site

CHANNELS_TOLD = 1000
"""Of how many channels `/stats` tells the subscribers: those with the most."""

CHANNELS_A_TURN = 500

LATEST = 2**53


def overview(site: Site, given: Mapping[str, str]) -> dict[str, Any]:
    """What the node is like, and its samples, those after the sample of `since` (its `at`) when that is
    given. HttpError 400 when it cannot be read."""
    since = number(given, "since", 0, least=0, most=LATEST)
    node, settings = site.node, site.settings
    hub = node.hub
    return {
        "node": {
            "version": VERSION,
            "environment": settings.env,
            "phase": node.phase,
            "uptime_seconds": round(node.uptime_seconds, 3),
            "backplane": settings.backplane,
            "backplane_up": hub.backplane.trouble is None,
            "connections": hub.connections,
            "max_connections": settings.max_connections,
            "channels": len(hub.supervisor),
            "log_bytes": hub.supervisor.budget.used_bytes,
            "history_bytes": settings.history_bytes,
            "disk": _disk(node.metrics.disk),
            "refusals": site.refusals.total,
            "signs_in": settings.admin_token is not None,
        },
        "totals": {
            name: value for name, value in asdict(node.metrics.totals()).items() if isinstance(value, int)
        },
        "samples": {
            "columns": Sample._fields,
            "rows": [sample for sample in tuple(node.timeline.samples) if sample.at > since],
        },
    }


async def stats(site: Site) -> Answer:
    """The totals, and how many subscribers each channel has."""
    hub, totals = site.node.hub, site.node.metrics.totals()
    facts = {
        "total_connections": hub.connections,
        "active_channels": len(hub.supervisor),
        "total_messages_sent": totals.delivered,
        "total_messages_received": totals.published,
        "uptime_seconds": round(site.node.uptime_seconds, 3),
    }
    channels: list[tuple[int, str]] = []
    for count, channel in enumerate(hub.supervisor, start=1):
        channels.append((len(channel.subscribers), channel.name.name))
        if count % CHANNELS_A_TURN == 0:
            await trio.lowlevel.checkpoint()
    if len(channels) > CHANNELS_TOLD:
        channels = nlargest(CHANNELS_TOLD, channels)
    told = ",".join(f'"{name}":{subscribers}' for subscribers, name in channels)
    return Answer(200, f'{json.dumps(facts)[:-1]},"channels":{{{told}}}}}'.encode(), HEADERS)


def _disk(disk: Disk | None) -> dict[str, Any] | None:
    if disk is None:
        return None
    return {
        "bytes": disk.bytes,
        "limit_bytes": disk.limit_bytes,
        "commit_ms": round(disk.last_seconds * 1000, 3),
    }
