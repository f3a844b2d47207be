"""Outgoing: one event on its way. Request: the HTTP request that it is part of."""

import json
import math
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote

from courier_client.answers import Failure
from courier_client.errors import CourierError, PublishTimeout, Refused
from courier_client.receipt import Receipt

BATCH_FRAME = b'{"events":[', b"]}"
_AROUND = len(b'{"channel":,"data":},')


class Outgoing:
    """One event on its way, until it has an outcome."""

    __slots__ = ("body", "channel", "deadline", "event_type", "fault", "outcome", "request")

    def __init__(self, channel: str, event_type: str, body: bytes, deadline: float = math.inf) -> None:
        self.channel = channel
        self.event_type = event_type
        self.body = body
        self.deadline = deadline
        self.outcome: Receipt | CourierError | None = None
        self.request: Request | None = None
        """What it was sent with, unless that is known not to have been published."""
        self.fault: Failure | Exception | None = None
        """What came of its last try, or of the one that it waits behind."""

    @property
    def size(self) -> int:
        """Bytes that it takes in a batch."""
        return len(self.body) + len(_quoted(self.channel)) + _AROUND

    @property
    def unknown(self) -> bool:
        """Whether it was sent and nobody has said what became of it."""
        return self.request is not None and (self.request.under_way or self.request.unknown_since is not None)

    def refuse(self, failure: Failure) -> None:
        """This failure is its outcome."""
        self.outcome = self._error(failure)

    def give_up(self) -> None:
        """There is no time for another try: its outcome is what was answered last, if anything was."""
        if isinstance(self.fault, Failure):
            self.refuse(self.fault)
        else:
            self.time_out()

    def time_out(self, why: str = "") -> None:
        """Its time is up, and so says its outcome, with what it waited for."""
        fault = self._error(self.fault) if isinstance(self.fault, Failure) else self.fault
        self.outcome = PublishTimeout(
            f"{self.event_type} to {self.channel} has no receipt in time; "
            + ("it may be published all the same" if self.unknown else "it is not published")
            + why
            + ("" if fault is None else f"; the last try: {_told(fault)}"),
            channel=self.channel,
            event_type=self.event_type,
            unknown=self.unknown,
        )
        self.outcome.__cause__ = fault

    def _error(self, failure: Failure) -> Refused:
        unknown = self.unknown or (self.request is not None and failure.unknown)
        return failure.error_for(self.channel, self.event_type, unknown=unknown)


def _told(error: BaseException) -> str:
    """The sentence of an error; of its cause, where it has none of its own, as httpx's on Trio."""
    told: BaseException | None = error
    while told is not None and not str(told):
        told = told.__cause__ or told.__context__
    return str(told) if told is not None else type(error).__name__


class Request:
    """One HTTP request: an event alone, or a batch. What it holds stays the same over its tries."""

    __slots__ = ("content", "due", "events", "key", "path", "single", "tries", "under_way", "unknown_since")

    def __init__(self, events: Sequence[Outgoing], key: str, *, single: bool) -> None:
        self.events = events
        self.key = key
        self.single = single
        if single:
            self.path, self.content = f"/publish/{quote(events[0].channel, safe='')}", events[0].body
        else:
            items = [b'{"channel":%b,"data":%b}' % (_quoted(one.channel), one.body) for one in events]
            self.path, self.content = "/publish/batch", b",".join(items).join(BATCH_FRAME)
        self.tries = 0
        self.due = -math.inf
        self.under_way = False
        self.unknown_since: float | None = None
        """When a try first ended without word of what became of its events."""
        for event in events:
            event.request = self

    @property
    def left(self) -> list[Outgoing]:
        """The events without an outcome."""
        return [event for event in self.events if event.outcome is None]

    @property
    def channels(self) -> set[str]:
        """Those that wait for this request."""
        return {event.channel for event in self.left}

    def lost_sight(self, now: float) -> None:
        """A try ended without word of what became of the events."""
        if self.unknown_since is None:
            self.unknown_since = now

    def apart(self) -> "list[Request]":
        """What is left, each event as a request of its own, by the key that it has in the batch."""
        requests = []
        for place, event in enumerate(self.events):
            if event.outcome is None:
                alone = Request([event], f"{self.key}/{place}", single=True)
                alone.tries, alone.due, alone.unknown_since = self.tries, self.due, self.unknown_since
                requests.append(alone)
        return requests


@lru_cache(maxsize=1024)
def _quoted(text: str) -> bytes:
    return json.dumps(text).encode()
