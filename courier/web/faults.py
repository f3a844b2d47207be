"""Faults: tells an error that is Courier's own fault from one that a caller has made."""

from typing import Any

from courier.actors.errors import ChannelFailed
from courier.web.errors import http_answer
from courier.web.site import Site


def is_ours(error: Exception) -> bool:
    """Whether the table of errors has no better answer than 500."""
    return http_answer(error).status == 500


def note_fault(
    site: Site, component: str, error: Exception, logger: Any, sentence: str, **facts: Any
) -> bool:
    """Count an error that is a fault of ours, and write a line of it. Returns whether there is a line: of a
    channel's crash there was one already, and an error that is not our fault has none here."""
    if not is_ours(error):
        return False
    site.node.metrics.error(component, error)
    if isinstance(error, ChannelFailed):
        return False
    logger.error(sentence, **facts, exc_info=error)
    return True
