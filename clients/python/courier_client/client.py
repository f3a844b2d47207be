"""CourierClient: publish and subscribe, on asyncio and on Trio."""

import math
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, overload
from weakref import WeakSet

import anyio

from courier_client.address import Address
from courier_client.connection import Connection
from courier_client.encoding import encode
from courier_client.errors import (
    ClientClosed,
    CourierError,
    NotAllPublished,
    PublishTimeout,
    Unsendable,
)
from courier_client.following import Following, State
from courier_client.publisher import Publisher, Waiter
from courier_client.publishers import Publishers
from courier_client.receipt import Receipt
from courier_client.subscription import Subscription
from courier_client.tokens import Token, TokenSource

TIMEOUT_SECONDS = 30.0
QUEUE_SIZE = 2000
"""Two full batches: one under way, and one that waits."""


class CourierClient:
    """A service's way to Courier, open for the length of its block or until `close`. It starts no task.

    One client serves any number of event loops, also one after the other, as where each job has an
    `asyncio.run` of its own: each loop has its own connections and queue, which end with it.

    `url` is the node's or the balancer's, `http://…` or `https://…`. `service_name` is the `source` of all
    that is published; a client that only subscribes needs none. `token` is a token, or a callable, async or
    not, that gives one: it is asked at the first need and when a token has expired. `timeout` is for how
    long, in seconds, a publish is tried; None: for ever. `queue_size` events may wait for their receipts at
    a time; another publish waits for room, within its time. `ssl_context` replaces the system's authorities.
    """

    def __init__(
        self,
        url: str,
        service_name: str | None = None,
        *,
        token: Token | None = None,
        timeout: float | None = TIMEOUT_SECONDS,
        queue_size: int = QUEUE_SIZE,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._address = Address.parse(url, ssl_context)
        if service_name is not None and not (service_name.isascii() and service_name.isprintable()):
            raise ValueError("a service's name is lower-case letters, digits, _ and -, such as forge")
        self._service_name = service_name
        self._token = TokenSource(token)
        self._timeout = timeout
        self._queue_size = queue_size
        self._publishers = Publishers(self._new_publisher)
        self._closed = False
        self._subscriptions: WeakSet[Subscription | Connection] = WeakSet()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(url={self._address.url!r}, service_name={self._service_name!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close what is open: subscriptions end, and publishes of other tasks raise ClientClosed.

        What other event loops have open ends with them.
        """
        self._closed = True
        for subscription in list(self._subscriptions):
            subscription.close()
        await self._publishers.close()

    async def aclose(self) -> None:
        """As `close`, for `contextlib.aclosing`."""
        await self.close()

    async def publish(
        self,
        channel: str,
        event_type: str,
        data: Mapping[str, Any],
        trace_id: str | None = None,
        *,
        timeout: float | None = None,
    ) -> Receipt:
        """Publish one event: its receipt says that it is in the channel's log, once.

        `data` are the event's own fields; a `timestamp` among them replaces the time of this call. Publishes
        that are issued at once travel in one request; those of one task to one channel keep their order.

        Raises a PublishError: what was refused, or a PublishTimeout after `timeout` seconds (left out: the
        client's); Unsendable, at once, when `data` cannot be JSON or has a field that is given otherwise.
        """
        event = self._event(channel, event_type, data, trace_id, timeout)
        publisher = await self._open()
        await publisher.admit(event)
        return await publisher.outcome(event)

    async def publish_many(
        self, events: Iterable[tuple[str, str, Mapping[str, Any]]], *, timeout: float | None = None
    ) -> list[Receipt]:
        """Publish each `(channel, event_type, data)`, in order; the receipts, in order.

        `events` may be of any length: it is read as there is room in the queue. `timeout` is each event's,
        from when it was read. Raises NotAllPublished when some have no receipt: its `results` have them all,
        receipts and errors, in order.
        """
        publisher = await self._open()
        results: list[Receipt | CourierError] = []
        under_way: deque[Waiter] = deque()

        async def finish() -> None:
            try:
                results.append(await publisher.outcome(under_way.popleft()))
            except CourierError as error:
                results.append(error)

        try:
            for channel, event_type, data in events:
                try:
                    event = self._event(channel, event_type, data, None, timeout)
                except Unsendable as error:
                    while under_way:  # the results are in the order of the events
                        await finish()
                    results.append(error)
                    continue
                while publisher.full and under_way:
                    await finish()
                try:
                    await publisher.admit(event)
                except PublishTimeout as error:
                    # Nothing is under way: who has events in the queue does not wait there.
                    results.append(error)
                else:
                    under_way.append(event)
            while under_way:
                await finish()
        finally:
            for event in under_way:
                publisher.leave(event)
        receipts = [one for one in results if isinstance(one, Receipt)]
        if len(receipts) < len(results):
            raise NotAllPublished(results)
        return receipts

    def subscribe(
        self, channel: str, *, since: str | datetime | None = None, token: Token | None = None
    ) -> Subscription:
        """The channel's events, for `async with` or `async for`; after `since`, a position or a time, if
        given.

        `token` is a subscriber's, or a callable as for the client; left out, it is the client's own.
        """
        if self._closed:
            raise ClientClosed("The client is closed")
        source = self._token if token is None else TokenSource(token)
        start = since.isoformat() if isinstance(since, datetime) else since
        subscription = Subscription(self._address, channel, source, start)
        self._subscriptions.add(subscription)
        return subscription

    @overload
    def follow(
        self, channel: str, load: Callable[[], Awaitable[State]], *, token: Token | None = None
    ) -> Following[State]: ...

    @overload
    def follow(
        self, channel: str, load: Callable[[], State], *, token: Token | None = None
    ) -> Following[State]: ...

    def follow(self, channel: str, load: Callable[[], Any], *, token: Token | None = None) -> Following[Any]:
        """A state and the events that change it, for `async with` or `async for`: what `load` gives, async or
        not, then each event that was published since; after a gap the state is loaded again.

        `token` as for `subscribe`.
        """
        return Following(self.subscribe(channel, token=token), load)

    def connect(self, *, token: Token | None = None) -> Connection:
        """One connection for many channels, for `async with`: its `subscribe` adds one, and `async for` goes
        over what comes of all.

        `token` is a subscriber's, or a callable as for the client; left out, it is the client's own.
        """
        if self._closed:
            raise ClientClosed("The client is closed")
        connection = Connection(self._address, self._token if token is None else TokenSource(token))
        self._subscriptions.add(connection)
        return connection

    async def _open(self) -> Publisher:
        if self._closed:
            raise ClientClosed("The client is closed")
        return self._publishers.here or await self._publishers.open()

    def _new_publisher(self) -> Publisher:
        if self._service_name is None:
            raise ValueError("to publish, a client needs a service_name")
        return Publisher(self._address, self._service_name, self._token, self._queue_size)

    def _event(
        self,
        channel: str,
        event_type: str,
        data: Mapping[str, Any],
        trace_id: str | None,
        timeout: float | None,
    ) -> Waiter:
        try:
            channel.encode()  # else it would fail in the request that it shares with the events of others
            body = encode(event_type, self._service_name or "", data, trace_id)
        except (ValueError, TypeError, AttributeError) as error:
            raise Unsendable(
                f"{event_type!a} to {channel!a} cannot be sent: {error}",
                channel=channel,
                event_type=event_type,
                unknown=False,
            ) from error
        seconds = self._timeout if timeout is None else timeout
        deadline = math.inf if seconds is None else anyio.current_time() + seconds
        return Waiter(channel, event_type, body, deadline)
