"""A subscriber on its own: a cursor, a wire, and steps of which none waits."""

import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from courier.actors import subscriber as subscriber_module
from courier.actors.frames import text_frame
from courier.actors.log import Budget, Log
from courier.actors.statistics import State
from courier.actors.subscriber import GOODBYE_SECONDS, Beginning, Subscriber
from courier.backplane import Origin, Stretch
from courier.metrics import Metrics
from courier.schemas.channels import ChannelName
from courier.schemas.closing import CloseReason
from courier.schemas.control import GapReason
from courier.schemas.position import Moment, Position, Since
from tests.actors.wires import FakeWire, Held
from tests.names import channel_name

EPOCH = "abcdefgh"


@dataclass
class Stage:
    """One log, one subscriber, and what a channel does with the two."""

    nursery: trio.Nursery
    log: Log = field(default_factory=lambda: Log(Origin(Position(EPOCH, 0), 0), Budget(1 << 30)))
    metrics: Metrics = field(default_factory=Metrics)
    left: list[Subscriber] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.subscriber = Subscriber("id", channel_name("user.u1"), "u1", self)

    def start(self, since: Since | None = None) -> None:
        self.subscriber.start(self.log, self.log.since(since), since)

    def open(self, wire: FakeWire) -> None:
        Held(self.subscriber, wire).open()

    # What the subscriber asks: `courier.actors.subscriber.Home`

    def clock(self) -> int:
        return 0

    def spawn(self, task: Callable[[], Awaitable[None]]) -> None:
        self.nursery.start_soon(task)

    def leave(self, subscriber: Subscriber) -> None:
        self.left.append(subscriber)

    async def read_older(self, channel: ChannelName, position: Position) -> Stretch:
        """The backplane holds only what the log holds."""
        return Stretch(self.log.position_before(self.log.first), self.log.position, (), GapReason.EXPIRED)

    def publish(self, *numbers: int) -> int:
        """Append, and offer as `Channel.fan_out` does; returns by how much the offer moved the cursor."""
        for number in numbers:
            self.log.append(text_frame(b'{"n":%d}' % number), 0)
        cursor = self.subscriber.cursor
        if self.subscriber.state is State.CURRENT:
            entries = self.log.entries(cursor, self.subscriber.lag)
            whole = self.subscriber.offer(self.log.page(cursor))
            self.metrics.traffic["user"].deliver(entries, whole, 0)
        return self.subscriber.cursor - cursor

    def ended(self) -> CloseReason | None:
        """Why it was ended; None when it was not."""
        return self.subscriber.reason

    @property
    def tasks(self) -> int:
        return len(self.nursery.child_tasks)


@asynccontextmanager
async def a_stage() -> AsyncIterator[Stage]:
    async with trio.open_nursery() as nursery:
        yield Stage(nursery)
        nursery.cancel_scope.cancel()


def numbers(wire: FakeWire) -> list[object]:
    messages = [json.loads(payload) for payload in wire.payloads]
    return [message.get("n", message.get("reason")) for message in messages]


async def test_an_offer_that_is_taken_whole_leaves_it_current(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        stage.start()
        wire = FakeWire()
        stage.open(wire)
        assert stage.subscriber.state is State.CURRENT
        assert stage.publish(1, 2, 3) == 3
        assert (stage.subscriber.lag, stage.tasks) == (0, 0)
        assert numbers(wire) == [1, 2, 3]


async def test_an_offer_moves_the_cursor_behind_the_frame_that_was_cut(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        stage.start()
        wire = FakeWire(room=len(text_frame(b'{"n":1}')) + 1)
        stage.open(wire)
        assert stage.publish(1, 2, 3) == 2
        assert (stage.subscriber.state, stage.subscriber.lag, stage.tasks) == (State.BEHIND, 1, 0)
        assert stage.publish(4) == 0
        wire.take(math.inf)
        await wait_all_tasks_blocked()
        assert (stage.subscriber.state, stage.subscriber.lag, stage.tasks) == (State.CURRENT, 0, 0)
        assert numbers(wire) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("since", "beginning"),
    [
        (None, Beginning(Position(EPOCH, 5), recovered=False, replayed=0)),
        (Position(EPOCH, 5), Beginning(Position(EPOCH, 5), recovered=True, replayed=0)),
        (Position(EPOCH, 3), Beginning(Position(EPOCH, 3), recovered=True, replayed=2)),
        (Position(EPOCH, 2), Beginning(Position(EPOCH, 2), recovered=True, replayed=3)),
        (Position(EPOCH, 1), Beginning(Position(EPOCH, 2), recovered=False, replayed=3)),
        (Position(EPOCH, 6), Beginning(Position(EPOCH, 2), recovered=False, replayed=3)),
        (Position("zzzzzzzz", 1), Beginning(Position(EPOCH, 2), recovered=False, replayed=3)),
        (Moment(0), Beginning(Position(EPOCH, 5), recovered=True, replayed=0)),
        (Moment(-1), Beginning(Position(EPOCH, 2), recovered=False, replayed=3)),
    ],
)
async def test_where_it_begins_is_fixed_when_it_is_added(since: Since | None, beginning: Beginning) -> None:
    async with a_stage() as stage:
        stage.publish(1, 2, 3, 4, 5)
        stage.log.trim(keep=3)
        assert stage.subscriber.beginning is None
        stage.start(since)
        stage.publish(6)
        stage.log.trim(keep=1)
        assert stage.subscriber.beginning == beginning


async def test_on_an_empty_log_it_begins_before_the_first_event() -> None:
    async with a_stage() as stage:
        stage.start()
        assert stage.subscriber.beginning == Beginning(Position(EPOCH, 0), recovered=False, replayed=0)


async def test_a_wire_that_takes_nothing_at_the_moment_is_tried_again(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        stage.start()
        wire = FakeWire()
        wire.put(text_frame(b'{"n":0}'))
        stage.open(wire)
        wire.leave_room(1)
        wire.put(text_frame(b'{"n":1}'))
        assert stage.publish(2) == 0
        assert stage.subscriber.state is State.BEHIND
        wire.take(math.inf)
        await wait_all_tasks_blocked()
        assert numbers(wire) == [0, 1, 2]


async def test_it_takes_a_page_a_turn_and_reads_what_came_meanwhile(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriber_module, "PAGE_BYTES", 30)
    async with a_stage() as stage:
        stage.publish(*range(10))
        stage.start(Position(EPOCH, 0))
        wire, pages = FakeWire(), []
        write = wire.write

        def write_and_publish(data: bytes) -> int:
            pages.append(data.count(b'"n"'))
            if len(pages) == 1:
                stage.publish(10)
            return write(data)

        monkeypatch.setattr(wire, "write", write_and_publish)
        stage.open(wire)
        await wait_all_tasks_blocked()
        assert numbers(wire) == list(range(11))
        assert max(pages) == 3
        assert stage.metrics.totals().delivered == 11


async def test_a_gap_that_is_still_owed_says_it_all(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        stage.publish(*range(5))
        stage.log.trim(keep=3)
        stage.start(Position(EPOCH, 1))
        stage.publish(5)
        stage.log.trim(keep=1)
        wire = FakeWire()
        stage.open(wire)
        await wait_all_tasks_blocked()
        gap, event = [json.loads(payload) for payload in wire.payloads]
        assert (gap["reason"], gap["requested"]) == ("expired", f"{EPOCH}-1")
        assert gap["resumed_from"] == f"{EPOCH}-5"
        assert event == {"n": 5}
        assert stage.metrics.traffic["user"].gaps[GapReason.EXPIRED] == stage.metrics.totals().gaps == 1
        assert stage.subscriber.delivered == 1


async def test_a_gap_that_the_wire_does_not_take_is_still_owed(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_stage() as stage:
        stage.start(Position("zzzzzzzz", 1))
        wire, refusals = FakeWire(), 2
        write = wire.write

        def refuse(data: bytes) -> int:
            nonlocal refusals
            refusals -= 1
            if refusals < 0:
                return write(data)
            wire.await_room()
            return 0

        monkeypatch.setattr(wire, "write", refuse)
        stage.open(wire)
        stage.publish(1)
        await wait_all_tasks_blocked()
        assert numbers(wire) == ["unknown_position", 1]


async def test_it_is_finished_at_once_when_it_has_everything(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        stage.start()
        stage.open(FakeWire())
        stage.subscriber.finish(CloseReason.SHUTTING_DOWN, by=20)
        assert stage.ended() is CloseReason.SHUTTING_DOWN
        assert stage.subscriber.goodbye_by == 20
        assert stage.subscriber.state is not State.CURRENT


async def test_it_is_finished_with_the_event_that_it_still_owed(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        stage.start()
        wire = FakeWire(room=1)
        stage.open(wire)
        stage.publish(1)
        stage.subscriber.finish(CloseReason.SHUTTING_DOWN, by=20)
        await wait_all_tasks_blocked()
        assert stage.ended() is None
        wire.take(math.inf)
        await wait_all_tasks_blocked()
        assert stage.ended() is CloseReason.SHUTTING_DOWN
        assert numbers(wire) == [1]


async def test_it_is_not_finished_before_its_wire_is_open(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        stage.subscriber.finish(CloseReason.SHUTTING_DOWN, by=20)
        stage.start()
        stage.publish(1)
        await wait_all_tasks_blocked()
        assert stage.ended() is None
        wire = FakeWire()
        stage.open(wire)
        await wait_all_tasks_blocked()
        assert stage.ended() is CloseReason.SHUTTING_DOWN
        assert numbers(wire) == [1]


async def test_the_first_reason_stands_and_the_last_word_gets_its_time(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        stage.start()
        subscriber = stage.subscriber
        subscriber.end(CloseReason.TOO_SLOW)
        assert subscriber.goodbye_by == trio.current_time() + GOODBYE_SECONDS
        subscriber.end(CloseReason.SHUTTING_DOWN, by=20)
        assert (subscriber.reason, subscriber.goodbye_by) == (CloseReason.TOO_SLOW, 20)
        wire = FakeWire()
        stage.open(wire)
        assert subscriber.state is State.CLOSING
        assert stage.tasks == 0


async def test_a_drain_does_not_prolong_the_last_word_of_who_was_ended_before(
    autojump_clock: MockClock,
) -> None:
    async with a_stage() as stage:
        stage.start()
        stage.open(FakeWire())
        stage.subscriber.end(CloseReason.TOO_SLOW)
        stage.subscriber.finish(CloseReason.SHUTTING_DOWN, by=20)
        assert stage.subscriber.goodbye_by == trio.current_time() + GOODBYE_SECONDS


async def test_it_leaves_once(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        stage.start()
        stage.open(FakeWire())
        stage.subscriber.close(aborted=True)
        stage.subscriber.close()
        assert stage.left == [stage.subscriber]
        assert stage.subscriber.aborted
        assert stage.subscriber.state is not State.CURRENT


async def test_it_writes_nothing_after_the_end(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        stage.start()
        wire = FakeWire(room=1)
        stage.open(wire)
        stage.publish(1, 2)
        await wait_all_tasks_blocked()
        stage.subscriber.end(CloseReason.TOKEN_EXPIRED)
        wire.take(math.inf)
        await wait_all_tasks_blocked()
        assert numbers(wire) == [1]
        assert (stage.subscriber.lag, stage.tasks) == (1, 0)


async def test_what_a_wire_raises_while_it_is_behind_ends_it_too(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        stage.publish(1)
        stage.start(Position(EPOCH, 0))
        wire = FakeWire()
        with wire.raising(ZeroDivisionError()):
            stage.open(wire)
            await wait_all_tasks_blocked()
        assert stage.ended() is CloseReason.CHANNEL_FAILED
        assert +stage.metrics.errors == {("other", "wire"): 1}
        assert stage.tasks == 0


@settings(max_examples=100)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("publish"), st.integers(1, 5)),
            st.tuples(st.just("room"), st.integers(0, 60)),
            st.tuples(st.just("trim"), st.integers(0, 5)),
            st.tuples(st.just("tick"), st.integers(0, 4)),
        ),
        max_size=40,
    )
)
def test_it_gives_what_a_list_would_or_says_what_is_missing(steps: list[tuple[str, int]]) -> None:
    async def main() -> None:
        async with a_stage() as stage:
            count = 0
            stage.start()
            wire = FakeWire(room=20)
            stage.open(wire)
            for step, amount in [*steps, ("room", 1_000_000), ("settle", 0)]:
                match step:
                    case "publish":
                        stage.publish(*range(count + 1, count + 1 + amount))
                        count += amount
                    case "room":
                        wire.take(amount)
                    case "trim":
                        stage.log.trim(keep=amount)
                    case "settle":
                        await wait_all_tasks_blocked()
                    case _:
                        for _ in range(amount):
                            await trio.lowlevel.checkpoint()
            seen = 0
            for message in map(json.loads, wire.payloads):
                if "n" in message:
                    assert message["n"] == seen + 1
                    seen += 1
                else:
                    assert message["requested"] == f"{EPOCH}-{seen}"
                    resumed = Position.parse(message["resumed_from"])
                    assert resumed.offset > seen
                    seen = resumed.offset
            assert seen == count or stage.subscriber.reason is CloseReason.TOO_SLOW
            assert stage.tasks == 0

    trio.run(main, clock=MockClock(autojump_threshold=0))
