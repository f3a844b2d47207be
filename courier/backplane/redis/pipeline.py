"""Pipeline: many script calls in one write, and their answers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import coredis
from coredis.connection import BaseConnection

from courier.backplane.redis.calls import Call
from courier.backplane.redis.connection import Client
from courier.backplane.redis.scripts import Script


class Pipeline(Protocol):
    """What a pump asks of Redis. Each of these raises when the connection is of no more use."""

    async def ping(self) -> None: ...

    async def load(self, script: Script) -> None: ...

    async def exchange(self, calls: Sequence[Call]) -> Sequence[Any]:
        """An answer for each call, in order; one that Redis refused is an exception among the answers."""


@asynccontextmanager
async def open_pipeline(client: Client) -> AsyncIterator[Pipeline]:
    """A pipeline for the length of a block, on a connection of its own where there is one server."""
    if isinstance(client, coredis.RedisCluster):
        yield _ToCluster(client)
    else:
        async with client.connection_pool.acquire() as connection:
            yield _ToServer(connection)


class _Evalsha:
    """What a connection of coredis needs of a command, and nothing of what its clients make of one."""

    __slots__ = ("serialized_arguments",)

    name = b"EVALSHA"
    decode = False

    def __init__(self, call: Call) -> None:
        self.serialized_arguments = (call.script.sha, len(call.keys), *call.keys, *call.arguments)


class _ToServer:
    """Calls go to the connection as they are: coredis's own pipeline makes an object of many fields of each,
    and takes and gives back a connection, which costs more than the rest of a call."""

    def __init__(self, connection: BaseConnection) -> None:
        self._connection = connection

    async def ping(self) -> None:
        await self._connection.create_request(b"PING")

    async def load(self, script: Script) -> None:
        await self._connection.create_request(b"SCRIPT LOAD", script.text)

    async def exchange(self, calls: Sequence[Call]) -> Sequence[Any]:
        commands: Any = [_Evalsha(call) for call in calls]
        answers: Sequence[Any] = await self._connection.create_request_batch(commands)
        return answers


class _ToCluster:
    """Calls go by coredis's pipeline, which knows which server each is for."""

    def __init__(self, client: "coredis.RedisCluster[bytes]") -> None:
        self._client = client

    async def ping(self) -> None:
        await self._client.ping()

    async def load(self, script: Script) -> None:
        await self._client.script_load(script.text)

    async def exchange(self, calls: Sequence[Call]) -> Sequence[Any]:
        pipeline = self._client.pipeline(transaction=False, raise_on_error=False)
        async with pipeline:
            for call in calls:
                pipeline.evalsha(call.script.sha, call.keys, call.arguments)
        return pipeline.results or ()
