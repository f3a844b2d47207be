"""Closing: what each close code of Courier's means for who was closed."""

from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple


class ComeBack(StrEnum):
    """What a subscription does next, in the words of Courier's table of close codes."""

    YES = "yes"
    WITH_SINCE = "yes, with since"
    AT_THE_SLOT = "yes, at the slot, with since"
    BACKING_OFF = "yes, backing off"
    WITH_NEW_TOKEN = "with a new token"  # noqa: S105
    NO = "no"


CLOSE_REASONS = MappingProxyType(
    {
        (1000, "Unsubscribed"): ComeBack.NO,
        (1001, "Server shutting down for maintenance"): ComeBack.AT_THE_SLOT,
        (1008, "Authentication token required"): ComeBack.WITH_NEW_TOKEN,
        (1008, "Invalid token"): ComeBack.WITH_NEW_TOKEN,
        (1008, "Token expired"): ComeBack.WITH_NEW_TOKEN,
        (1008, "Token revoked"): ComeBack.WITH_NEW_TOKEN,
        (1008, "Unauthorized access to channel"): ComeBack.NO,
        (1008, "Unknown channel"): ComeBack.NO,
        (1008, "Subprotocol required"): ComeBack.NO,
        (1008, "Origin not allowed"): ComeBack.NO,
        (1008, "Unreadable since"): ComeBack.NO,
        (1009, "Message too big"): ComeBack.YES,
        (1011, "Channel failed"): ComeBack.WITH_SINCE,
        (1013, "Try again later"): ComeBack.BACKING_OFF,
        (4008, "Too slow"): ComeBack.WITH_SINCE,
        (4009, "No heartbeat"): ComeBack.YES,
        (4010, "Already subscribed"): ComeBack.NO,
        (4011, "Too many channels"): ComeBack.NO,
        (4012, "Unreadable message"): ComeBack.NO,
    }
)


class Closed(NamedTuple):
    """How a WebSocket ended: code and reason, as in RFC 6455 section 7.4.1."""

    code: int
    reason: str


NORMAL, PROTOCOL_ERROR, POLICY_VIOLATION = 1000, 1002, 1008
ABNORMAL = Closed(1006, "")
"""The connection ended without a word."""
TOO_LARGE = Closed(1009, "An event is larger than a subscription takes")
"""Of this side's own."""


def what_next(closed: Closed) -> ComeBack:
    """What follows from a close.

    One that is not in the table comes from the protocol or from the network, so one comes back; but not when
    it speaks of a policy, or of an event that is too large for this side or a proxy, which would come again.
    """
    lasts = closed.code in (POLICY_VIOLATION, TOO_LARGE.code)
    return CLOSE_REASONS.get(closed, ComeBack.NO if lasts else ComeBack.BACKING_OFF)


def what_next_over_http(status: int) -> ComeBack:
    """What follows when a join is answered by an HTTP status, as a proxy does in Courier's absence."""
    if status == 401:
        return ComeBack.WITH_NEW_TOKEN
    passes = status >= 500 or status in (408, 425, 429)
    return ComeBack.BACKING_OFF if passes else ComeBack.NO
