"""CourierSyncClient: the same verbs for scripts, which wait."""

import os
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from threading import Lock
from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import WeakSet

from courier_client.client import QUEUE_SIZE, TIMEOUT_SECONDS, CourierClient
from courier_client.errors import ClientClosed, PublishTimeout
from courier_client.following import State, SyncFollowing
from courier_client.receipt import Receipt
from courier_client.sync_reading import LoopThread, SyncConnection, SyncSubscription
from courier_client.tokens import Token

_LATE_SECONDS = 0.5
"""How much later than its timeout a publish ends whose thread does not answer at all."""

_GOODBYE_SECONDS = 2.0
"""How long a thread that does not answer may hold up `close`; then it is left behind."""

_T = TypeVar("_T")


class CourierSyncClient:
    """A CourierClient in a thread of its own, from its first use until its block ends or `close`.

    It may be used by many threads: what they publish at once travels together. A process that was forked
    has a thread and connections of its own, so the client may be made before the fork.
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
        self._make = partial(
            CourierClient,
            url,
            service_name,
            token=token,
            timeout=timeout,
            queue_size=queue_size,
            ssl_context=ssl_context,
        )
        self._timeout = timeout
        self._closed = False
        self._begin()
        _CLIENTS.add(self)

    def _begin(self) -> None:
        self._lock = Lock()
        self._client = self._make()
        self._thread: LoopThread | None = None

    def __repr__(self) -> str:
        return repr(self._client).replace("CourierClient", "CourierSyncClient")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if (thread := getattr(self, "_thread", None)) is not None:
            thread.stop_soon()

    def close(self) -> None:
        """As `CourierClient.close`; its thread ends."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            closing = thread.portal.start_task_soon(self._client.close)
            with suppress(TimeoutError):
                closing.result(_GOODBYE_SECONDS)
            thread.stop_soon()
            thread.join(_GOODBYE_SECONDS)

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
        seconds = self._timeout if timeout is None else timeout
        try:
            return self._run(
                partial(self._client.publish, channel, event_type, data, trace_id, timeout=timeout),
                None if seconds is None else seconds + _LATE_SECONDS,
            )
        except TimeoutError:
            raise PublishTimeout(
                f"{event_type} to {channel} has no receipt in time; it may be published all the same;"
                " the client's thread is held up, by a callable for tokens, perhaps",
                channel=channel,
                event_type=event_type,
                unknown=True,
            ) from None

    def publish_many(
        self, events: Iterable[tuple[str, str, Mapping[str, Any]]], *, timeout: float | None = None
    ) -> list[Receipt]:
        """As `CourierClient.publish_many`; `events` is read by the client's thread."""
        return self._run(partial(self._client.publish_many, events, timeout=timeout))

    def subscribe(
        self, channel: str, *, since: str | datetime | None = None, token: Token | None = None
    ) -> SyncSubscription:
        """As `CourierClient.subscribe`, for `with` or `for`."""
        return SyncSubscription(self._client.subscribe(channel, since=since, token=token), self._running())

    def follow(
        self, channel: str, load: Callable[[], State], *, token: Token | None = None
    ) -> SyncFollowing[State]:
        """As `CourierClient.follow`, for `with` or `for`; `load` is called by the thread that iterates."""
        return SyncFollowing(self.subscribe(channel, token=token), load)

    def connect(self, *, token: Token | None = None) -> SyncConnection:
        """As `CourierClient.connect`, for `with`."""
        return SyncConnection(self._client.connect(token=token), self._running())

    def _running(self) -> LoopThread:
        with self._lock:
            if self._closed:
                raise ClientClosed("The client is closed")
            self._thread = self._thread or LoopThread()
            return self._thread

    def _run(self, call: Callable[[], Awaitable[_T]], seconds: float | None = None) -> _T:
        """What `call` gives, run by the thread; TimeoutError when it gives nothing for so long."""
        future = self._running().portal.start_task_soon(call)
        try:
            return future.result(seconds)
        except BaseException:
            future.cancel()  # the wait may have been interrupted
            raise


_CLIENTS: "WeakSet[CourierSyncClient]" = WeakSet()
_OF_THE_PARENT: list[object] = []
"""In a forked process, what is kept so that no destructor reaches for the parent's event loop."""


def _begin_anew() -> None:
    """After a fork, in the child: the threads are the parent's, and so are the connections."""
    for client in list(_CLIENTS):
        _OF_THE_PARENT.append((client._client, client._thread))
        client._begin()


os.register_at_fork(after_in_child=_begin_anew)
