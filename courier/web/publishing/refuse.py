"""Refuse: the answer to a publish that is refused, counted and noted."""

import trio

from courier.logs import get_logger
from courier.schemas.errors import JsonError, SchemaError
from courier.web import notes
from courier.web.answer import Answer, answer_to
from courier.web.caller import Caller
from courier.web.errors import http_answer
from courier.web.faults import is_news, is_ours
from courier.web.publishing.judge import Known
from courier.web.site import Site

logger = get_logger(__name__)


def refusal(
    site: Site, error: Exception, headers: dict[str, str], caller: Caller, known: Known | None = None
) -> Answer:
    """The answer for a publish that is refused, with `headers` beside its own; it is counted, and a line."""
    note_failed_publish(site, error)
    count_refusal(site, error, caller.service)
    notes.refused(site, caller, error, known)
    return answer_to(error, headers)


def count_refusal(site: Site, error: Exception, service: str | None) -> None:
    """Count a publish that was refused, or one event of several."""
    metrics, status = site.node.metrics, http_answer(error).status
    metrics.publish_refused(status)
    if isinstance(error, SchemaError):
        metrics.invalid_event(error.event_type, service)
    elif isinstance(error, JsonError):
        metrics.invalid_event("", service)
    elif status == 429:
        metrics.rate_exceeded(service)


def note_failed_publish(site: Site, error: Exception) -> None:
    """Count an error that is a fault of ours, write a line of it, and let `/health` know."""
    if is_ours(error):
        site.node.failed_publishes.append(trio.current_time())
        site.node.metrics.error("publish", error)
    if is_news(error):
        logger.error("Publish failed", exc_info=error)
