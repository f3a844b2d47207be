"""Health: three questions: is it well, does it turn, may it be sent traffic."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import trio

from courier.actors.supervisor import Supervisor
from courier.backplane import Backplane
from courier.node import Phase
from courier.version import VERSION
from courier.web.answer import Answer
from courier.web.auth import AuthError, KeySet, bearer, bears
from courier.web.site import Site

LATE_SECONDS = 0.5
"""An event loop that wakes a task later than that keeps everybody waiting."""

LATELY_SECONDS = 60.0
"""For how long a channel's crash, or a publish that failed, makes the node degraded."""

SWEEP_SECONDS = 10.0
"""Without a sweep for so long, which comes once a second, no channel is looked after."""


def live() -> Answer:
    """200 while the event loop turns: the answer itself is the proof."""
    return _json(200, {"status": "alive"})


def ready(site: Site) -> Answer:
    """200 while the node may be sent traffic; 503 from the first moment of a drain, and while it cannot use
    its Redis."""
    if site.node.phase is not Phase.READY:
        reason = "Node is draining"
    elif (trouble := site.node.hub.backplane.trouble) is not None:
        reason = trouble
    else:
        return _json(200, {"status": "ready", "ready": True})
    return _json(503, {"status": "not_ready", "ready": False, "reason": reason})


async def health(site: Site, authorization: str | None) -> Answer:
    """What the node is made of and how each part is. In production, without a token, its status only."""
    node = site.node
    parts = components(site)
    well = all(part["status"] == "healthy" for part in parts.values())
    status = "draining" if node.phase is not Phase.READY else "healthy" if well else "degraded"
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
            "components": parts,
            "metrics": {
                "active_connections": node.hub.connections,
                "active_channels": len(node.hub.supervisor),
                "total_messages_sent": totals.delivered,
                "total_messages_received": totals.published,
            },
            "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        },
    )


def components(site: Site) -> dict[str, dict[str, Any]]:
    """Each part, with its `status` and what that was judged by."""
    node, now = site.node, trio.current_time()
    found = {
        "event_loop": _event_loop(node.pulse.worst_seconds(now)),
        "backplane": _backplane(node.hub.backplane, site.settings.backplane),
        "supervisor": _supervisor(node.hub.supervisor, now),
        "publishing": _publishing(node.failed_publishes, now),
    }
    keys = site.verifier.key_set
    if keys is not None:
        found["verifier_keys"] = _verifier_keys(keys)
        node.hub.supervisor.spawn(keys.look)  # for the next who asks: this one does not wait for others
    return found


def _event_loop(late_seconds: float) -> dict[str, Any]:
    status = "healthy" if late_seconds < LATE_SECONDS else "degraded"
    return {"status": status, "lag_ms": round(late_seconds * 1000, 1)}


def _backplane(backplane: Backplane, kind: str) -> dict[str, Any]:
    if backplane.trouble is None:
        return {"status": "healthy", "kind": kind}
    return {"status": "down", "kind": kind, "reason": backplane.trouble}


def _supervisor(supervisor: Supervisor, now: float) -> dict[str, Any]:
    lately = [crash for crash in supervisor.crashes if now - crash.at < LATELY_SECONDS]
    sweeps = now - supervisor.swept_at < SWEEP_SECONDS
    return {
        "status": "healthy" if sweeps and not lately else "degraded",
        "sweeps": sweeps,
        "crashes": len(lately),
        "given_up": sum(crash.given_up for crash in lately),
    }


def _publishing(failures: Iterable[float], now: float) -> dict[str, Any]:
    failed = sum(now - at < LATELY_SECONDS for at in failures)
    return {"status": "degraded" if failed else "healthy", "failed": failed}


def _verifier_keys(keys: KeySet) -> dict[str, Any]:
    age = keys.age_seconds
    return {
        "status": "healthy" if keys.could_be_had else "degraded",
        "keys": len(keys),
        "age_seconds": None if age is None else round(age, 1),
    }


async def _known(site: Site, authorization: str | None) -> bool:
    """Whether the caller has the admin token, or a service's."""
    if bears(authorization, site.settings.admin_token):
        return True
    try:
        await site.verifier.service(bearer(authorization))
    except AuthError:
        return False
    return True


def _json(status: int, body: dict[str, Any]) -> Answer:
    return Answer(status, json.dumps(body).encode(), {"Cache-Control": "no-store"})
