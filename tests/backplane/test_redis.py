"""One Redis and nothing that fails: what is published reaches every node, once and in one order."""

import random

import pytest
import trio
import trio.testing

from courier.backplane import Appended, BackplaneAway, InboxFull, KeyConflict, Origin, Outcome, Publication
from courier.backplane.redis import RedisBackplane, RedisOptions
from courier.schemas.channels import ChannelName
from courier.schemas.position import UNBORN, Position
from tests.backplane.redis_nodes import GLOBAL, ONE, SEED, TWO, appended, eventually, publish, redis_node
from tests.backplane.redis_servers import RedisServer, needs_redis
from tests.names import channel_name

pytestmark = needs_redis


@pytest.fixture
def server(server: RedisServer) -> RedisServer:
    server.cli("SCRIPT", "FLUSH")
    server.cli("CONFIG", "RESETSTAT")
    return server


# Publish


async def test_offsets_count_up_from_one_and_arrivals_never_go_back(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, _):
        assert backplane.trouble is None
        outcomes = await publish(backplane, ONE, b"1", b"2", reached=7)
        outcomes += await publish(backplane, ONE, b"3")
        assert [outcome.position.offset for outcome in outcomes] == [1, 2, 3]
        assert len({outcome.position.epoch for outcome in outcomes}) == 1
        arrivals = [outcome.arrived_ms for outcome in outcomes]
        assert arrivals == sorted(arrivals)
        assert [outcome.clients_reached for outcome in outcomes] == [7, 7, 0]
        assert not any(outcome.deduplicated for outcome in outcomes)
        assert await backplane.publish(ONE, [], trio.current_time()) == []


async def test_every_character_of_an_id_stays_one_channel_and_one_hash_tag(server: RedisServer) -> None:
    channel = channel_name("user.auth0|a:b@c+d~e_f-g")
    async with redis_node(server.url) as (publisher, _), redis_node(server.url) as (backplane, feed):
        origin = await backplane.follow(channel)
        [outcome] = appended(
            await publisher.publish(channel, [Publication(b"1", "svc k", b"d")], trio.current_time() + 1)
        )
        await feed.until(lambda: feed.events(channel) == [b"1"])
        [record] = (await backplane.read(channel, origin.position, 10)).records
        assert record.position == outcome.position
    names = {key[len("courier:{") : key.index("}")] for key in server.cli("KEYS", "courier:{*").split("\n")}
    assert {name for name in names if not name.startswith("probe:")} == {channel.name}


async def test_an_arrival_is_not_before_the_one_before_it_though_the_clock_went_back(
    server: RedisServer,
) -> None:
    async with redis_node(server.url) as (backplane, _):
        [first] = await publish(backplane, ONE, b"1")
        ahead = first.arrived_ms + 3_600_000
        server.cli("HSET", "courier:{user.u1}:where", "arrived", ahead)
        [second] = await publish(backplane, ONE, b"2")
        assert second.arrived_ms == ahead


async def test_the_same_key_and_event_is_appended_once_and_another_event_is_a_conflict(
    server: RedisServer,
) -> None:
    async with redis_node(server.url) as (backplane, feed):
        await backplane.follow(ONE)

        async def keyed(*publications: tuple[bytes, str, bytes]) -> list[Outcome]:
            given = [Publication(*publication) for publication in publications]
            return await backplane.publish(ONE, given, trio.current_time() + 1, reached=3)

        first, plain = appended(await keyed((b"e", "svc k", b"\x00\n\xff"), (b"plain", "", b"")))
        again, conflict, fresh = await keyed(
            (b"e", "svc k", b"\x00\n\xff"), (b"other", "svc k", b"d2"), (b"f", "svc k2", b"")
        )
        assert again == first._replace(deduplicated=True)
        assert isinstance(conflict, KeyConflict)
        assert isinstance(fresh, Appended)
        assert fresh.position.offset == plain.position.offset + 1 == 3
        assert 290 < int(server.cli("TTL", "courier:{user.u1}:key:svc k")) <= 300
        [elsewhere] = await backplane.publish(TWO, [Publication(b"other", "svc k", b"d2")], 0)
        assert isinstance(elsewhere, Appended), "a key is the channel's own"
        await feed.until(lambda: len(feed.records[ONE]) == 3)
        assert feed.events(ONE) == [b"e", b"plain", b"f"]


async def test_many_that_publish_at_once_share_calls_and_round_trips(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, _):
        before = server.calls_of("evalsha")
        outcomes: list[Appended] = []

        async def one(number: int) -> None:
            [outcome] = await publish(backplane, (ONE, TWO)[number % 2], b"event %d" % number, reached=number)
            assert outcome.clients_reached == number
            outcomes.append(outcome)

        async with trio.open_nursery() as nursery:
            for number in range(400):
                nursery.start_soon(one, number)
        assert len({outcome.position for outcome in outcomes}) == 400
        assert server.calls_of("evalsha") - before <= 8, "a few pipelines, each with two calls"


@pytest.mark.parametrize("channels", [1, 10])
async def test_a_flood_of_large_events_leaves_in_several_pipelines(
    server: RedisServer, channels: int
) -> None:
    options = RedisOptions(answer_seconds=5, inbox_events=10_000)
    async with redis_node(server.url, options) as (backplane, _):
        await publish(backplane, ONE, b"small")
        before = backplane.pipelines
        async with trio.open_nursery() as nursery:
            for number in range(20):
                channel = channel_name(f"user.{number % channels}")
                nursery.start_soon(publish, backplane, channel, *[b"x" * 60_000] * 20)
        assert 5 <= backplane.pipelines - before <= 12, "24 megabytes, four at a time"
        assert (await backplane.follow(channel_name("user.0"))).position.offset == 400 // channels


async def test_a_log_keeps_about_so_many_events_and_outlives_the_last_by_so_many_seconds(
    server: RedisServer,
) -> None:
    async with redis_node(server.url, RedisOptions(history_events=50, history_seconds=100)) as (backplane, _):
        for _ in range(20):
            await publish(backplane, ONE, *[b"e"] * 50)
        assert 50 <= int(server.cli("XLEN", "courier:{user.u1}:log")) <= 200
        assert 95 < int(server.cli("TTL", "courier:{user.u1}:log")) <= 100
        assert int(server.cli("TTL", "courier:{user.u1}:where")) > 7 * 86_400


async def test_what_is_too_old_goes_though_the_channel_is_never_quiet(server: RedisServer) -> None:
    async with redis_node(server.url, RedisOptions(history_seconds=0.4)) as (backplane, _):
        for _ in range(30):
            await publish(backplane, ONE, b"e")
            await trio.sleep(0.04)
        assert 1 <= int(server.cli("XLEN", "courier:{user.u1}:log")) <= 14


async def test_a_log_weighs_no_more_than_it_may(server: RedisServer) -> None:
    options = RedisOptions(history_bytes=64_000)
    async with redis_node(server.url, options) as (backplane, _):
        for number in range(200):
            await publish(backplane, ONE, *[b"x" * 1000] * (number % 3 + 1))
            assert 1000 * int(server.cli("XLEN", "courier:{user.u1}:log")) <= options.history_bytes
        assert int(server.cli("XLEN", "courier:{user.u1}:log")) >= 60
        stretch = await backplane.read(ONE, None, 1000)
        assert [record.position.offset for record in stretch.records][-1] == stretch.head.offset
        await publish(backplane, ONE, b"x" * 100_000)
        assert server.cli("XLEN", "courier:{user.u1}:log") == "1", "one event is always kept"


async def test_a_script_that_redis_has_forgotten_is_loaded_again(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, _):
        await publish(backplane, ONE, b"1")
        server.cli("SCRIPT", "FLUSH")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish, backplane, ONE, b"2")
            nursery.start_soon(publish, backplane, TWO, b"1")
        assert (await backplane.follow(ONE)).position.offset == 2


async def test_what_redis_refuses_is_no_receipt(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, _):
        server.cli("SET", "courier:{user.u1}:where", "no hash")
        with pytest.raises(BackplaneAway):
            await publish(backplane, ONE, b"1")
        assert backplane.trouble is None
        assert await publish(backplane, TWO, b"1")


# Room


async def test_without_room_a_publish_is_refused_in_time_and_what_got_in_is_not(server: RedisServer) -> None:
    async with redis_node(server.url, RedisOptions(inbox_events=3)) as (backplane, _):
        outcomes: list[Appended] = []

        async def one(*events: bytes) -> None:
            outcomes.extend(await publish(backplane, ONE, *events))

        async with trio.open_nursery() as nursery:
            with server.stopped():
                nursery.start_soon(one, b"1", b"2")
                await trio.testing.wait_all_tasks_blocked(0.01)
                now = trio.current_time()
                with pytest.raises(InboxFull):
                    await backplane.publish(ONE, [Publication(b"3")] * 2, now)
                with pytest.raises(InboxFull):
                    await backplane.publish(ONE, [Publication(b"3")] * 2, now + 0.1)
                assert 0.1 <= trio.current_time() - now < 0.3
                nursery.start_soon(one, b"3")
                nursery.start_soon(one, *[b"more than the room holds"] * 5)
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert sorted(outcome.position.offset for outcome in outcomes) == list(range(1, 9))


# Follow


async def test_what_follows_the_origin_is_fed_to_every_node_in_one_order(server: RedisServer) -> None:
    async with redis_node(server.url) as (one, one_feed), redis_node(server.url) as (two, two_feed):
        [before] = await publish(one, ONE, b"before")
        origin = await one.follow(ONE)
        assert origin == (before.position, before.arrived_ms)
        assert await two.follow(ONE) == origin
        randomly = random.Random(SEED)

        async def publish_some(backplane: RedisBackplane, name: str) -> None:
            for number in range(20):
                events = [f"{name}{number}.{part}".encode() for part in range(randomly.randint(1, 4))]
                await publish(backplane, ONE, *events)

        async with trio.open_nursery() as nursery:
            for name in "abcd":
                nursery.start_soon(publish_some, one if name < "c" else two, name)
        head = (await one.follow(ONE)).position
        for feed in (one_feed, two_feed):
            await feed.until(lambda feed=feed: len(feed.records[ONE]) == head.offset - 1)  # type: ignore[misc]
        assert one_feed.records == two_feed.records
        positions = [record.position for record in one_feed.records[ONE]]
        assert positions == [Position(head.epoch, offset) for offset in range(2, head.offset + 1)]
        stretch = await one.read(ONE, origin.position, 1000)
        assert list(stretch.records) == one_feed.records[ONE]


async def test_two_channels_have_two_logs(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, feed):
        one, two = await backplane.follow(ONE), await backplane.follow(TWO)
        assert one.position.epoch == two.position.epoch == UNBORN
        await publish(backplane, TWO, b"two")
        await feed.until(lambda: bool(feed.records[TWO]))
        assert not feed.records[ONE]
        assert (await backplane.follow(ONE)).position.epoch == UNBORN


async def test_two_databases_of_one_server_do_not_hear_each_other(server: RedisServer) -> None:
    async with redis_node(server.url) as (one, one_feed), redis_node(f"{server.url}/1") as (two, two_feed):
        await one.follow(ONE)
        await two.follow(ONE)
        await publish(one, ONE, b"one")
        await publish(two, ONE, b"two")
        for feed, event in ((one_feed, b"one"), (two_feed, b"two")):
            await feed.until(lambda feed=feed: bool(feed.records[ONE]))  # type: ignore[misc]
            assert feed.events(ONE) == [event]


async def test_the_feed_gets_nothing_of_a_channel_that_is_followed_no_longer(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, feed):
        origin = await backplane.follow(ONE)
        await backplane.follow(TWO)
        await publish(backplane, ONE, b"1")
        await feed.until(lambda: bool(feed.records[ONE]))
        backplane.unfollow(ONE, origin)
        await publish(backplane, ONE, b"2")
        await publish(backplane, TWO, b"2")
        await feed.until(lambda: bool(feed.records[TWO]))
        assert feed.events(ONE) == [b"1"]
        await eventually(lambda: subscribers(server) == 0)


def subscribers(server: RedisServer, channel: str = "user.u1") -> int:
    return int(server.cli("PUBSUB", "NUMSUB", f"courier:{{{channel}}}:feed:0").split()[-1])


async def test_a_follow_that_comes_right_after_an_unfollow_wins(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, feed):
        origin = await backplane.follow(ONE)
        randomly = random.Random(SEED)
        for number in range(1, 51):
            backplane.unfollow(ONE, origin)
            for _ in range(randomly.randint(0, 3)):
                await trio.lowlevel.checkpoint()
            position = (await backplane.follow(ONE)).position
            assert position.epoch == UNBORN if number == 1 else position.offset == number - 1
            await publish(backplane, ONE, b"%d" % number)
            await feed.until(lambda number=number: len(feed.records[ONE]) == number)  # type: ignore[misc]


async def test_of_two_channels_that_arrive_together_the_one_unfollowed_at_that_moment_is_not_fed(
    server: RedisServer,
) -> None:
    async with redis_node(server.url) as (backplane, feed):
        origins = {channel: await backplane.follow(channel) for channel in (ONE, TWO)}

        def unfollow_the_other(told: ChannelName | None) -> None:
            if told is None:
                return
            other = TWO if told == ONE else ONE
            backplane.unfollow(other, origins[other])

        feed.when_told = unfollow_the_other
        async with trio.open_nursery() as nursery:  # one pipeline, and so what it publishes comes at once
            nursery.start_soon(publish, backplane, ONE, b"1")
            nursery.start_soon(publish, backplane, TWO, b"1")
        await publish(backplane, GLOBAL, b"1")
        assert len(feed.events(ONE) + feed.events(TWO)) == 1


async def test_an_old_follow_that_is_cancelled_does_not_end_a_new_one(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, feed), trio.open_nursery() as nursery:
        with server.stopped(), trio.CancelScope() as scope:
            async with trio.open_nursery() as old:
                old.start_soon(backplane.follow, ONE)
                await trio.testing.wait_all_tasks_blocked()
                backplane.unfollow(ONE, Origin(Position("k3v9x0qa", 0), 0))
                nursery.start_soon(backplane.follow, ONE)
                await trio.testing.wait_all_tasks_blocked()
                scope.cancel()
        await backplane.follow(TWO)
        await eventually(lambda: subscribers(server) == 1)
        await publish(backplane, ONE, b"1")
        await feed.until(lambda: feed.events(ONE) == [b"1"])


async def test_a_follow_under_way_when_the_channel_is_unfollowed_leaves_no_subscription(
    server: RedisServer,
) -> None:
    async with redis_node(server.url) as (backplane, _):
        origin = await backplane.follow(ONE)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(backplane.follow, ONE, origin.position)
            await trio.testing.wait_all_tasks_blocked()
            backplane.unfollow(ONE, origin)
        await eventually(lambda: subscribers(server) == 0)


async def test_a_follow_that_is_cancelled_leaves_no_subscription_and_harms_no_other(
    server: RedisServer,
) -> None:
    async with redis_node(server.url) as (backplane, feed):
        await backplane.follow(TWO)
        followed: list[Origin] = []

        async def follow_one() -> None:
            followed.append(await backplane.follow(ONE))

        for number in range(60, -1, -1):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(backplane.follow, TWO)
                    nursery.start_soon(follow_one)
                    for _ in range(number):
                        await trio.lowlevel.checkpoint()
                    scope.cancel()
            if followed:
                backplane.unfollow(ONE, followed.pop())
        await eventually(lambda: subscribers(server) == 0)
        await publish(backplane, TWO, b"two")
        await feed.until(lambda: bool(feed.records[TWO]))


async def test_following_many_channels_at_once_takes_few_round_trips(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, feed):
        channels = [channel_name(f"user.{number}") for number in range(1000)]
        before = backplane.pipelines
        async with trio.open_nursery() as nursery:
            for channel in channels:
                nursery.start_soon(backplane.follow, channel)
        assert backplane.pipelines - before < 300
        await publish(backplane, channels[-1], b"1")
        await feed.until(lambda: bool(feed.records[channels[-1]]))


async def test_a_feed_that_fails_is_asked_to_look_and_fed_again(server: RedisServer) -> None:
    async with redis_node(server.url) as (backplane, feed):
        await backplane.follow(ONE)
        feed.doubts.clear()
        with feed.failing():
            await publish(backplane, ONE, b"1")
            await feed.until(lambda: feed.failed > 0)
        await feed.until(lambda: None in feed.doubts)
        await publish(backplane, ONE, b"2")
        await feed.until(lambda: feed.events(ONE) == [b"2"])


# Epochs


async def test_a_redis_that_lost_everything_starts_new_epochs_and_every_follower_is_told(
    server: RedisServer,
) -> None:
    async with redis_node(server.url) as (one, _), redis_node(server.url) as (two, two_feed):
        await one.follow(ONE)
        await two.follow(ONE)
        [last] = await publish(one, ONE, b"1")
        await two_feed.until(lambda: bool(two_feed.records[ONE]))
        server.cli("FLUSHALL")
        two_feed.doubts.clear()
        origin = await one.follow(ONE, last.position)
        assert origin.position.epoch != last.position.epoch
        assert origin.position.offset == 0
        assert origin.floor_ms >= last.arrived_ms
        await two_feed.until(lambda: ONE in two_feed.doubts)
        assert await two.follow(ONE, last.position) == origin, "one new epoch for all"


def remember(server: RedisServer) -> None:
    for key in ("where", "log"):
        server.cli("COPY", f"courier:{{user.u1}}:{key}", f"remembered:{{user.u1}}:{key}", "REPLACE")


def go_back(server: RedisServer) -> None:
    """As after a fail-over to a replica that was behind: the channel is as it was when it was remembered."""
    for key in ("where", "log"):
        server.cli("COPY", f"remembered:{{user.u1}}:{key}", f"courier:{{user.u1}}:{key}", "REPLACE")


async def test_a_publish_finds_that_acknowledged_events_are_lost_and_starts_a_new_epoch(
    server: RedisServer,
) -> None:
    async with redis_node(server.url) as (one, _), redis_node(server.url) as (two, feed):
        outcomes = await publish(one, ONE, b"1")
        await two.follow(ONE)
        remember(server)
        outcomes += await publish(one, ONE, b"2", b"3")
        await feed.until(lambda: len(feed.records[ONE]) == 2)
        go_back(server)
        async with redis_node(server.url) as (newcomer, _):
            [same] = await publish(newcomer, ONE, b"lost again")
        assert same.position == outcomes[1].position, "who knows of nothing lost cannot tell"
        [fresh] = await publish(one, ONE, b"4")
        assert fresh.position.epoch != outcomes[0].position.epoch
        assert fresh.position.offset == 1
        assert fresh.arrived_ms >= outcomes[2].arrived_ms
        await feed.until(lambda: feed.events(ONE)[-1:] == [b"4"])
        assert feed.records[ONE][-1].position == fresh.position
        [more] = await publish(one, ONE, b"5")
        assert more.position == Position(fresh.position.epoch, 2), (
            "another epoch's position says nothing of it"
        )


async def test_an_epoch_that_was_left_is_not_taken_up_again_where_its_events_were_seen(
    server: RedisServer,
) -> None:
    async with redis_node(server.url) as (backplane, _):
        old = await publish(backplane, ONE, b"1")
        remember(server)
        old += await publish(backplane, ONE, b"2")
        server.cli("DEL", "courier:{user.u1}:where")
        new = await publish(backplane, ONE, b"3", b"4")
        go_back(server)
        newest = await publish(backplane, ONE, b"5")
        assert len({outcome.position.epoch for outcome in (*old, *new, *newest)}) == 3


async def test_a_quiet_channel_keeps_its_position_when_its_events_are_gone(server: RedisServer) -> None:
    async with redis_node(server.url, RedisOptions(history_seconds=0.05)) as (backplane, _):
        [last] = await publish(backplane, GLOBAL, b"1")
        await eventually(lambda: server.cli("EXISTS", "courier:{global}:log") == "0")
        assert (await backplane.follow(GLOBAL)).position == last.position
        [following] = await publish(backplane, GLOBAL, b"2")
        assert following.position == Position(last.position.epoch, 2)
