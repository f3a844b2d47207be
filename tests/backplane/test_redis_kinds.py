"""Redis over TLS, with an access list, as a cluster, and behind a sentinel."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trustme

from courier.backplane import BackplaneAway, Publication
from courier.backplane.redis import RedisBackplane
from courier.schemas.channels import ChannelName
from courier.schemas.position import Position
from tests.backplane.documented_redis import USERS, DocumentedRedis, documented_redis, granted_on_a_cluster
from tests.backplane.feeds import Recorder
from tests.backplane.redis_nodes import ONE, TWO, eventually, publish, redis_node
from tests.backplane.redis_servers import (
    RedisCluster,
    RedisServer,
    needs_redis,
    redis_cluster,
    redis_sentinel,
    redis_server,
)
from tests.names import channel_name

pytestmark = needs_redis


async def works(backplane: RedisBackplane, feed: Recorder, *channels: ChannelName) -> None:
    """Publish, follow, read and admit, of each channel."""
    for channel in channels:
        origin = await backplane.follow(channel)
        outcomes = await publish(backplane, channel, b"1", b"2")
        await feed.until(lambda channel=channel: feed.events(channel) == [b"1", b"2"])  # type: ignore[misc]
        stretch = await backplane.read(channel, origin.position, 10)
        assert [record.position for record in stretch.records] == [outcome.position for outcome in outcomes]
    assert (await backplane.admit(f"for-{channels[0].id}", 1, 10, 60)).remaining == 9


# TLS and access


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA, tmp_path: Path) -> Iterator[RedisServer]:
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    options = ("--tls-cert-file", tmp_path / "cert.pem", "--tls-key-file", tmp_path / "key.pem")
    more = ("--tls-ca-cert-file", tmp_path / "ca.pem", "--tls-auth-clients", "no")
    with redis_server(*map(str, options + more), tls=True) as server:
        yield server


async def test_tls_is_verified_by_the_authority_that_the_url_names(
    secure: RedisServer, tmp_path: Path
) -> None:
    url = f"rediss://127.0.0.1:{secure.port}?ssl_ca_certs={tmp_path / 'ca.pem'}"
    async with redis_node(url) as (backplane, feed):
        assert backplane.trouble is None
        await works(backplane, feed, ONE)


async def test_a_certificate_that_nobody_vouches_for_is_not_taken(secure: RedisServer) -> None:
    async with redis_node(f"rediss://127.0.0.1:{secure.port}") as (backplane, _):
        assert backplane.trouble is not None
        with pytest.raises(BackplaneAway):
            await backplane.follow(ONE)


@pytest.fixture
def guarded() -> Iterator[DocumentedRedis]:
    """With the users of the runbook."""
    with documented_redis(USERS.replace(">PASSWORD", ">s3cret/")) as server:
        yield server


async def test_a_user_with_an_access_list_is_enough(guarded: DocumentedRedis) -> None:
    async with redis_node(f"redis://courier:s3cret%2F@127.0.0.1:{guarded.port}/2") as (backplane, feed):
        assert backplane.trouble is None
        await works(backplane, feed, ONE)
        await backplane.publish(ONE, [Publication(b"3", "svc key", b"digest")], 0)


async def test_a_wrong_password_is_a_redis_that_is_away_and_stands_in_no_log(
    guarded: DocumentedRedis, caplog: pytest.LogCaptureFixture
) -> None:
    async with redis_node(f"redis://courier:hunter2@127.0.0.1:{guarded.port}") as (backplane, _):
        assert backplane.trouble is not None
        with pytest.raises(BackplaneAway):
            await publish(backplane, ONE, b"1")
    assert "the login: WRONGPASS" in caplog.text
    assert "hunter2" not in caplog.text


async def test_a_user_who_may_not_subscribe_cannot_follow_and_the_log_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    with documented_redis(USERS.replace("&courier:*", "resetchannels")) as guarded:
        async with redis_node(guarded.url) as (backplane, _):
            assert backplane.trouble == "Redis refused the write: NOPERM", "it publishes to the channels, too"
            with pytest.raises(BackplaneAway):
                await backplane.follow(ONE)
    assert "permissions to access" in caplog.text


# A cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    with redis_cluster() as cluster:
        yield cluster


async def test_a_cluster_keeps_each_channel_on_one_server_and_feeds_every_node(cluster: RedisCluster) -> None:
    channels = [channel_name(f"user.{number}") for number in range(12)]
    assert {cluster.owner_of(f"{{{channel}}}").port for channel in channels} == {
        server.port for server in cluster.servers
    }
    async with redis_node(cluster.url) as (one, feed), redis_node(cluster.url) as (two, other):
        for channel in channels:
            await two.follow(channel)
        await works(one, feed, *channels)
        for channel in channels:
            await other.until(lambda channel=channel: len(other.records[channel]) == 2)  # type: ignore[misc]
            assert other.records[channel] == feed.records[channel]
            assert cluster.owner_of(f"{{{channel}}}").cli("EXISTS", f"courier:{{{channel}}}:log") == "1"
        async with trio.open_nursery() as nursery:
            for channel in channels:
                nursery.start_soon(publish, one, channel, b"3")
        for channel in channels:
            await other.until(lambda channel=channel: len(other.records[channel]) == 3)  # type: ignore[misc]
        two.unfollow(channels[0], await two.follow(channels[0]))
        one.unfollow(channels[0], await one.follow(channels[0]))
        name = f"courier:{{{channels[0]}}}:feed:0"
        owner = cluster.owner_of(name)
        await eventually(lambda: owner.cli("PUBSUB", "SHARDNUMSUB", name).split()[-1] == "0")


async def test_on_a_cluster_the_documented_user_may_do_what_is_needed_and_no_more(
    cluster: RedisCluster,
) -> None:
    [rights] = [line.split()[2:] for line in USERS.splitlines() if line.startswith("user courier")]
    needed = granted_on_a_cluster()
    for server in cluster.servers:
        server.cli("ACL", "SETUSER", "courier", *rights, *needed)
        server.cli("CONFIG", "RESETSTAT")
    async with redis_node(cluster.url.replace("://", "://courier:PASSWORD@")) as (backplane, feed):
        assert backplane.trouble is None
        channels = [channel_name(f"user.c{number}") for number in range(6)]
        await works(backplane, feed, *channels)
        await eventually(lambda: backplane.usage is not None)
        assert backplane.trouble is None
    called = {name for name in needed if any(server.calls_of(name[1:]) for server in cluster.servers)}
    assert called == set(needed)


async def test_a_slot_that_moves_to_another_server_takes_its_channel_along(cluster: RedisCluster) -> None:
    channel = channel_name("user.moving")
    tag = f"{{{channel}}}"
    slot = cluster.servers[0].cli("CLUSTER", "KEYSLOT", tag)
    source = cluster.owner_of(tag)
    target = next(server for server in cluster.servers if server is not source)
    async with redis_node(cluster.url, seconds=20) as (backplane, feed):
        await works(backplane, feed, channel)
        feed.doubts.clear()
        ids = {server: server.cli("CLUSTER", "MYID") for server in (source, target)}
        target.cli("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        source.cli("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        keys = source.cli("CLUSTER", "GETKEYSINSLOT", slot, 100).split()
        source.cli("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        for server in (target, source, *(s for s in cluster.servers if s not in (source, target))):
            server.cli("CLUSTER", "SETSLOT", slot, "NODE", ids[target])
        with trio.fail_after(1):
            await feed.until(lambda: None in feed.doubts)
        [outcome] = await publish(backplane, channel, b"3")
        assert outcome.position.offset == 3
        await feed.until(lambda: feed.events(channel)[-1:] == [b"3"])
        assert target.cli("EXISTS", f"courier:{tag}:log") == "1"


async def test_a_node_leaves_in_peace_while_a_server_of_its_cluster_hangs(cluster: RedisCluster) -> None:
    with cluster.servers[1].stopped():
        async with redis_node(cluster.url) as (backplane, _):
            assert backplane.trouble is not None


async def test_a_cluster_that_lost_a_server_is_away_and_comes_back_with_it(cluster: RedisCluster) -> None:
    owner = cluster.owner_of("{user.lost}")
    channel = channel_name("user.lost")
    async with redis_node(cluster.url, seconds=25) as (backplane, feed):
        await backplane.follow(channel)
        owner.kill()
        await eventually(lambda: backplane.trouble is not None)
        with pytest.raises(BackplaneAway):
            await publish(backplane, channel, b"never")
        feed.doubts.clear()
        owner.start()
        await eventually(lambda: "cluster_state:ok" in owner.cli("CLUSTER", "INFO"), 10)
        await eventually(lambda: backplane.trouble is None)
        await feed.until(lambda: None in feed.doubts)
        await backplane.follow(channel)
        await publish(backplane, channel, b"after")
        await feed.until(lambda: feed.events(channel) == [b"after"])


# A sentinel


AT_ONCE = ("--repl-diskless-sync-delay", "0")
"""A replica is given its copy at once."""


async def test_a_sentinel_says_where_the_primary_is() -> None:
    with redis_server() as primary, redis_sentinel(primary) as sentinel:
        async with redis_node(sentinel.url) as (backplane, feed):
            assert backplane.trouble is None
            await works(backplane, feed, ONE, TWO)
            assert primary.cli("EXISTS", "courier:{user.u1}:log") == "1"


async def test_after_a_fail_over_the_node_goes_on_with_the_new_primary(tmp_path: Path) -> None:
    with redis_server(*AT_ONCE) as primary, redis_server(*AT_ONCE) as replica:
        replica.cli("REPLICAOF", "127.0.0.1", primary.port)
        await eventually(lambda: "master_link_status:up" in replica.cli("INFO", "replication"))
        with redis_sentinel(primary) as sentinel:
            async with redis_node(sentinel.url, seconds=25) as (backplane, feed):
                await works(backplane, feed, ONE)
                last = (await backplane.follow(ONE)).position
                await eventually(lambda: "slaves=1" in sentinel.cli("INFO", "sentinel"), 15)
                offset = "courier:{user.u1}:where", "offset"
                await eventually(lambda: replica.cli("HGET", *offset) == str(last.offset))
                feed.doubts.clear()
                await eventually(lambda: sentinel.cli("SENTINEL", "FAILOVER", "main") == "OK")
                await eventually(lambda: "role:master" in replica.cli("INFO", "replication", check=False), 10)
                primary.kill()
                await eventually(lambda: backplane.trouble is not None or None in feed.doubts)
                await eventually(lambda: backplane.trouble is None, 10)
                with trio.fail_after(10):
                    while True:
                        try:
                            [outcome] = await publish(backplane, ONE, b"3")
                            break
                        except BackplaneAway:
                            await trio.sleep(0.1)
                assert outcome.position == Position(last.epoch, last.offset + 1)
                assert replica.cli("EXISTS", "courier:{user.u1}:log") == "1"
