"""What a hub promises, whatever its backplane. What must come is waited for, on any clock.

A backplane is put through it when it stands in `BACKPLANES`.
"""

import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import trio

from courier.actors.errors import Draining
from courier.actors.hub import Hub
from courier.backplane import Appended, KeyConflict, Publication
from courier.backplane.revocations import Revocation
from courier.schemas.control import GapReason
from courier.schemas.position import Moment, Position, Since
from tests.backplane.conformance import (
    OTHER,
    Hearing,
    Join,
    event,
    heard,
    join_alone,
    join_with_nine_others,
    moment,
    numbers_of,
    publish,
    publish_all,
    published_after,
    read,
    retire,
)
from tests.backplane.worlds import BACKPLANES, PATIENCE_SECONDS, OpenNode, world

UNKNOWN = Position("00000000", 3)


@pytest.fixture(params=BACKPLANES)
async def open_node(request: pytest.FixtureRequest) -> AsyncIterator[OpenNode]:
    async with world(request) as opener:
        yield opener


@pytest.fixture
async def hub(open_node: OpenNode) -> AsyncIterator[Hub]:
    async with open_node() as node:
        yield node


@pytest.fixture(params=[join_alone, join_with_nine_others], ids=["alone", "one of ten"])
def join(request: pytest.FixtureRequest) -> Join:
    """How subscribers come: each on a socket of its own, or on one for ten channels."""
    way: Join = request.param
    return way


# Publish


async def test_positions_count_up_from_one_and_arrivals_never_go_back(hub: Hub) -> None:
    receipts = await publish(hub, 1) + await publish(hub, 2, 3, 4) + await publish(hub, 5)
    epoch = receipts[0].position.epoch
    assert [receipt.position for receipt in receipts] == [Position(epoch, number) for number in range(1, 6)]
    arrivals = [receipt.arrived_ms for receipt in receipts]
    assert arrivals == sorted(arrivals)


async def test_a_receipt_says_how_many_subscribers_this_node_had(hub: Hub, join: Join) -> None:
    for _ in range(3):
        await join(hub)
    await join(hub, channel=OTHER)
    [receipt] = await publish(hub, 1)
    assert receipt.clients_reached == 3
    assert not receipt.deduplicated


async def test_channels_are_apart(hub: Hub, join: Join) -> None:
    _, one = await join(hub)
    _, two = await join(hub, channel=OTHER)
    [first] = await publish(hub, 1)
    [second] = await publish(hub, 2, channel=OTHER)
    assert first.position.epoch != second.position.epoch
    assert (await heard(one, 1), await heard(two, 1)) == ([1], [2])


async def test_everyone_sees_one_order_whoever_publishes(hub: Hub, join: Join) -> None:
    ears = [(await join(hub))[1] for _ in range(3)]
    receipts: dict[int, Appended] = {}

    async def publisher(start: int) -> None:
        for number in range(start, start + 20):
            [receipts[number]] = await publish(hub, number)

    async with trio.open_nursery() as nursery:
        for start in range(0, 100, 20):
            nursery.start_soon(publisher, start)
    order = sorted(receipts, key=lambda number: receipts[number].position.offset)
    for ear in ears:
        assert await heard(ear, 100) == order


# Idempotency keys


async def test_a_repeat_gives_what_became_of_the_first(hub: Hub, join: Join) -> None:
    _, ear = await join(hub)
    once = Publication(event(1), "bot:a", b"1")
    [first] = await publish_all(hub, once)
    await publish(hub, 2)
    [again] = await publish_all(hub, once)
    assert isinstance(first, Appended)
    assert again == first._replace(deduplicated=True)
    await publish(hub, 3)
    assert await heard(ear, 3) == [1, 2, 3]


async def test_another_event_under_a_known_key_is_a_conflict(hub: Hub) -> None:
    [first] = await publish_all(hub, Publication(event(1), "bot:a", b"1"))
    outcomes = await publish_all(
        hub, Publication(event(2), "bot:b", b"2"), Publication(event(3), "bot:a", b"3"), Publication(event(4))
    )
    assert isinstance(first, Appended)
    assert isinstance(outcomes[1], KeyConflict)
    appended = [outcome.position.offset for outcome in outcomes if isinstance(outcome, Appended)]
    assert appended == [2, 3]
    assert numbers_of(await read(hub, Position(first.position.epoch, 0))) == [1, 2, 4]


async def test_a_key_is_known_in_its_own_channel_only(hub: Hub) -> None:
    one = Publication(event(1), "bot:a", b"1")
    await publish_all(hub, one)
    [other] = await publish_all(hub, one, channel=OTHER)
    assert isinstance(other, Appended)
    assert not other.deduplicated


async def test_a_call_of_repeats_alone_appends_nothing(hub: Hub) -> None:
    batch = [Publication(event(number), f"bot:{number}", b"x") for number in range(3)]
    first = await publish_all(hub, *batch)
    again = await publish_all(hub, *batch)
    assert [one.position for one in again if isinstance(one, Appended)] == [
        one.position for one in first if isinstance(one, Appended)
    ]
    [after] = await publish(hub, 9)
    assert after.position.offset == 4


# Join


async def test_without_since_a_subscriber_gets_what_comes_next(hub: Hub, join: Join) -> None:
    await publish(hub, 1)
    _, ear = await join(hub)
    await publish(hub, 2)
    assert await heard(ear, 1) == [2]
    assert ear.beginning is not None
    assert not ear.beginning.recovered


async def test_since_a_position_gives_what_follows_it(hub: Hub, join: Join) -> None:
    receipts = await publish(hub, 1, 2, 3, 4)
    for known in range(5):
        _, ear = await join(hub, Position(receipts[0].position.epoch, known))
        assert await heard(ear, 4 - known) == [1, 2, 3, 4][known:]
        assert ear.beginning is not None
        assert (ear.beginning.recovered, ear.beginning.replayed) == (True, 4 - known)


async def test_since_a_time_gives_what_arrived_later(hub: Hub, join: Join) -> None:
    [first] = await publish(hub, 1)
    last = await published_after(first.arrived_ms, hub, 2)
    _, ear = await join(hub, moment(last.arrived_ms - 1))
    assert await heard(ear, 1) == [2]
    _, ear = await join(hub, moment(last.arrived_ms))
    await publish(hub, 3)
    assert await heard(ear, 1) == [3]


async def test_since_a_time_before_all_knowledge_is_a_gap_with_all_there_is(hub: Hub, join: Join) -> None:
    await publish(hub, 1, 2)
    _, ear = await join(hub, Moment(0, "1970-01-01T00:00:00Z"))
    assert await heard(ear, 3) == ["expired", 1, 2]
    assert json.loads(ear.payloads[0])["requested"] == "1970-01-01T00:00:00Z"
    assert ear.beginning is not None
    assert not ear.beginning.recovered


@pytest.mark.parametrize("ahead", [False, True])
async def test_a_position_of_another_life_or_ahead_is_a_gap_with_all_there_is(
    hub: Hub, join: Join, ahead: bool
) -> None:
    epoch = (await publish(hub, 1, 2))[0].position.epoch
    since = Position(epoch, 7) if ahead else UNKNOWN
    _, ear = await join(hub, since)
    assert await heard(ear, 3) == ["unknown_position", 1, 2]
    gap = json.loads(ear.payloads[0])
    assert (gap["requested"], gap["resumed_from"]) == (str(since), f"{epoch}-0")
    await publish(hub, 3)
    assert await heard(ear, 4) == ["unknown_position", 1, 2, 3]


async def test_on_a_channel_that_nobody_knew_any_position_is_a_gap(hub: Hub, join: Join) -> None:
    _, ear = await join(hub, UNKNOWN)
    assert await heard(ear, 1) == ["unknown_position"]
    await publish(hub, 1)
    assert await heard(ear, 2) == ["unknown_position", 1]


async def test_joins_in_the_middle_of_a_storm_have_no_hole_and_no_repeat(hub: Hub, join: Join) -> None:
    epoch = (await publish(hub, 0))[0].position.epoch
    joined: list[tuple[int, Hearing]] = []

    async def publisher(numbers: range) -> None:
        for number in numbers[::3]:
            await publish(hub, number, number + 1, number + 2)

    async def subscriber(known: int) -> None:
        for _ in range(known // 2):
            await trio.lowlevel.checkpoint()
        since = Position(epoch, min(known, await last()))
        joined.append((since.offset, (await join(hub, since))[1]))

    async def last() -> int:
        return (await read(hub, None, 1)).head.offset

    async with trio.open_nursery() as nursery:
        for start in range(1, 901, 300):
            nursery.start_soon(publisher, range(start, start + 300))
        for known in range(0, 300, 10):
            nursery.start_soon(subscriber, known)
    assert len(joined) == 30
    for known, ear in joined:
        await ear.hears(901 - known)
        positions = [Position.parse(json.loads(payload)["id"]) for payload in ear.payloads]
        assert positions == [Position(epoch, offset) for offset in range(known + 1, 902)]


# History


async def test_the_newest_come_oldest_first(hub: Hub) -> None:
    epoch = (await publish(hub, 1, 2, 3, 4, 5))[0].position.epoch
    stretch = await read(hub, None, 2)
    assert numbers_of(stretch) == [4, 5]
    assert stretch.start == Position(epoch, 3)
    assert stretch.head == Position(epoch, 5)
    assert not stretch.more
    assert stretch.gap is None


async def test_what_follows_a_position_comes_in_pages(hub: Hub) -> None:
    receipts = await publish(hub, *range(1, 8))
    place, pages = Position(receipts[0].position.epoch, 0), []
    while True:
        stretch = await read(hub, place, 3)
        assert stretch.start == place
        assert [record.arrived_ms for record in stretch.records] == [
            receipt.arrived_ms for receipt in receipts[place.offset : place.offset + 3]
        ]
        pages.append(numbers_of(stretch))
        if not stretch.more:
            break
        place = stretch.records[-1].position
    assert pages == [[1, 2, 3], [4, 5, 6], [7]]


async def test_after_the_head_there_is_nothing(hub: Hub) -> None:
    head = (await publish(hub, 1))[0].position
    stretch = await read(hub, head)
    assert (stretch.start, stretch.head, list(stretch.records), stretch.gap) == (head, head, [], None)


async def test_a_channel_without_events_has_an_empty_history(hub: Hub) -> None:
    stretch = await read(hub, None)
    assert stretch.start == stretch.head
    assert not stretch.records
    assert not stretch.more


async def test_what_cannot_be_read_is_a_gap_and_then_all_there_is(hub: Hub) -> None:
    epoch = (await publish(hub, 1, 2))[0].position.epoch
    cases: list[tuple[Since, GapReason]] = [
        (UNKNOWN, GapReason.UNKNOWN_POSITION),
        (Position(epoch, 3), GapReason.UNKNOWN_POSITION),
        (Moment(0), GapReason.EXPIRED),
    ]
    for since, reason in cases:
        stretch = await read(hub, since)
        assert (stretch.gap, stretch.start) == (reason, Position(epoch, 0))
        assert numbers_of(stretch) == [1, 2]


# Revocations


async def test_a_revocation_counts_from_its_receipt_on_until_it_is_taken_back(hub: Hub) -> None:
    held, now = hub.backplane.revocations, int(time.time())
    made = Revocation("r1", "user_id", "u1", now, now + 60)
    await hub.backplane.revoke([made])
    assert held.revokes("user_id", "u1", now, now)
    assert not held.revokes("user_id", "u1", now + 1, now)
    assert not held.revokes("user_id", "u2", now, now)
    await hub.backplane.revoke([made._replace(taken_back=True)])
    assert not held.revokes("user_id", "u1", now, now)


async def test_a_user_to_be_disconnected_is_told_to_the_node(hub: Hub) -> None:
    told, heard = list[str](), trio.Event()

    def disconnect(user_id: str) -> None:
        told.append(user_id)
        heard.set()

    hub.backplane.revocations.disconnect = disconnect
    await hub.backplane.disconnect("u1")
    with trio.fail_after(PATIENCE_SECONDS):
        await heard.wait()
    assert told == ["u1"]


# Retire


async def test_a_channel_that_retires_goes_on_in_its_epoch(hub: Hub, join: Join) -> None:
    subscriber, _ = await join(hub)
    [last] = await publish(hub, 1)
    subscriber.close()
    await retire(hub)
    subscriber, ear = await join(hub, last.position)
    [after] = await publish(hub, 2)
    assert after.position == Position(last.position.epoch, 2)
    assert await heard(ear, 1) == [2]
    assert ear.beginning is not None
    assert ear.beginning.recovered


async def test_a_channel_may_come_back_many_times(hub: Hub, join: Join) -> None:
    place: Since | None = None
    for number in range(1, 6):
        subscriber, ear = await join(hub, place)
        [receipt] = await publish(hub, number)
        assert receipt.position.offset == number
        assert await heard(ear, 1) == [number]
        place = receipt.position
        subscriber.close()
        await retire(hub)


# Drain


async def test_a_drain_delivers_what_was_acknowledged_before_it_closes(hub: Hub, join: Join) -> None:
    subscribers = [await join(hub) for _ in range(3)]
    receipts: list[Appended] = []

    async def publisher(number: int) -> None:
        with suppress(Draining):
            receipts.extend(await publish(hub, number))

    await publisher(0)
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:
            for number in range(1, 40):
                nursery.start_soon(publisher, number)
            await trio.lowlevel.checkpoint()  # some are on their way, and others are refused
            report = await hub.drain(trio.current_time() + PATIENCE_SECONDS / 2)
    for subscriber, ear in subscribers:
        assert subscriber.reason is not None
        assert len(ear.payloads) == len(receipts)
    assert (report.closed, report.undelivered) == (3, 0)
