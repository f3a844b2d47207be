"""Timers: what is due is given once, in time, however often its deadline has moved."""

from dataclasses import dataclass, field
from math import inf

from hypothesis import given
from hypothesis import strategies as st

from courier.serving.desk.timers import Timers


@dataclass(eq=False)
class Alarm:
    name: str
    deadline: float = field(default=inf)
    queued: float = field(default=inf)


def all_due(timers: Timers[Alarm], now: float) -> list[str]:
    names = []
    while (alarm := timers.pop(now)) is not None:
        names.append(alarm.name)
    return names


def test_what_is_due_comes_once_and_in_order() -> None:
    timers = Timers[Alarm]()
    for name, deadline in (("b", 2.0), ("a", 1.0), ("c", 3.0)):
        timers.set(Alarm(name), deadline)
    assert timers.next == 1.0
    assert all_due(timers, 2.0) == ["a", "b"]
    assert all_due(timers, 2.0) == []
    assert timers.next == 3.0


def test_a_deadline_that_moves_later_pushes_nothing() -> None:
    timers = Timers[Alarm]()
    alarm = Alarm("a")
    for deadline in range(1, 1000):
        timers.set(alarm, float(deadline))
    assert len(timers) == 1
    assert all_due(timers, 998.0) == []
    assert all_due(timers, 999.0) == ["a"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 20), st.integers(0, 3)), max_size=60))
def test_whatever_is_set_each_is_due_when_it_was_set_for_last(steps: list[tuple[int, int, int]]) -> None:
    timers = Timers[Alarm]()
    alarms = [Alarm(str(number)) for number in range(4)]
    wanted = [inf] * 4
    now = 0.0
    for which, ahead, pause in steps:
        wanted[which] = now + ahead
        timers.set(alarms[which], wanted[which])
        now += pause
        due = sorted(str(number) for number in range(4) if wanted[number] <= now)
        assert sorted(all_due(timers, now)) == due
        wanted = [inf if at <= now else at for at in wanted]
        assert timers.next <= min(wanted)


def test_what_is_forgotten_is_held_no_longer() -> None:
    timers = Timers[Alarm]()
    kept = Alarm("kept")
    timers.set(kept, 75.0)
    for number in range(1000):  # connections that come and go
        alarm = Alarm(str(number))
        timers.set(alarm, 75.0)
        timers.set(alarm, 1.0)
        timers.forget(alarm)
        assert len(timers) <= 3
    assert all_due(timers, 100.0) == ["kept"]
    timers.forget(kept)
    assert len(timers) == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.none() | st.integers(0, 5), st.integers(0, 3)), max_size=80))
def test_when_all_are_forgotten_nothing_is_held(steps: list[tuple[int, int | None, int]]) -> None:
    timers = Timers[Alarm]()
    alarms = [Alarm(str(number)) for number in range(4)]
    now = 0.0
    for which, ahead, pause in steps:
        if ahead is None:
            timers.forget(alarms[which])
        else:
            timers.set(alarms[which], now + ahead)
        now += pause
        all_due(timers, now)
    for alarm in alarms:
        timers.forget(alarm)
    assert len(timers) == 0
