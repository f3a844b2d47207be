"""The window is exact for everyone, and no flood of names makes it forget or grow."""

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from courier.web.rate_limit import RateLimiter, Verdict

LIMIT, WINDOW = 5, 10


def test_the_limit_is_admitted_and_the_next_event_is_not() -> None:
    limiter = RateLimiter(LIMIT, WINDOW)
    verdicts = [limiter.admit("prophet", 1, now=100.0) for _ in range(6)]
    assert [verdict.admitted for verdict in verdicts] == [True] * 5 + [False]
    assert [verdict.remaining for verdict in verdicts] == [4, 3, 2, 1, 0, 0]
    assert verdicts[5] == Verdict(False, limit=5, remaining=0, reset_seconds=10.0, window_seconds=10)


def test_an_event_counts_for_the_window_and_not_a_moment_longer() -> None:
    limiter = RateLimiter(1, WINDOW)
    assert limiter.admit("prophet", 1, now=100.0).admitted
    assert not limiter.admit("prophet", 1, now=109.999).admitted
    assert limiter.admit("prophet", 1, now=110.0).admitted


def test_a_batch_is_admitted_whole_or_not_at_all() -> None:
    limiter = RateLimiter(LIMIT, WINDOW)
    assert limiter.admit("prophet", 3, now=0.0).remaining == 2
    refused = limiter.admit("prophet", 3, now=1.0)
    assert (refused.admitted, refused.remaining) == (False, 2)
    assert limiter.admit("prophet", 2, now=1.0).remaining == 0


def test_a_refused_request_is_told_when_it_would_be_admitted() -> None:
    limiter = RateLimiter(LIMIT, WINDOW)
    for now in (0.0, 1.0, 2.0, 3.0, 4.0):
        limiter.admit("prophet", 1, now)
    assert limiter.admit("prophet", 1, now=5.0).reset_seconds == 5.0
    assert limiter.admit("prophet", 3, now=5.0).reset_seconds == 7.0
    assert limiter.admit("prophet", 3, now=12.0).admitted


def test_a_batch_over_the_limit_is_never_admitted() -> None:
    verdict = RateLimiter(LIMIT, WINDOW).admit("prophet", 6, now=0.0)
    assert (verdict.admitted, verdict.remaining, verdict.reset_seconds) == (False, 5, 10.0)


def test_services_do_not_share_a_limit_and_may_have_their_own() -> None:
    limiter = RateLimiter(1, WINDOW, {"forge": 2, "oracle": 0})
    assert limiter.admit("prophet", 1, 0.0).admitted
    assert not limiter.admit("prophet", 1, 0.0).admitted
    assert [limiter.admit("forge", 1, 0.0).admitted for _ in range(3)] == [True, True, False]
    assert limiter.admit("oracle", 1000, 0.0) == Verdict(True, 0, 0, 0.0, WINDOW)


def test_without_a_limit_all_is_admitted_and_nothing_is_kept() -> None:
    limiter = RateLimiter(0, WINDOW, {"forge": 1})
    assert all(limiter.admit(f"s{number}", 1000, 0.0).admitted for number in range(1000))
    assert limiter.windows == 0
    assert limiter.admit("forge", 1, 0.0).admitted
    assert not limiter.admit("forge", 1, 0.0).admitted


def test_newcomers_share_one_window_while_all_windows_are_in_use() -> None:
    limiter = RateLimiter(LIMIT, WINDOW, {"forge": LIMIT}, max_services=2)
    assert limiter.admit("first", 1, 0.0).remaining == 4
    assert limiter.admit("second", 1, 0.0).remaining == 4
    assert [limiter.admit(f"newcomer{number}", 1, 1.0).remaining for number in range(6)] == [4, 3, 2, 1, 0, 0]
    assert not limiter.admit("another", 1, 1.0).admitted
    assert limiter.admit("first", 1, 1.0).remaining == 3
    assert limiter.admit("forge", 1, 1.0).remaining == 4
    assert limiter.windows == 2


def test_a_window_that_has_run_empty_makes_room_for_a_newcomer() -> None:
    limiter = RateLimiter(LIMIT, WINDOW, max_services=1)
    limiter.admit("first", 1, 0.0)
    assert limiter.admit("second", 1, 10.0).remaining == 4
    assert limiter.admit("second", 1, 10.0).remaining == 3
    assert limiter.admit("third", 1, 10.0).remaining == 4, "the common window"
    assert limiter.admit("fourth", 1, 10.0).remaining == 3, "the common window"


def test_the_window_used_longest_ago_is_reclaimed_and_not_the_oldest() -> None:
    limiter = RateLimiter(LIMIT, WINDOW, max_services=2)
    limiter.admit("early", 1, 0.0)
    limiter.admit("late", 1, 1.0)
    limiter.admit("early", 1, 9.0)
    limiter.admit("newcomer", 1, 11.0)
    assert limiter.admit("early", 1, 11.0).remaining == 3
    assert limiter.admit("newcomer", 1, 11.0).remaining == 3
    assert limiter.admit("another", 1, 11.0).remaining == 4, (
        "the common window, which the newcomer did not need"
    )


def test_nobody_gets_more_by_leaving_the_common_window() -> None:
    limiter = RateLimiter(LIMIT, WINDOW, max_services=1)
    limiter.admit("first", 1, 0.0)
    assert limiter.admit("second", 2, 5.0).admitted
    assert limiter.admit("third", 1, 7.0).admitted
    assert limiter.admit("second", 1, 12.0).remaining == 1, "a window of its own, with all three from before"
    assert limiter.admit("second", 1, 17.0).remaining == 3


def test_a_service_that_publishes_through_a_flood_gets_a_window_of_its_own_and_keeps_it() -> None:
    limiter = RateLimiter(LIMIT, WINDOW, max_services=10)
    admitted = []
    for now in range(200):
        for number in range(5):
            limiter.admit(f"made-up-{now}-{number}", 1, float(now))
        if now % 4 == 0:
            admitted.append(limiter.admit("prophet", 1, float(now)).admitted)
    assert all(admitted[10:])


class ByHand:
    """The same promise kept the simple way: every admitted event of every service, for ever."""

    def __init__(self, limit: int, window_seconds: int) -> None:
        self.limit = limit
        self.window_seconds = window_seconds
        self.admitted: list[tuple[str, float]] = []

    def count(self, service: str, now: float) -> int:
        return sum(name == service and at > now - self.window_seconds for name, at in self.admitted)

    def admit(self, service: str, events: int, now: float) -> tuple[bool, int]:
        free = self.limit - self.count(service, now)
        if events > free:
            return False, free
        self.admitted += [(service, now)] * events
        return True, free - events


requests = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.integers(1, 7), st.integers(0, 8)), max_size=60
)  # a service, how many events, and the seconds since the request before


@given(requests)
def test_every_verdict_is_that_of_a_list_of_all_events(steps: list[tuple[str, int, int]]) -> None:
    limiter, by_hand, now = RateLimiter(LIMIT, WINDOW), ByHand(LIMIT, WINDOW), 0.0
    for service, events, seconds in steps:
        now += seconds
        verdict = limiter.admit(service, events, now)
        assert (verdict.admitted, verdict.remaining) == by_hand.admit(service, events, now)


@given(requests)
def test_with_too_many_services_none_is_over_its_limit_and_those_with_a_window_are_exact(
    steps: list[tuple[str, int, int]],
) -> None:
    limiter = RateLimiter(LIMIT, WINDOW, {"a": LIMIT}, max_services=2)
    exact, over, now = ByHand(LIMIT, WINDOW), ByHand(LIMIT, WINDOW), 0.0
    for service, events, seconds in steps:
        now += seconds
        verdict = limiter.admit(service, events, now)
        if verdict.admitted:
            over.admitted += [(service, now)] * events
        assert over.count(service, now) <= LIMIT
        assert limiter.windows <= 2
        if service == "a":
            assert (verdict.admitted, verdict.remaining) == exact.admit(service, events, now)


@given(requests, st.integers(1, LIMIT))
def test_a_refused_request_is_admitted_at_the_time_it_was_told_and_not_before(
    steps: list[tuple[str, int, int]], events: int
) -> None:
    now = 0.0
    limiter = RateLimiter(LIMIT, WINDOW)
    for _, count, seconds in steps:
        now += seconds
        limiter.admit("a", count, now)
    told = limiter.admit("a", events, now)
    if not told.admitted:
        assert not limiter.admit("a", events, now + told.reset_seconds - 0.5).admitted
        assert limiter.admit("a", events, now + told.reset_seconds).admitted


def test_a_hundred_thousand_made_up_names_take_no_more_room_than_the_windows() -> None:
    limiter = RateLimiter(100, 1, {"forge": 100}, max_services=1000)
    limiter.admit("forge", 40, 0.0)
    for number in range(90_000):
        limiter.admit(f"name{number}", 1, now=0.0)
    assert limiter.admit("forge", 1, 0.0).remaining == 59
    tracemalloc.start()
    try:
        for number in range(10_000):
            limiter.admit(f"another{number}", 1, now=number / 1000)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert limiter.windows == 1000
    assert peak_bytes < 2_000_000
