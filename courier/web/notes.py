"""Notes: the lines that are written of publishes, with what may be told of them: never a token or a payload.

A refusal is a line at info; an event is one at debug only, and whoever publishes looks at `Site.verbose`
before it calls `published`.
"""

import re
from collections.abc import Sequence
from typing import Any

from courier.backplane import KeyConflict
from courier.logs import get_logger
from courier.schemas.channels import ChannelName
from courier.schemas.events.base import Event
from courier.schemas.publish import Receipt
from courier.web.caller import Caller

logger = get_logger(__name__)


def published(caller: Caller, events: Sequence[Event], results: Sequence[Receipt | KeyConflict]) -> None:
    """Events are in the log, but for those whose idempotency key was another's."""
    for event, result in zip(events, results, strict=True):
        if isinstance(result, Receipt):
            told = caller.facts() | _of_event(event)
            told |= {"channel": result.channel, "id": result.id, "clients_reached": result.clients_reached}
            logger.debug("Event published", **told)


def refused(
    caller: Caller, status: int, sentence: str, known: tuple[ChannelName, Event] | None = None
) -> None:
    """A publish was refused; `known` is what had been read of it by then."""
    told = caller.facts()
    if known is not None:
        channel, event = known
        told |= _of_event(event) | {"channel": channel.name}
    logger.info("Publish refused", **told, status=status, reason=short(sentence))


def refused_in_part(caller: Caller, published: int, failed: int, sentence: str) -> None:
    """Some events of a batch were refused; the sentence says why of the first."""
    told = {"published": published, "failed": failed, "reason": short(sentence)}
    logger.info("Batch refused in part", **caller.facts() | told)


def short(sentence: str) -> str:
    """The sentence up to its first comma, colon or bracket, behind which it tells of this one request."""
    return re.split(r"[,;:({]", sentence, maxsplit=1)[0].strip()


def _of_event(event: Event) -> dict[str, Any]:
    told = {"event_type": event.type}
    if isinstance(event.trace_id, str):
        told["trace_id"] = event.trace_id
    return told
