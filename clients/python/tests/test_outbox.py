"""The outbox alone: no server, no clock."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
from courier_client.answers import Failure, Result
from courier_client.backoff import Backoff
from courier_client.errors import PublishError, PublishTimeout, RateLimited, Unavailable
from courier_client.outbox import BATCH_BYTES, BATCH_EVENTS, KEY_SECONDS, Outbox
from courier_client.outgoing import Outgoing, Request
from courier_client.receipt import Receipt
from fakes import receipt
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

AT_ONCE = Backoff(base_seconds=0, cap_seconds=0)
RECEIPT = Receipt.of(receipt({"type": "t"}))
AWAY = Failure(503, "away")


def outbox_of(*events: Outgoing, backoff: Backoff = AT_ONCE) -> Outbox:
    outbox = Outbox(backoff)
    for event in events:
        outbox.put(event, 0)
    return outbox


def outgoing(title: str = "t", channel: str = "global", deadline: float = math.inf) -> Outgoing:
    return Outgoing(channel, "system.announcement", title.encode(), deadline)


def taken(outbox: Outbox, now: float = 0) -> Request:
    request = outbox.take(now)
    assert request is not None
    return request


def test_full_jitter_is_between_nothing_and_a_limit_that_doubles_up_to_a_cap() -> None:
    most = Backoff(base_seconds=0.5, cap_seconds=5, random=lambda: 1.0)
    assert [most.seconds(attempt) for attempt in range(6)] == [0.5, 1, 2, 4, 5, 5]
    assert most.seconds(10_000) == 5
    assert Backoff(0.5, 5, random=lambda: 0.25).seconds(2) == 0.5
    drawn = [Backoff(1, 1).seconds(0) for _ in range(100)]
    assert all(0 <= one <= 1 for one in drawn)
    assert len(set(drawn)) > 90


def test_one_event_goes_alone_and_several_go_as_a_batch() -> None:
    outbox = outbox_of(outgoing("1"))
    alone = taken(outbox)
    assert (alone.path, alone.content) == ("/publish/global", b"1")
    outbox.answered(alone, [RECEIPT], 0)
    outbox.put(outgoing("2"), 0)
    outbox.put(outgoing("3", "user.u1"), 0)
    batch = taken(outbox)
    assert batch.path == "/publish/batch"
    assert batch.content == b'{"events":[{"channel":"global","data":2},{"channel":"user.u1","data":3}]}'
    assert batch.key != alone.key


def test_a_channels_name_cannot_leave_its_place_in_path_or_batch() -> None:
    odd = 'a/b?"'
    assert taken(outbox_of(outgoing("1", odd))).path == "/publish/a%2Fb%3F%22"
    batch = taken(outbox_of(outgoing("1", odd), outgoing("2")))
    assert batch.content.startswith(b'{"events":[{"channel":"a/b?\\"","data":1}')


def test_a_batch_has_as_many_events_and_bytes_as_the_node_takes() -> None:
    many = taken(outbox_of(*(outgoing(str(number)) for number in range(BATCH_EVENTS + 1))))
    assert len(many.events) == BATCH_EVENTS
    large = taken(outbox_of(*(outgoing("x" * 1000) for _ in range(2000))))
    assert len(large.events) == BATCH_EVENTS
    wide = taken(outbox_of(*(outgoing("x" * 2000) for _ in range(2000))))
    assert BATCH_BYTES - 2100 < len(wide.content) <= BATCH_BYTES
    huge = taken(outbox_of(outgoing("x" * 2 * BATCH_BYTES), outgoing("1")))
    assert len(huge.events) == 1


def test_while_something_fails_one_event_is_sent_as_a_batch_whose_answer_tells_for_whom() -> None:
    outbox = outbox_of(outgoing("1", "backtest.a"), backoff=Backoff(10, 10, random=lambda: 1.0))
    outbox.answered(taken(outbox), AWAY, 0)
    outbox.put(outgoing("2", "backtest.b"), 0)
    second = taken(outbox)
    assert second.path == "/publish/batch"
    outbox.answered(second, AWAY, 0)  # for all: nothing is sent until the pause is over
    outbox.put(outgoing("3", "backtest.c"), 0)
    assert outbox.take(9.9) is None
    assert outbox.due_at() == 10
    assert outbox.take(10) is not None


def test_what_waits_for_another_request_of_its_channel_says_when_it_may_go() -> None:
    outbox = outbox_of(outgoing("1"), backoff=Backoff(2, 2, random=lambda: 1.0))
    outbox.answered(taken(outbox), AWAY, 0)
    outbox.put(outgoing("2"), 0)
    assert outbox.take(0) is None
    assert outbox.due_at() == 2
    assert taken(outbox, 2).content == b"1"


def test_events_of_a_channel_that_go_on_alone_wait_for_each_other() -> None:
    events = [outgoing(str(number), "backtest.a" if number < 2 else "global") for number in range(6)]
    outbox = outbox_of(*events, backoff=Backoff(1, 1, random=lambda: 1.0))
    outbox.answered(taken(outbox), [AWAY, AWAY, RECEIPT, RECEIPT, RECEIPT, RECEIPT], 0)
    first = taken(outbox, 1)
    assert first.events == events[:1]
    outbox.answered(first, AWAY, 1)
    assert outbox.take(1) is None
    assert outbox.due_at() == 2
    outbox.answered(taken(outbox, 2), [RECEIPT], 2)
    assert taken(outbox, 2).events == events[1:2]


def test_an_event_that_may_be_published_is_not_repeated_once_its_key_may_be_forgotten() -> None:
    event = outgoing()
    outbox = outbox_of(event)
    now = 0.0
    while event.outcome is None:
        outbox.unanswered(taken(outbox, now), OSError("reset"), now, sent=True)
        now += 10
    assert isinstance(event.outcome, PublishTimeout)
    assert event.outcome.unknown
    assert KEY_SECONDS < now <= KEY_SECONDS + 20


def test_an_event_that_never_reached_the_server_is_tried_for_as_long_as_it_has_time() -> None:
    event = outgoing(deadline=1000)
    outbox = outbox_of(event)
    for now in range(0, 1000, 10):
        outbox.unanswered(taken(outbox, now), OSError("refused"), now, sent=False)
        assert event.outcome is None
    outbox.unanswered(taken(outbox, 1000), OSError("refused"), 1000, sent=False)
    assert isinstance(event.outcome, PublishTimeout)
    assert not event.outcome.unknown


def test_who_was_told_that_an_event_is_not_published_can_rely_on_it() -> None:
    short, long = outgoing("1", deadline=5), outgoing("2")
    outbox = outbox_of(short, long)
    outbox.answered(taken(outbox), Failure(429, "slow down", retry_after=10), 0)
    assert isinstance(short.outcome, RateLimited)
    assert not short.outcome.unknown
    again = taken(outbox, 10)
    assert again.events == [long]


def test_an_event_that_nobody_waits_for_any_more_is_not_sent() -> None:
    gone, kept = outgoing("1"), outgoing("2")
    outbox = outbox_of(gone, kept)
    outbox.forget(gone)
    assert taken(outbox).events == [kept]
    assert outbox.first is kept
    assert kept.request is not None
    outbox.interrupted(kept.request, 0)
    outbox.forget(kept)
    assert outbox.take(0) is None
    assert {outbox.first} == {None}


class Log:
    """A server's log, and the keys that it has seen."""

    def __init__(self) -> None:
        self.published: list[bytes] = []
        self._receipts: dict[tuple[str, str], int] = {}

    def publish(self, request: Request, place: int, event: Outgoing) -> Result:
        if event.body.endswith(INVALID.encode()):
            return Failure(400, "invalid")
        key = request.key if request.single else f"{request.key}/{place}"
        number = self._receipts.get((event.channel, key))
        repeated = number is not None
        if number is None:
            self.published.append(event.body)
            number = self._receipts[event.channel, key] = len(self.published)
        return Receipt.of(
            receipt({"type": "t"}, number) | {"channel": event.channel, "deduplicated": repeated}
        )


INVALID = "!"
WHOLE = ["ok", "part", "cut before", "cut after", "refused connection", 429, 413, 400, 503, "gone"]


@settings(max_examples=100, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.data())
def test_whatever_fails_each_event_is_published_once_and_in_order_or_its_error_is_true(
    data: st.DataObject,
) -> None:
    drawn = Backoff(1, 1, random=lambda: data.draw(st.sampled_from([0.0, 0.5, 1.0])))
    outbox, log, now = Outbox(drawn), Log(), 0.0
    events: list[Outgoing] = []
    for _ in range(data.draw(st.integers(1, 30))):
        for channel in data.draw(st.lists(st.sampled_from("aabc"), max_size=8)):
            deadline = now + data.draw(st.sampled_from([1.0, 5.0, math.inf]))
            events.append(Outgoing(channel, "t", f"{channel}{len(events):04}".encode(), deadline))
            outbox.put(events[-1], now)
        if (request := outbox.take(now)) is not None:
            serve(outbox, request, log, data, now)
        now += data.draw(st.sampled_from([0.0, 0.5, 2.0]))
        for event in events:
            if event.outcome is None and event.deadline <= now and data.draw(st.booleans()):
                outbox.forget(event)
    now += 10  # no pause lasts longer
    while (request := outbox.take(now)) is not None:
        outbox.answered(
            request, [log.publish(request, place, event) for place, event in enumerate(request.events)], now
        )
    assert outbox.first is None
    assert len(set(log.published)) == len(log.published), "published twice"
    for event in events:
        match event.outcome:
            case Receipt(position=position):
                assert log.published[int(position[9:]) - 1] == event.body
            case PublishError(unknown=unknown):
                assert unknown or event.body not in log.published, "said not to be published, and is"
            case _:
                raise AssertionError("an event without an outcome")
    receipts = [event.body for event in events if isinstance(event.outcome, Receipt)]
    for letter in b"abc":
        mine = [body for body in log.published if body[0] == letter and body in receipts]
        assert mine == sorted(mine), "out of order"


def serve(outbox: Outbox, request: Request, log: Log, data: st.DataObject, now: float) -> None:
    """The server does, or does not do, what was asked, and answers one thing or another or nothing."""

    def results(fail: float) -> Sequence[Result]:
        """As a node does it: what fails for a channel fails for all that the batch has of it."""
        drawn: dict[str, str] = {}
        told: list[Result] = []
        for place, event in enumerate(request.events):
            how = drawn.setdefault(
                event.channel, data.draw(st.sampled_from(["ok", "503", "late 503"])) if fail else "ok"
            )
            done = AWAY if how == "503" else log.publish(request, place, event)
            told.append(done if how == "ok" or done == Failure(400, "invalid") else AWAY)
        return told

    what: Any = data.draw(st.sampled_from(WHOLE))
    match what:
        case "ok":
            outbox.answered(request, results(0), now)
        case "part":
            outbox.answered(request, results(1), now)
        case "cut before":
            outbox.unanswered(request, OSError(), now, sent=True)
        case "cut after":
            results(0)
            outbox.unanswered(request, OSError(), now, sent=True)
        case "refused connection":
            outbox.unanswered(request, OSError(), now, sent=False)
        case "gone":
            results(0)
            outbox.interrupted(request, now)
        case 400 if request.single or not any(INVALID.encode() in one.body for one in request.events):
            outbox.answered(request, results(0), now)
        case int(status):
            wait = float(data.draw(st.sampled_from([0, 2])))
            outbox.answered(request, Failure(status, "no", retry_after=wait), now)


@pytest.mark.parametrize("status", [401, 403, 404, 415])
def test_a_refusal_of_the_whole_batch_is_each_events_own(status: int) -> None:
    events = [outgoing("1"), outgoing("2")]
    outbox = outbox_of(*events)
    assert outbox.answered(taken(outbox), Failure(status, "no"), 0) == events
    errors = [event.outcome for event in events]
    assert len({id(error) for error in errors}) == 2
    assert all(isinstance(error, PublishError) and not error.unknown for error in errors)


def test_an_event_that_waits_behind_a_fault_of_its_channel_says_so() -> None:
    first, second = outgoing("1"), outgoing("2")
    outbox = outbox_of(first)
    request = taken(outbox)
    outbox.put(second, 0)
    outbox.answered(request, [AWAY], 0)
    outbox.forget(second)
    assert isinstance(second.outcome, PublishTimeout)
    assert "it is not published; the last try: 503 away" in str(second.outcome)
    assert isinstance(second.outcome.__cause__, Unavailable)
    assert not second.outcome.__cause__.unknown


def test_events_without_time_for_what_courier_asks_to_wait_are_refused_and_others_wait() -> None:
    limit = Failure(429, "Rate limit exceeded", {"limit": 100}, 60.0)
    sent, patient, hasty = outgoing("1", deadline=30), outgoing("2", deadline=90), outgoing("3", deadline=30)
    outbox = outbox_of(sent)
    request = taken(outbox)
    outbox.put(patient, 0)
    outbox.put(hasty, 0)
    assert outbox.answered(request, limit, 0) == [sent, hasty]
    late, in_time = outgoing("4", deadline=59), outgoing("5", deadline=61)
    outbox.put(late, 20)
    outbox.put(in_time, 20)
    for event in (sent, hasty, late):
        assert isinstance(event.outcome, RateLimited)
        assert "limit 100" in str(event.outcome)
        assert not event.outcome.unknown
    assert outbox.take(59) is None
    assert taken(outbox, 60).events == [patient, in_time]


def test_an_event_that_no_server_answered_in_its_time_keeps_waiting_until_then() -> None:
    hasty = outgoing("2", deadline=3)
    outbox = outbox_of(outgoing("1"), backoff=Backoff(5, 5, random=lambda: 1.0))
    outbox.unanswered(taken(outbox), OSError("no route"), 0, sent=False)
    outbox.put(hasty, 0)
    assert hasty.outcome is None
    outbox.forget(hasty)
    assert "it is not published; the last try: no route" in str(hasty.outcome)
