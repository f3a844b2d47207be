"""CourierSyncClient: the same verbs for scripts, which wait."""

import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Any, Self

from anyio.from_thread import BlockingPortal, start_blocking_portal

from courier_client.client import QUEUE_SIZE, TIMEOUT_SECONDS, CourierClient
from courier_client.event import Event, Gap
from courier_client.receipt import Receipt
from courier_client.subscription import Subscription
from courier_client.tokens import Token


class CourierSyncClient:
    """A CourierClient in a thread of its own, for as long as its block lasts; all is as it says there.

    It may be used by many threads: what they publish at once travels together.
    """

    def __init__(
        self,
        *,
        url: str,
        service_name: str | None = None,
        token: Token | None = None,
        timeout: float | None = TIMEOUT_SECONDS,
        queue_size: int = QUEUE_SIZE,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._client = CourierClient(
            url=url,
            service_name=service_name,
            token=token,
            timeout=timeout,
            queue_size=queue_size,
            ssl_context=ssl_context,
        )
        self._thread: AbstractContextManager[BlockingPortal] = start_blocking_portal()
        self._portal: BlockingPortal | None = None

    def __repr__(self) -> str:
        return repr(self._client).replace("CourierClient", "CourierSyncClient")

    def __enter__(self) -> Self:
        self._portal = self._thread.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._portal is not None
        try:
            self._portal.call(self._client.aclose)
        finally:
            self._thread.__exit__(kind, error, trace)

    def publish(
        self,
        channel: str,
        event_type: str,
        data: Mapping[str, Any],
        trace_id: str | None = None,
        *,
        timeout: float | None = None,
    ) -> Receipt:
        """As `CourierClient.publish`."""
        return self._running.call(
            partial(self._client.publish, channel, event_type, data, trace_id, timeout=timeout)
        )

    def publish_many(
        self, events: Iterable[tuple[str, str, Mapping[str, Any]]], *, timeout: float | None = None
    ) -> list[Receipt]:
        """As `CourierClient.publish_many`; `events` is read by the client's thread."""
        return self._running.call(partial(self._client.publish_many, events, timeout=timeout))

    def subscribe(
        self, channel: str, *, since: str | datetime | None = None, token: Token | None = None
    ) -> "SyncSubscription":
        """As `CourierClient.subscribe`, for `with` or `for`."""
        return SyncSubscription(self._client.subscribe(channel, since=since, token=token), self._running)

    @property
    def _running(self) -> BlockingPortal:
        if self._portal is None:
            raise RuntimeError("a CourierSyncClient is used inside its `with` block")
        return self._portal


class SyncSubscription:
    """As `Subscription`."""

    def __init__(self, subscription: Subscription, portal: BlockingPortal) -> None:
        self._subscription = subscription
        self._portal = portal

    @property
    def position(self) -> str | None:
        """As `Subscription.position`."""
        return self._subscription.position

    def __enter__(self) -> Self:
        self._portal.call(self._subscription.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event | Gap]:
        return self

    def __next__(self) -> Event | Gap:
        item = self._portal.call(self._next)
        if item is None:
            raise StopIteration
        return item

    async def _next(self) -> Event | Gap | None:
        """The next one, or None at the end: a future cannot carry StopAsyncIteration."""
        return await anext(self._subscription, None)

    def close(self) -> None:
        """As `Subscription.close`."""
        self._portal.call(self._subscription.close)
