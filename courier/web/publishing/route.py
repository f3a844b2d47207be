"""Route: how plain publishes are answered at the desk, by the same functions as on the general path."""

import re
from collections.abc import Callable
from functools import partial
from urllib.parse import unquote

from courier.serving.requests import Head
from courier.web.answer import Answer, answer_to, response
from courier.web.body import too_slow
from courier.web.caller import HEADERS, Caller
from courier.web.head import is_plain
from courier.web.paths import BATCH, PUBLISH
from courier.web.publishing.batch import BATCH_BYTES, NDJSON, publishing_batch
from courier.web.publishing.judge import media_type
from courier.web.publishing.refuse import note_failed_publish, refusal
from courier.web.publishing.single import publishing
from courier.web.request_ids import echo
from courier.web.site import Site

_PUBLISH = re.compile(rf"{PUBLISH}(?:/([A-Za-z0-9._~@:+|%-]+))?")
"""Of a channel's name, what it may have."""

_CALLER_HEADERS = [name.lower() for name in HEADERS]


class Route:
    """A `courier.serving.service.Route` for one caller and one channel, or for batches."""

    __slots__ = ("_caller", "_channel", "_echo", "_site", "max_body_bytes")

    def __init__(self, site: Site, caller: Caller, channel: str | None) -> None:
        """`channel` is as in `publish`; BATCH for batches."""
        self._site = site
        self._caller = caller
        self._channel = channel
        self._echo = echo(caller.request_id)
        limit = BATCH_BYTES if channel == BATCH else site.settings.max_event_bytes
        self.max_body_bytes = min(limit, BATCH_BYTES)

    def answer(self, body: bytes, respond: Callable[[bytes], None]) -> bytes | None:
        site, caller, channel = self._site, self._caller, self._channel
        if channel == BATCH:
            steps = publishing_batch(site, caller, body)
        else:
            steps = publishing(site, caller, channel, body)
        answer = site.walker.start(steps, partial(self._respond, respond))
        return None if answer is None else self._written(answer)

    def too_late(self) -> bytes:
        return self._written(refusal(self._site, too_slow(), {}, self._caller))

    def _respond(self, respond: Callable[[bytes], None], outcome: Answer | Exception) -> None:
        if isinstance(outcome, Exception):
            note_failed_publish(self._site, outcome)
            outcome = answer_to(outcome, {})
        respond(self._written(outcome))

    def _written(self, answer: Answer) -> bytes:
        answer.headers.update(self._echo)
        return response(answer)


def route_of(site: Site, head: Head, address: str | None) -> Route | None:
    """The route of plain publishes with such a head from a peer at `address`; None when it is no publish, or
    one that is read as it comes."""
    place = _PUBLISH.fullmatch(head.path)
    if place is None or head.method != "POST" or head.query or not is_plain(head.path.encode()):
        return None
    caller = Caller._make([*map(head.headers.get, _CALLER_HEADERS), False, address])
    return None if media_type(caller) == NDJSON else Route(site, caller, place[1] and unquote(place[1]))
