"""Admission: from a subscriber's token to the proof that it may read a channel, for all that read."""

from functools import partial
from typing import Any

import trio

from courier.backplane.steps import Steps
from courier.logs import get_logger
from courier.schemas.closing import CloseReason
from courier.web import notes
from courier.web.access import Access
from courier.web.auth import Identity
from courier.web.errors import close_reason
from courier.web.faults import is_news, is_ours
from courier.web.site import Site

logger = get_logger(__name__)


def admit(site: Site, token: str | None, channel: str, known: dict[str, str]) -> Steps[Access]:
    """Judge a token, then the channel's name, then whether the one may read the other.

    `known` gets what a line may give of it, as soon as it is found. Raises AuthError, ChannelError,
    AccessRefused or AccessUnknown.
    """
    identity = yield from verify(site, token)
    known["user_id"] = identity.claims.user_id
    name = site.registry.kinds.parse(channel)
    known["channel"] = name.name
    access = yield from site.rules.admit(identity, name)
    site.revoking.check_subscriber(identity)  # again: it may have been revoked while somebody was asked
    return access


def verify(site: Site, token: str | None) -> Steps[Identity]:
    """Who a subscriber's token says it is; raises AuthError, or BackplaneAway when it is not known what was
    revoked. It waits only for a key that must be fetched."""
    try:
        identity = site.verifier.subscriber_nowait(token)
    except trio.WouldBlock:
        identity = yield partial(site.verifier.subscriber, token)
    site.revoking.check_subscriber(identity)
    return identity


def refused(site: Site, error: Exception, address: str | None, told: dict[str, Any]) -> CloseReason:
    """How a join, or one subscription, that raised this ends. It is counted, and a line."""
    reason = close_reason(error)
    if is_ours(error):
        site.node.metrics.error("join", error)
    if is_news(error):
        logger.error("Join failed", **told, exc_info=error)
    else:
        notes.join_refused(site, reason, error, address, told)
    site.node.metrics.join_refused(reason)
    return reason
