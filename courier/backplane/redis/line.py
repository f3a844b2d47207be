"""Line: the pub/sub connection to Redis, or to a cluster one to each primary."""

from binascii import crc_hqx
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import coredis
import trio
from coredis.connection import BaseConnection
from coredis.exceptions import RedisError

from courier.backplane.redis.connection import Client
from courier.schemas.channels import ChannelName

SILENCE_SECONDS = 1.0
"""How often each connection is asked whether it still is one; the client's time limit is for the answer."""
SLOTS = 16_384

Push = Sequence[object]
"""What Redis says unasked (RESP3): its kind, then what belongs to it."""


class Line:
    """Subscribes, and hears what Redis pushes. Made by `open_line`.

    coredis's own pub/sub classes are passed by: they subscribe again by themselves, which hides that
    something may have been missed, and they keep what was heard in a queue without a bound.
    """

    def __init__(self, client: Client, connections: dict[str, BaseConnection]) -> None:
        self._client = client
        self._connections = connections

    def subscribe(self, channel: ChannelName, feed: str) -> None:
        """Ask for what is published to `feed`; the answer is a push. RedisError when it cannot be asked."""
        self._ask("SUBSCRIBE", channel, feed)

    def unsubscribe(self, channel: ChannelName, feed: str) -> None:
        self._ask("UNSUBSCRIBE", channel, feed)

    async def run(self, hear: Callable[[Push], None]) -> None:
        """Call `hear` with every push; raises as soon as one of the connections breaks or hangs."""
        async with trio.open_nursery() as nursery:
            for connection in self._connections.values():
                nursery.start_soon(_hear, connection, hear)
                nursery.start_soon(_hear_errors, connection)
                nursery.start_soon(_keep_alive, connection)

    def _ask(self, verb: str, channel: ChannelName, feed: str) -> None:
        if not isinstance(self._client, coredis.RedisCluster):
            [connection] = self._connections.values()
            _send(connection, verb, feed)
            return
        # The feed's hash tag is the channel, so its slot is the channel's (the same CRC as in XMODEM).
        slot = crc_hqx(channel.name.encode(), 0) % SLOTS
        node = self._client.connection_pool.cluster_layout.node_for_slot(slot)
        if node.name not in self._connections:
            raise RedisError("The cluster has another primary than when this began")
        _send(self._connections[node.name], f"S{verb}", feed)


def _send(connection: BaseConnection, verb: str, feed: str) -> None:
    """RedisError when the connection is lost: coredis passes on the error of its own queue when it has closed
    that and does not call the connection unusable yet."""
    try:
        connection.send_command(verb.encode(), feed)
    except Exception as error:
        raise RedisError("The connection to Redis is lost") from error


@asynccontextmanager
async def open_line(client: Client) -> AsyncIterator[Line]:
    async with AsyncExitStack() as stack:
        pool = client.connection_pool
        if isinstance(client, coredis.RedisCluster):
            nodes = client.connection_pool.cluster_layout.primaries
            connections = {
                node.name: await stack.enter_async_context(pool.acquire(node=node)) for node in nodes
            }
        else:
            connections = {"": await stack.enter_async_context(pool.acquire())}
        yield Line(client, connections)


async def _hear(connection: BaseConnection, hear: Callable[[Push], None]) -> None:
    async with aclosing(connection.push_messages) as pushes:
        async for push in pushes:
            hear(push)


async def _hear_errors(connection: BaseConnection) -> None:
    """A subscription that is refused is answered out of turn."""
    async with aclosing(connection.streamed_messages) as messages:
        async for message in messages:
            if isinstance(message, Exception):
                raise message


async def _keep_alive(connection: BaseConnection) -> None:
    while True:
        await connection.create_request(b"PING")
        await trio.sleep(SILENCE_SECONDS)
