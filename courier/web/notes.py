"""Notes: the lines that are written of publishes, with what may stand in a log: never a token or a payload.

A refusal is a line at info; an event is one at debug only, and the publish path looks at `Site.verbose`
before it calls `published`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from courier.backplane import KeyConflict
from courier.logs import get_logger
from courier.schemas.channels import ChannelName
from courier.schemas.closing import CloseReason
from courier.schemas.errors import SchemaError
from courier.schemas.events.base import Event
from courier.schemas.publish import Receipt
from courier.web.caller import Caller
from courier.web.errors import cause_of, http_answer, short

if TYPE_CHECKING:
    from courier.web.site import Site

logger = get_logger(__name__)


def published(caller: Caller, events: Sequence[Event], results: Sequence[Receipt | KeyConflict]) -> None:
    """Events are in the log, but for those whose idempotency key was another's."""
    for event, result in zip(events, results, strict=True):
        if isinstance(result, Receipt):
            told = caller.facts() | _of_event(event)
            told |= {"channel": result.channel, "id": result.id, "clients_reached": result.clients_reached}
            logger.debug("Event published", **told)


def refused(
    site: "Site", caller: Caller, error: Exception, known: tuple[ChannelName, Event] | None = None
) -> None:
    """A publish was refused; `known` is what had been read of it by then."""
    answer, cause = http_answer(error), cause_of(error)
    told = caller.facts() | _of_refused(error)
    if known is not None:
        channel, event = known
        told |= _of_event(event) | {"channel": channel.name}
    site.refusals.note("publish", answer.status, answer.error, cause, caller.address, told)
    logger.info("Publish refused", **told, status=answer.status, reason=short(answer.error), **_caused(cause))


def refused_in_part(site: "Site", caller: Caller, published: int, failed: int, first: Exception) -> None:
    """Some events of a batch were refused, and why the first one was."""
    answer, cause = http_answer(first), cause_of(first)
    told = caller.facts() | _of_refused(first)
    whole = f"{failed} of {published + failed} events, the first one: {cause or answer.error}"
    site.refusals.note("batch", answer.status, answer.error, whole, caller.address, told)
    counts = {"published": published, "failed": failed, "reason": short(answer.error)}
    logger.info("Batch refused in part", **told, **counts, **_caused(cause))


def join_refused(
    site: "Site", reason: CloseReason, error: Exception, address: str | None, told: dict[str, Any]
) -> None:
    """A join was refused with that close."""
    cause = cause_of(error)
    site.refusals.note("join", reason.code, reason.reason, cause, address, told)
    logger.info("Join refused", **told, code=reason.code, reason=reason.reason, **_caused(cause))


def refresh_refused(
    site: "Site", reason: CloseReason, error: Exception, address: str | None, told: dict[str, Any]
) -> None:
    """A subscriber's new token was refused; the close is what a join with it would have got."""
    cause = cause_of(error)
    site.refusals.note("refresh", reason.code, reason.reason, cause, address, told)
    logger.info("Refresh refused", **told, code=reason.code, reason=reason.reason, **_caused(cause))


def history_refused(site: "Site", error: Exception, address: str | None, told: dict[str, Any]) -> None:
    """A request for history was refused."""
    answer, cause = http_answer(error), cause_of(error)
    site.refusals.note("history", answer.status, answer.error, cause, address, told)
    logger.info("History refused", **told, status=answer.status, reason=short(answer.error), **_caused(cause))


def stream_refused(site: "Site", error: Exception, address: str | None, told: dict[str, Any]) -> None:
    """A request for an event stream was refused."""
    answer, cause = http_answer(error), cause_of(error)
    site.refusals.note("events", answer.status, answer.error, cause, address, told)
    logger.info(
        "Event stream refused", **told, status=answer.status, reason=short(answer.error), **_caused(cause)
    )


def _caused(cause: str) -> dict[str, str]:
    return {"cause": cause} if cause else {}


def _of_refused(error: Exception) -> dict[str, Any]:
    """What was read of an event that is none."""
    if not isinstance(error, SchemaError):
        return {}
    told = {"channel": error.channel, "event_type": error.event_type, "fields": error.fields}
    return {name: fact for name, fact in told.items() if fact}


def _of_event(event: Event) -> dict[str, Any]:
    told = {"event_type": event.type}
    if isinstance(event.trace_id, str):
        told["trace_id"] = event.trace_id
    return told
