"""Following: a state that is loaded, and the events that change it, with none missing between the two."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

from courier_client.event import Event, Gap
from courier_client.subscription import Subscription
from courier_client.sync_reading import SyncSubscription

State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class Loaded(Generic[State]):
    """The state as `load` gave it. It takes the place of the one before."""

    state: State
    position: str
    """Events up to here are in it, if they were published after the state was written. Events behind it come;
    some of them may be in the state as well."""
    gap: Gap | None
    """Why it was loaded again: these events are missing. None the first time."""


class Following(Generic[State]):
    """First a Loaded, then each event that was published since; after a gap another Loaded.

    `async with courier.follow(…) as changes:` has joined when its block begins, and `async for` goes over
    them. The state is loaded after the join: what changes meanwhile comes as an event. What `load` raises
    comes out of the loop; the next step loads again. All else is as of a `Subscription`.
    """

    def __init__(self, subscription: Subscription, load: Callable[[], State | Awaitable[State]]) -> None:
        self._subscription = subscription
        self._load = load
        self._gap: Gap | None = None
        self._due = True
        """The state is to be loaded."""

    def __repr__(self) -> str:
        return f"Following(channel={self.channel!r}, position={self.position!r})"

    @property
    def channel(self) -> str:
        return self._subscription.channel

    @property
    def position(self) -> str | None:
        """As `Subscription.position`."""
        return self._subscription.position

    async def __aenter__(self) -> Self:
        await self._subscription.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Loaded[State] | Event:
        if not self._due:
            item = await anext(self._subscription)
            if isinstance(item, Event):
                return item
            self._gap, self._due = item, True
        if not await self._subscription.join():
            raise StopAsyncIteration
        assert self.position is not None
        loaded = self._load()
        state = await loaded if isinstance(loaded, Awaitable) else loaded
        self._due = False
        return Loaded(state, self.position, self._gap)

    async def aclose(self) -> None:
        """As `close`, for `contextlib.aclosing`."""
        self.close()

    def close(self) -> None:
        """As `Subscription.close`."""
        self._subscription.close()


class SyncFollowing(Generic[State]):
    """As `Following`. `load` is called by the thread that iterates."""

    def __init__(self, subscription: SyncSubscription, load: Callable[[], State]) -> None:
        self._subscription = subscription
        self._load = load
        self._gap: Gap | None = None
        self._due = True

    @property
    def position(self) -> str | None:
        """As `Subscription.position`."""
        return self._subscription.position

    def __enter__(self) -> Self:
        self._subscription.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Loaded[State] | Event]:
        return self

    def __next__(self) -> Loaded[State] | Event:
        if not self._due:
            item = next(self._subscription)
            if isinstance(item, Event):
                return item
            self._gap, self._due = item, True
        if not self._subscription.join():
            raise StopIteration
        assert self.position is not None
        state = self._load()
        self._due = False
        return Loaded(state, self.position, self._gap)

    def close(self) -> None:
        """As `Subscription.close`."""
        self._subscription.close()
