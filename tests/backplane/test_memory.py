"""What every backplane promises, and what the memory backplane promises beside it.

Another backplane is put through the first part when it stands in `BACKPLANES`.
"""

from collections.abc import Callable

import pytest

from courier.actors.log import Budget, Log
from courier.backplane import Backplane, Origin
from courier.backplane.memory import MemoryBackplane
from courier.schemas.position import EPOCH_LENGTH, Position
from tests.names import channel_name

STARTED_MS = 1_700_000_000_000
ONE, TWO = channel_name("user.u1"), channel_name("user.u2")

BACKPLANES: dict[str, Callable[[], Backplane]] = {
    "memory": lambda: MemoryBackplane(started_ms=STARTED_MS, remembered=100),
}


@pytest.fixture(params=BACKPLANES)
def backplane(request: pytest.FixtureRequest) -> Backplane:
    return BACKPLANES[request.param]()


async def test_a_channel_that_nobody_knew_starts_before_its_first_event(backplane: Backplane) -> None:
    position, floor_ms = await backplane.follow(ONE)
    assert position.offset == 0
    assert Position.parse(str(position)) == position
    assert len(position.epoch) == EPOCH_LENGTH
    assert floor_ms >= STARTED_MS


async def test_two_channels_have_two_epochs(backplane: Backplane) -> None:
    one, two = (
        await backplane.follow(ONE),
        await backplane.follow(TWO),
    )
    assert one.position.epoch != two.position.epoch


async def test_a_channel_goes_on_where_it_stopped(backplane: Backplane) -> None:
    origin = await backplane.follow(ONE)
    stopped = Origin(Position(origin.position.epoch, 7), STARTED_MS + 5)
    backplane.unfollow(ONE, stopped)
    assert await backplane.follow(ONE) == stopped


async def test_a_channel_goes_on_as_often_as_it_stops(backplane: Backplane) -> None:
    budget = Budget(1 << 20)
    for turn in range(3):
        log = Log(await backplane.follow(ONE), budget)
        assert log.append(b"x", STARTED_MS + turn).offset == turn + 1
        log.trim(keep=0)
        backplane.unfollow(ONE, log.origin)
    assert (await backplane.follow(ONE)).floor_ms == STARTED_MS + 2


async def test_a_channel_that_had_no_event_keeps_its_epoch(backplane: Backplane) -> None:
    origin = await backplane.follow(ONE)
    backplane.unfollow(ONE, origin)
    assert await backplane.follow(ONE) == origin


async def test_where_one_channel_stopped_says_nothing_about_another(backplane: Backplane) -> None:
    one, two = (
        await backplane.follow(ONE),
        await backplane.follow(TWO),
    )
    backplane.unfollow(ONE, Origin(Position(one.position.epoch, 3), STARTED_MS + 3))
    backplane.unfollow(TWO, Origin(Position(two.position.epoch, 9), STARTED_MS + 9))
    assert (await backplane.follow(ONE)).position == Position(one.position.epoch, 3)
    assert (await backplane.follow(TWO)).position == Position(two.position.epoch, 9)


# The memory backplane


async def stopped(backplane: MemoryBackplane, channel: str, *, at_ms: int) -> Position:
    """A channel that had one event and stopped."""
    origin = await backplane.follow(channel_name(channel))
    position = Position(origin.position.epoch, origin.position.offset + 1)
    backplane.unfollow(channel_name(channel), Origin(position, at_ms))
    return position


async def test_the_longest_retired_is_forgotten_and_starts_a_new_epoch() -> None:
    backplane = MemoryBackplane(started_ms=STARTED_MS, remembered=2)
    one, two, three = [await stopped(backplane, f"user.u{n}", at_ms=STARTED_MS + n) for n in (1, 2, 3)]
    born_again = await backplane.follow(ONE)
    assert born_again.position.offset == 0
    assert born_again.position.epoch != one.epoch
    assert (await backplane.follow(TWO)).position == two
    assert (await backplane.follow(channel_name("user.u3"))).position == three


async def test_a_channel_that_retires_again_is_the_last_to_be_forgotten() -> None:
    backplane = MemoryBackplane(started_ms=STARTED_MS, remembered=2)
    await stopped(backplane, "user.u1", at_ms=STARTED_MS)
    two = await stopped(backplane, "user.u2", at_ms=STARTED_MS)
    one = await stopped(backplane, "user.u1", at_ms=STARTED_MS)
    await stopped(backplane, "user.u3", at_ms=STARTED_MS)
    assert (await backplane.follow(ONE)).position == one
    assert (await backplane.follow(TWO)).position.epoch != two.epoch


async def test_what_was_forgotten_makes_every_new_channel_unsure_of_what_came_before() -> None:
    backplane = MemoryBackplane(started_ms=STARTED_MS, remembered=1)
    assert (await backplane.follow(channel_name("global"))).floor_ms == STARTED_MS
    for number, at_ms in enumerate((STARTED_MS + 50, STARTED_MS + 20, STARTED_MS + 90)):
        await stopped(backplane, f"user.u{number}", at_ms=at_ms)
    assert (await backplane.follow(channel_name("strategy.s1"))).floor_ms == STARTED_MS + 50


async def test_a_backplane_that_remembers_nothing_still_serves() -> None:
    backplane = MemoryBackplane(started_ms=STARTED_MS, remembered=0)
    gone = await stopped(backplane, "user.u1", at_ms=STARTED_MS + 1)
    again = await backplane.follow(ONE)
    assert again.position.epoch != gone.epoch
    assert again.floor_ms == STARTED_MS + 1
