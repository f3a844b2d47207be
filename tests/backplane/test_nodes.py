"""What hubs promise together, whatever log they share. What must come is waited for, on any clock.

A backplane is put through it when it stands in `SHARED`.
"""

from collections.abc import AsyncIterator

import pytest
import trio

from courier.actors.hub import Hub
from courier.actors.limits import Limits
from courier.backplane import Appended, Publication
from courier.schemas.position import Position, Since
from tests.backplane.conformance import (
    event,
    heard,
    join_alone,
    moment,
    numbers_of,
    publish,
    publish_all,
    published_after,
    read,
    retire,
)
from tests.backplane.worlds import PATIENCE_SECONDS, SHARED, OpenNode, world


@pytest.fixture(params=SHARED)
async def open_shared(request: pytest.FixtureRequest) -> AsyncIterator[OpenNode]:
    async with world(request) as opener:
        yield opener


@pytest.fixture
async def hubs(open_shared: OpenNode) -> AsyncIterator[tuple[Hub, Hub]]:
    async with open_shared() as one, open_shared() as two:
        yield one, two


async def test_both_nodes_show_one_order_whichever_is_published_to(hubs: tuple[Hub, Hub]) -> None:
    ears = [(await join_alone(hub))[1] for hub in hubs for _ in range(2)]
    for number in range(0, 60, 2):
        await publish(hubs[0], number)
        await publish(hubs[1], number + 1)
    for ear in ears:
        assert await heard(ear, 60) == list(range(60))
    assert len({bytes(ear.received) for ear in ears}) == 1


async def test_publishers_at_both_nodes_at_once_make_one_order(hubs: tuple[Hub, Hub]) -> None:
    ears = [(await join_alone(hub))[1] for hub in hubs]
    receipts: dict[int, Appended] = {}

    async def publisher(hub: Hub, numbers: range) -> None:
        for number in numbers:
            [receipts[number]] = await publish(hub, number)

    async with trio.open_nursery() as nursery:
        for place in range(6):
            nursery.start_soon(publisher, hubs[place % 2], range(place * 30, place * 30 + 30))
    order = sorted(receipts, key=lambda number: receipts[number].position.offset)
    assert [receipts[number].position.offset for number in order] == list(range(1, 181))
    for ear in ears:
        assert await heard(ear, 180) == order


async def test_what_was_published_on_one_node_is_replayed_on_the_other(hubs: tuple[Hub, Hub]) -> None:
    receipts = await publish(hubs[0], 1, 2, 3)
    _, ear = await join_alone(hubs[1], receipts[0].position)
    [fourth] = await publish(hubs[0], 4)
    assert await heard(ear, 3) == [2, 3, 4]
    assert ear.beginning is not None
    assert ear.beginning.recovered
    last = await published_after(fourth.arrived_ms, hubs[0], 5)
    _, ear = await join_alone(hubs[1], moment(last.arrived_ms - 1))
    assert await heard(ear, 1) == [5]
    assert ear.beginning is not None
    assert ear.beginning.recovered


async def test_a_subscriber_goes_on_at_the_other_node(hubs: tuple[Hub, Hub]) -> None:
    place: Since | None = None
    seen: list[object] = []
    for turn in range(6):
        subscriber, ear = await join_alone(hubs[turn % 2], place)
        if place is not None:
            seen += await heard(ear, 1)
        [receipt] = await publish(hubs[turn % 2], turn * 2)
        await ear.hears(1 if place is None else 2)
        seen.append(turn * 2)
        place = receipt.position
        subscriber.close()
        await publish(hubs[1], turn * 2 + 1)
    assert seen == list(range(11))


async def test_a_key_is_known_on_both_nodes(hubs: tuple[Hub, Hub]) -> None:
    once = Publication(event(1), "bot:a", b"1")
    [first] = await publish_all(hubs[0], once)
    [again] = await publish_all(hubs[1], once)
    assert isinstance(first, Appended)
    assert again == first._replace(deduplicated=True)


async def test_history_is_one_on_both_nodes(hubs: tuple[Hub, Hub]) -> None:
    await publish(hubs[0], 1, 2)
    await publish(hubs[1], 3)
    assert await read(hubs[0], None) == await read(hubs[1], None)
    assert numbers_of(await read(hubs[1], None)) == [1, 2, 3]


async def test_a_replay_older_than_the_log_of_the_node_has_no_hole(open_shared: OpenNode) -> None:
    async with open_shared() as one, open_shared(Limits(history_events=5)) as small:
        _, live = await join_alone(small)
        await publish(one, *range(1, 201))
        await publish(one, *range(201, 401))
        await live.hears(400)
        epoch = (await read(one, None, 1)).head.epoch
        _, ear = await join_alone(small, Position(epoch, 3))
        assert await heard(ear, 397) == list(range(4, 401))
        assert ear.beginning is not None
        assert (ear.beginning.recovered, ear.beginning.replayed) == (True, 397)
        await publish(small, 401)
        assert await heard(ear, 398) == list(range(4, 402))


async def test_a_node_that_retires_a_channel_misses_nothing_when_it_comes_back(hubs: tuple[Hub, Hub]) -> None:
    subscriber, _ = await join_alone(hubs[0])
    [last] = await publish(hubs[1], 1)
    subscriber.close()
    await retire(hubs[0])
    await publish(hubs[1], 2)
    _, ear = await join_alone(hubs[0], last.position)
    await publish(hubs[1], 3)
    assert await heard(ear, 2) == [2, 3]


async def test_a_node_that_starts_anew_keeps_positions_and_events(open_shared: OpenNode) -> None:
    async with open_shared() as hub:
        _, ear = await join_alone(hub)
        receipts = await publish(hub, 1, 2)
        assert await heard(ear, 2) == [1, 2]
    async with open_shared() as hub:
        [third] = await publish(hub, 3)
        assert third.position == Position(receipts[0].position.epoch, 3)
        _, ear = await join_alone(hub, receipts[0].position)
        await publish(hub, 4)
        assert await heard(ear, 3) == [2, 3, 4]


async def test_a_node_that_drains_does_not_hold_up_the_other(hubs: tuple[Hub, Hub]) -> None:
    staying, ear = await join_alone(hubs[0])
    await publish(hubs[1], 1)
    await hubs[1].drain(trio.current_time() + PATIENCE_SECONDS)
    await publish(hubs[0], 2)
    assert await heard(ear, 2) == [1, 2]
    assert staying.reason is None
