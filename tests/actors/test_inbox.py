import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from courier.actors.errors import ChannelFailed
from courier.actors.inbox import Inbox
from courier.actors.messages import Deliver, Trim
from courier.backplane import Outcome, Publication
from courier.backplane.reply import Reply


def a_batch(size: int) -> Deliver:
    return Deliver([Publication(b"{}")] * size, Reply[list[Outcome]]())


async def test_messages_come_out_as_they_went_in(autojump_clock: MockClock) -> None:
    inbox = Inbox(10)
    messages = [Trim(before=number) for number in range(5)]
    for message in messages:
        inbox.put(message)
    assert len(inbox) == 5
    taken = [await inbox.take(), *(inbox.take_nowait() for _ in range(4))]
    assert all(one is other for one, other in zip(taken, messages, strict=True))
    assert inbox.take_nowait() is None


async def test_room_is_given_back_when_the_events_are_taken_out(autojump_clock: MockClock) -> None:
    inbox = Inbox(3)
    inbox.reserve_nowait(3)
    inbox.put(a_batch(3))
    with pytest.raises(trio.WouldBlock):
        inbox.reserve_nowait(1)
    await inbox.take()
    inbox.reserve_nowait(3)


async def test_what_is_no_event_needs_no_room(autojump_clock: MockClock) -> None:
    inbox = Inbox(1)
    inbox.reserve_nowait(1)
    for _ in range(100):
        inbox.put(Trim())
    assert len(inbox) == 100


async def test_a_batch_that_is_too_large_waits_for_an_empty_inbox_and_comes_alone(
    autojump_clock: MockClock,
) -> None:
    inbox = Inbox(2)
    inbox.reserve_nowait(1)
    with pytest.raises(trio.WouldBlock):
        inbox.reserve_nowait(5)
    inbox.put(a_batch(1))
    await inbox.take()
    inbox.reserve_nowait(5)
    with pytest.raises(trio.WouldBlock):
        inbox.reserve_nowait(1)
    inbox.put(a_batch(5))
    await inbox.take()
    inbox.reserve_nowait(2)


async def test_nobody_overtakes_whoever_waits(autojump_clock: MockClock) -> None:
    inbox = Inbox(4)
    inbox.reserve_nowait(3)
    served: list[int] = []

    async def wait(events: int) -> None:
        await inbox.reserve(events)
        served.append(events)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, 4)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.WouldBlock):
            inbox.reserve_nowait(1)
        nursery.start_soon(wait, 1)
        await wait_all_tasks_blocked()
        assert served == []
        inbox.put(a_batch(3))
        await inbox.take()
        await wait_all_tasks_blocked()
        assert served == [4]
        inbox.put(a_batch(4))
        await inbox.take()
    assert served == [4, 1]


async def test_whoever_stops_waiting_takes_no_room_and_lets_the_next_one_through(
    autojump_clock: MockClock,
) -> None:
    inbox = Inbox(2)
    inbox.reserve_nowait(2)
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def give_up() -> None:
            with scope:
                await inbox.reserve(2)

        nursery.start_soon(give_up)
        await wait_all_tasks_blocked()
        nursery.start_soon(inbox.reserve, 1)
        await wait_all_tasks_blocked()
        scope.cancel()
        await wait_all_tasks_blocked()
        assert scope.cancelled_caught
        inbox.put(a_batch(2))
        await inbox.take()
    inbox.reserve_nowait(1)
    with pytest.raises(trio.WouldBlock):
        inbox.reserve_nowait(1)


def idle(inbox: Inbox) -> bool:
    return inbox.idle


async def test_an_inbox_is_idle_when_nobody_is_on_the_way(autojump_clock: MockClock) -> None:
    inbox = Inbox(1)
    assert idle(inbox)
    inbox.reserve_nowait(1)
    assert not idle(inbox)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(inbox.reserve, 1)
        await wait_all_tasks_blocked()
        inbox.put(a_batch(1))
        await inbox.take()
        assert not idle(inbox)
    inbox.put(a_batch(1))
    assert not idle(inbox)
    await inbox.take()
    assert idle(inbox)
    inbox.put(Trim())
    assert not idle(inbox)


async def test_a_closed_inbox_takes_nothing_and_gives_what_it_has(autojump_clock: MockClock) -> None:
    inbox = Inbox(1)
    inbox.reserve_nowait(1)
    message = a_batch(1)
    inbox.put(message)
    inbox.close()
    with pytest.raises(ChannelFailed):
        inbox.put(Trim())
    with pytest.raises(ChannelFailed):
        inbox.reserve_nowait(1)
    with pytest.raises(ChannelFailed):
        await inbox.reserve(1)
    assert await inbox.take() is message
    assert inbox.take_nowait() is None
    with pytest.raises(trio.EndOfChannel):
        await inbox.take()


async def test_everyone_who_waits_for_room_is_told_of_the_close(autojump_clock: MockClock) -> None:
    inbox = Inbox(1)
    inbox.reserve_nowait(1)
    told: list[int] = []

    async def wait(number: int) -> None:
        with pytest.raises(ChannelFailed):
            await inbox.reserve(1)
        told.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(wait, number)
        await wait_all_tasks_blocked()
        inbox.close()
    assert sorted(told) == [0, 1, 2]


@settings(max_examples=50)
@given(size=st.integers(1, 6), batches=st.lists(st.integers(1, 8), max_size=20))
def test_the_inbox_never_holds_more_events_than_its_size_or_one_batch(size: int, batches: list[int]) -> None:
    async def main() -> None:
        inbox, held, most = Inbox(size), [0], [0]

        async def publish(events: int) -> None:
            try:
                inbox.reserve_nowait(events)
            except trio.WouldBlock:
                await inbox.reserve(events)
            held[0] += events
            most[0] = max(most[0], held[0])
            assert held[0] <= size or held[0] == events
            inbox.put(a_batch(events))

        async with trio.open_nursery() as nursery:
            for events in batches:
                nursery.start_soon(publish, events)
            for _ in batches:
                message = await inbox.take()
                assert isinstance(message, Deliver)
                held[0] -= message.events
        assert inbox.idle
        assert most[0] <= max([size, *batches])

    trio.run(main, clock=MockClock(autojump_threshold=0))
