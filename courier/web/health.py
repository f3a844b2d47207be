"""Health: three questions: is it well, does it turn, may it be sent traffic."""

import json
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from courier.node import Phase
from courier.web.auth import AuthError, bearer
from courier.web.publish import Answer
from courier.web.site import Site

VERSION = version("courier")


def live() -> Answer:
    """200 while the event loop turns: whoever reads it has been answered by it."""
    return _json(200, {"status": "alive"})


def ready(site: Site) -> Answer:
    """200 while the node may be sent traffic; 503 from the first moment of a drain, and without its Redis."""
    if site.node.phase is not Phase.READY:
        reason = "Node is draining"
    elif not site.node.hub.backplane.up:
        reason = "Redis cannot be reached"
    else:
        return _json(200, {"status": "ready", "ready": True})
    return _json(503, {"status": "not_ready", "ready": False, "reason": reason})


async def health(site: Site, authorization: str | None) -> Answer:
    """What the node is made of and how each part is. In production, without a token, its status only."""
    node = site.node
    up = node.hub.backplane.up
    status = "draining" if node.phase is not Phase.READY else "healthy" if up else "degraded"
    code = 200 if status == "healthy" else 503
    if site.settings.env == "production" and not await _known(site, authorization):
        return _json(code, {"status": status})
    totals = node.metrics.totals()
    return _json(
        code,
        {
            "status": status,
            "version": VERSION,
            "environment": site.settings.env,
            "uptime_seconds": round(node.uptime_seconds, 3),
            "components": {
                "backplane": {
                    "status": "healthy" if up else "down",
                    "kind": "memory" if site.settings.redis_url is None else "redis",
                }
            },
            "metrics": {
                "active_connections": node.hub.connections,
                "active_channels": len(node.hub.supervisor),
                "total_messages_sent": totals.delivered,
                "total_messages_received": totals.published,
            },
            "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        },
    )


async def _known(site: Site, authorization: str | None) -> bool:
    """Whether the caller bears a service's token."""
    try:
        await site.verifier.service(bearer(authorization))
    except AuthError:
        return False
    return True


def _json(status: int, body: dict[str, Any]) -> Answer:
    return Answer(status, json.dumps(body).encode(), {"Cache-Control": "no-store"})
