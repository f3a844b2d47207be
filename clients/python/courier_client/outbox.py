"""Outbox: what waits to be published, what is under way, and what goes next. No I/O, and no clock but `now`.

Events of one channel go in order, over retries too: those behind one that has no outcome wait for it. What
fails for one channel does not keep the others waiting.

What is repeated is the same request under the same idempotency key, whole: then Courier knows which of its
events it has. Only where most of a batch has its outcome do the others go on alone, each by the key that it
had in the batch.
"""

import math
import secrets
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import count

from courier_client.answers import Failure, Result
from courier_client.backoff import Backoff
from courier_client.errors import TokenFailed
from courier_client.outgoing import BATCH_FRAME, Outgoing, Request

BATCH_EVENTS = 1000
BATCH_BYTES = 1024 * 1024
"""What Courier takes in one batch."""

KEY_SECONDS = 240.0
"""For how long an event that may be published is repeated: Courier remembers a key for five minutes."""

BACKOFF = Backoff(base_seconds=0.1, cap_seconds=5.0)


class Outbox:
    """A queue of events in, one request at a time out.

    Whoever sends a request that `take` gave says what came of it, by `answered`, `unanswered`, `failed` or
    `interrupted`. The first three return the events that have an outcome now.
    """

    def __init__(self, backoff: Backoff = BACKOFF) -> None:
        self._backoff = backoff
        self._waiting: deque[Outgoing] = deque()
        self._requests: list[Request] = []
        """Those with events left, in the order in which these came."""
        self._paused_until = -math.inf
        self._faults = 0
        """How often in a row nothing could be published at all."""
        self._fault: Failure | Exception | None = None
        """The last of them."""
        self._batch_events = BATCH_EVENTS
        self._batch_bytes = BATCH_BYTES
        self._keys = (f"{secrets.token_hex(8)}-{number}" for number in count())

    def put(self, event: Outgoing, now: float) -> None:
        """It goes with a later request; or it has its outcome at once, when Courier has asked to wait for
        longer than it has time."""
        if now < self._paused_until and self._comes_too_late(event):
            event.fault = self._fault
            event.give_up()
        else:
            self._waiting.append(event)

    def forget(self, event: Outgoing) -> None:
        """Nobody waits for it any more: it is not sent, or not again."""
        if event.request is None:
            self._waiting.remove(event)
            event.fault = event.fault or self.fault_before(event)
        event.time_out()
        if event.request is not None and not event.request.under_way:
            self._tidy(event.request)

    def fault_before(self, event: Outgoing) -> Failure | Exception | None:
        """The fault that an event which was not sent has waited behind: its channel's, or everybody's."""
        for request in self._requests:
            if event.channel in request.channels and (fault := request.left[0].fault) is not None:
                return fault
        return self._fault

    @property
    def first(self) -> Outgoing | None:
        """The event that has waited longest."""
        for request in self._requests:
            return request.left[0]
        return self._waiting[0] if self._waiting else None

    # What goes next

    def take(self, now: float) -> Request | None:
        """What is to be sent now, if anything is."""
        if now < self._paused_until:
            return None
        request = next((one for one in self._heads() if one.due <= now), None)
        if request is not None and request.unknown_since is None and len(request.left) < len(request.events):
            # Nothing of it is published, and of those who have been told so nothing may be.
            self._replace(request, [request := Request(request.left, next(self._keys), single=False)])
        elif request is None:
            events = self._fresh()
            if not events:
                return None
            # While something fails, one event is a batch too: that answer says for whom it fails.
            single = len(events) == 1 and not self._requests
            request = Request(events, next(self._keys), single=single)
            self._requests.append(request)
        request.under_way = True
        request.tries += 1
        return request

    def due_at(self) -> float:
        """When `take` may have something, if it has nothing now and nothing is put in."""
        return max(self._paused_until, min((one.due for one in self._heads()), default=-math.inf))

    def _heads(self) -> Iterator[Request]:
        """The requests that wait for no other."""
        held: set[str] = set()
        for request in self._requests:
            channels = request.channels
            if held.isdisjoint(channels):
                yield request
            held |= channels

    def _fresh(self) -> list[Outgoing]:
        """The next events for one request, except those that wait for another request of their channel."""
        held = set().union(*(request.channels for request in self._requests))
        chosen: list[Outgoing] = []
        passed: list[Outgoing] = []
        room = self._batch_bytes - sum(map(len, BATCH_FRAME))
        while self._waiting and len(chosen) < self._batch_events:
            event = self._waiting[0]
            if event.channel in held:
                passed.append(self._waiting.popleft())
                continue
            room -= event.size
            if chosen and room < 0:
                break
            chosen.append(self._waiting.popleft())
        self._waiting.extendleft(reversed(passed))
        return chosen

    # What came of it

    def answered(self, request: Request, answer: Sequence[Result] | Failure, now: float) -> list[Outgoing]:
        """There is an answer: a result for each event, or one failure for all of them."""
        request.under_way = False
        if not isinstance(answer, Failure):
            self._faults, self._fault = 0, None
            return self._settle(request, answer, now)
        many = len(request.events) > 1
        if answer.status == 413 and many and request.unknown_since is None:
            return self._shrink(request, answer)
        if answer.status == 400 and many:
            # One of them makes it unreadable: alone, it is the only one to suffer.
            self._replace(request, request.apart())
            return []
        if answer.status == 429 or (answer.passes and not request.single):
            return self._pause(request, answer, now)
        return self._settle(request, [answer] * len(request.events), now)

    def unanswered(self, request: Request, error: Exception, now: float, *, sent: bool) -> list[Outgoing]:
        """There is no answer; without `sent`, no byte has reached the server."""
        request.under_way = False
        if sent:
            request.lost_sight(now)
        return self._pause(request, error, now)

    def failed(self, request: Request, error: TokenFailed) -> list[Outgoing]:
        """It could not be sent, for want of a token."""
        request.under_way = False
        done = request.left
        for event in done:
            event.outcome = TokenFailed(str(error))
            event.outcome.__cause__ = error.__cause__
        self._tidy(request)
        return done

    def interrupted(self, request: Request, now: float) -> None:
        """Whoever sent it went away before the answer: it goes again at once, for the others."""
        request.under_way = False
        request.lost_sight(now)
        self._tidy(request)

    def _settle(self, request: Request, results: Sequence[Result], now: float) -> list[Outgoing]:
        """Give events their outcomes. Those that failed for now are left, and their channels wait with
        them."""
        done: list[Outgoing] = []
        wait = 0.0
        for event, result in zip(request.events, results, strict=True):
            if event.outcome is not None:
                continue
            if isinstance(result, Failure):
                if result.passes:
                    event.fault = result
                    wait = max(wait, result.retry_after or 0.0)
                    continue
                event.refuse(result)
            else:
                event.outcome = result
            done.append(event)
        if request.left:
            request.lost_sight(now)
            request.due = now + wait + self._backoff.seconds(request.tries - 1)
            done += self._give_up(request)
            if 0 < 2 * len(request.left) < len(request.events):
                self._replace(request, request.apart())
        self._tidy(request)
        return done

    def _pause(self, request: Request, fault: Failure | Exception, now: float) -> list[Outgoing]:
        """Nothing can be published for now, whatever it is."""
        wait = 0.0
        if isinstance(fault, Failure):
            wait = fault.retry_after or 0.0
            if fault.unknown:
                request.lost_sight(now)
        self._fault = fault
        for event in request.left:
            event.fault = fault
        self._paused_until = request.due = now + wait + self._backoff.seconds(self._faults)
        self._faults += 1
        return self._give_up(request) + self._give_up_waiting(fault)

    def _give_up_waiting(self, fault: Failure | Exception) -> list[Outgoing]:
        """The events that were not sent yet and have no time for what Courier has asked to wait."""
        late = [event for event in self._waiting if self._comes_too_late(event)]
        for event in late:
            event.fault = fault
            event.give_up()
            self._waiting.remove(event)
        return late

    def _comes_too_late(self, event: Outgoing) -> bool:
        return isinstance(self._fault, Failure) and self._paused_until >= event.deadline

    def _give_up(self, request: Request) -> list[Outgoing]:
        """The events that have no time for another try, or whose key may be forgotten by then, have their
        outcome."""
        late = request.unknown_since is not None and request.due > request.unknown_since + KEY_SECONDS
        given_up = [event for event in request.left if late or request.due >= event.deadline]
        for event in given_up:
            event.give_up()
        self._tidy(request)
        return given_up

    def _shrink(self, request: Request, failure: Failure) -> list[Outgoing]:
        """It was too large, and nothing of it is published: smaller ones take its place, now and later."""
        limit = failure.facts.get("limit")
        if isinstance(limit, int) and 0 < limit < len(request.events):
            self._batch_events = limit
        else:
            self._batch_bytes = len(request.content) // 2
        for event in reversed(request.left):
            event.request = None
            self._waiting.appendleft(event)
        self._requests.remove(request)
        return []

    def _replace(self, request: Request, others: Sequence[Request]) -> None:
        place = self._requests.index(request)
        self._requests[place : place + 1] = others

    def _tidy(self, request: Request) -> None:
        """Drop it when nothing of it is left."""
        if not request.left and request in self._requests:
            self._requests.remove(request)
