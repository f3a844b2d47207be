"""Reading: what is read over HTTP at the desk."""

from collections.abc import Callable
from functools import partial
from urllib.parse import unquote

from courier.backplane.steps import Steps
from courier.logs import get_logger
from courier.serving.peer import Exchange
from courier.serving.requests import Head
from courier.web.answer import answer_to
from courier.web.events.serve import are_events, open_stream
from courier.web.exchange import Asked
from courier.web.exchange.desk import AtDesk
from courier.web.head import is_plain, repeated_parameters
from courier.web.history.serve import is_of_history, poll_history, waits
from courier.web.site import Site

logger = get_logger(__name__)

_Answer = Callable[[Site, Asked, AtDesk], Steps[None]]


def read_at_desk(site: Site, head: Head, exchange: Exchange) -> bool:
    """Take a plain request for an event stream, or one for history that may wait; False when it is for the
    general path."""
    path = unquote(head.path)
    answer: _Answer
    if are_events(path):
        answer = open_stream
    elif is_of_history(path) and waits(head.query):
        answer = poll_history
    else:
        return False
    if not is_plain(head.path.encode()) or repeated_parameters(head.query.encode()):
        return False  # where it is refused
    asked = Asked.of(path, head.query, head.headers.get)
    held = AtDesk(exchange)
    site.walker.start(answer(site, asked, held), partial(_answered, site, held))
    return True


def _answered(site: Site, exchange: AtDesk, outcome: Exception | None) -> None:
    """A request that had to wait has its answer; it raised only if the fault is ours."""
    if outcome is not None:
        site.node.metrics.error("connection", outcome)
        logger.error("Connection failed", exc_info=outcome)
        exchange.answer(answer_to(outcome, {}))
