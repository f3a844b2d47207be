"""No hole, no repeat, one order for all, every asker answered: whatever happens in whatever order."""

import math
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from courier.actors.limits import Limits
from tests.actors.plan import (
    MANY,
    PEERS,
    Busy,
    Crash,
    Fault,
    Join,
    Plan,
    Publish,
    Room,
    SetClock,
    Settle,
    Step,
    Tick,
    Toggle,
    Wait,
)
from tests.actors.simulation import replay

channels = st.sampled_from([0, 0, 0, 1, 1, 2])
peers = st.integers(0, len(PEERS) - 1)
everyone = peers | peers | st.sampled_from(MANY)
rooms = st.just(math.inf) | st.just(math.inf) | st.integers(0, 150)
patience = st.sampled_from([None] * 16 + [0, 1, 3, 6])

STEPS: dict[str, st.SearchStrategy[Step]] = {
    "tick": st.builds(Tick, st.integers(0, 8)),
    "settle": st.just(Settle()),
    "wait": st.builds(Wait, st.sampled_from([0.3, 0.3, 1.5, 4, 25, 61])),
    "publish": st.builds(
        Publish,
        channels,
        st.sampled_from([(1,), (3,), (1, 2), (1, 1, 1), (4, 1, 2), (2, 1, 1, 3, 1)]),
        st.sampled_from([0, 0, 0, 0, 0.7, 3]),
        patience,
    ),
    "join": st.builds(
        Join,
        peers,
        st.sampled_from(["now", "now", "last", "last", "last", "first", "moment", "junk", "ahead"]),
        rooms,
        st.integers(0, 6),
        patience,
        st.sampled_from([0, 0, 300, 600, 1500, 4000, 30_000, -500]),
    ),
    "toggle": st.builds(
        Toggle,
        st.sampled_from(MANY),
        st.lists(channels, min_size=1, max_size=5).map(tuple),
        st.sampled_from(["now", "last", "last", "last", "last", "first", "moment", "junk", "ahead"]),
        rooms,
        st.sampled_from([0, 0, 300, 600, 1500, 4000, 30_000, -500]),
    ),
    "room": st.builds(Room, everyone, rooms),
    "busy": st.builds(Busy, everyone, st.integers(1, 4)),
    "fault": st.builds(Fault, everyone, st.sampled_from(["leave", "close", "stall", "raise"])),
    "clock": st.builds(SetClock, st.sampled_from([0, 3, -3, 7200, -7200])),
    "crash": st.builds(
        Crash,
        channels,
        st.sampled_from(["append", "offer", "trim", "start", "apply", "applied", "trimmed"]),
        st.integers(0, 4),
        st.sampled_from([1, 1, 1, 1, 2, 5]),
    ),
}
WEIGHTS = {
    "tick": 4,
    "settle": 2,
    "wait": 2,
    "publish": 9,
    "join": 5,
    "toggle": 5,
    "room": 2,
    "busy": 1,
    "fault": 1,
    "clock": 1,
    "crash": 3,
}
"""How often each kind of step comes: most of the time subscribers are there and events are published."""

steps = st.sampled_from([kind for kind, weight in WEIGHTS.items() for _ in range(weight)]).flatmap(
    STEPS.__getitem__
)
limits = st.builds(
    Limits,
    history_events=st.sampled_from([1000, 1000, 1000, 10, 4, 1]),
    history_seconds=st.sampled_from([100, 100, 20, 3]),
    history_bytes=st.sampled_from([1 << 20, 1 << 20, 4000, 1000]),
    inbox_events=st.sampled_from([100, 6, 2, 1]),
)
plans = st.builds(
    Plan,
    st.lists(steps, min_size=30, max_size=50).map(tuple),
    limits=limits,
    remembered=st.sampled_from([1000, 1000, 1, 0]),
    calm=st.sampled_from([True, True, False]),
    recovering=st.frozensets(everyone),
    seed=st.integers(0, 1000),
)


GIVEN_UP = Crash(0, "apply", times=5)
RARE = {
    "a leave crashes": Plan((Join(0), Settle(), Crash(0, "apply"), Fault(0, "leave"), Settle())),
    "the freeing of bytes crashes": Plan(
        (Crash(0, "trim", passes=2), Publish(0, (5,)), Settle(), Publish(1, (5,))),
        Limits(history_bytes=1000),
    ),
    "given up while bytes are freed": Plan(
        (Crash(0, "trimmed", passes=2, times=5), Join(0), Publish(0, (9,)), Publish(0, (5, 5)), Settle()),
        Limits(history_bytes=1000),
    ),
    "given up before who waits for room": Plan(
        (
            Publish(0, (1,), hold_seconds=3),
            Tick(6),
            Publish(0, (1, 1)),
            Tick(6),
            GIVEN_UP,
            Join(0),
            Join(1),
            Join(2),
            Settle(),
        ),
        Limits(inbox_events=1),
    ),
    "given up, and its last word is not taken": Plan(
        (Join(0, room=5), Publish(0, (1,)), Settle(), GIVEN_UP, Publish(0, (1,) * 5), Settle(), Join(0))
    ),
    "a read of older events crashes": Plan(
        (Join(0, room=0), Publish(0, (4,)), Settle(), Crash(0, "apply"), Room(0, math.inf), Settle()),
        Limits(history_events=1),
    ),
    "forgotten, and asked for by time": Plan(
        (
            Wait(1.5),
            Publish(0, (1,)),
            Settle(),
            GIVEN_UP,
            Publish(0, (1,) * 5),
            Settle(),
            Wait(1.5),
            Join(0, "moment", ago_ms=2500),
            Settle(),
        ),
        remembered=0,
    ),
    "the log drops what was read": Plan(
        (Join(0, room=0), Publish(0, (4, 1, 2)), Settle(), Publish(0, (2, 1, 1, 3, 1)), Room(0, math.inf)),
        Limits(history_events=4),
    ),
}
"""What has gone wrong once, or comes too seldom by chance."""

SOAK = settings.get_current_profile_name() == "soak"


@pytest.mark.timeout(600)  # to have time to shrink what fails
@settings(
    max_examples=5000 if SOAK else 140,
    derandomize=not SOAK,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(plans)
def test_whatever_happens_nothing_is_lost_repeated_or_left_unanswered(plan: Plan) -> None:
    note(repr(plan))  # hypothesis leaves out what has more than one line
    replay(plan)


@pytest.mark.parametrize("plan", RARE.values(), ids=RARE)
def test_what_is_rare_goes_right_in_whatever_order_the_tasks_run(plan: Plan) -> None:
    limits = replace(plan.limits, history_seconds=10)  # at the end all that is kept is waited for
    for seed in range(20):
        replay(replace(plan, limits=limits, seed=seed))
