"""Faults: tells an error that is Courier's own fault from one that a caller has made."""

from courier.actors.errors import ChannelFailed
from courier.schemas.closing import CloseReason
from courier.web.errors import close_reason, http_answer


def is_ours(error: Exception) -> bool:
    """Whether it is a fault of ours, to be counted: the tables know no better answer than 500 and 1011."""
    return http_answer(error).status == 500 and close_reason(error) is CloseReason.CHANNEL_FAILED


def is_news(error: Exception) -> bool:
    """Whether it is a fault of ours of which there is no line yet: a channel's crash has one already."""
    return is_ours(error) and not isinstance(error, ChannelFailed)
