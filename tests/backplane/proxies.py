"""Proxy: stands before a server, so that single connections can be made to hang."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class Proxy:
    """Passes on what comes; connections over which somebody subscribed can be frozen, both ways."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._subscribed: set[trio.SocketStream] = set()
        self._frozen: set[trio.SocketStream] = set()
        self.port = 0

    def freeze_subscribers(self) -> int:
        """From now on nothing passes over the connections that subscribed so far; returns how many."""
        self._frozen |= self._subscribed
        return len(self._frozen)

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._handle, [listener])

    async def _handle(self, client: trio.SocketStream) -> None:
        try:
            server = await trio.open_tcp_stream("127.0.0.1", self._to_port)
            async with client, server, trio.open_nursery() as nursery:
                nursery.start_soon(self._pass_on, client, server, client, nursery.cancel_scope)
                nursery.start_soon(self._pass_on, server, client, client, nursery.cancel_scope)
        except* (OSError, trio.BrokenResourceError):
            pass
        finally:
            self._subscribed.discard(client)
            self._frozen.discard(client)

    async def _pass_on(
        self,
        source: trio.SocketStream,
        to: trio.SocketStream,
        client: trio.SocketStream,
        scope: trio.CancelScope,
    ) -> None:
        async for data in source:
            if source is client and b"SUBSCRIBE" in data:
                self._subscribed.add(client)
            if client not in self._frozen:
                await to.send_all(data)
        scope.cancel()


@asynccontextmanager
async def open_proxy(to_port: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(to_port)
    async with trio.open_nursery() as nursery:
        await nursery.start(proxy.serve)
        yield proxy
        nursery.cancel_scope.cancel()
