"""A state that is loaded, and what changes it: nothing is missing between the two."""

import json
import random
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Self

import anyio
import anyio.lowlevel
import pytest
from courier_client import CourierClient, CourierSyncClient, Event, Gap, Loaded
from courier_client.backoff import Backoff
from courier_client.closing import Closed
from nodes import Node, node, service_token, token
from usual import client, told

pytestmark = pytest.mark.anyio

INTERLEAVINGS = 1000
CHANGES = 8


class Shop:
    """A state, and a channel that tells of its changes: first it is written, then an event is published.

    It holds the newest events only, and what reads them is cut off now and then.
    """

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.state: dict[str, int] = {}
        self.log: list[dict[str, Any]] = []
        self.keep = self.chance.choice([2, 1000])
        self.news = anyio.Event()
        self.gaps = 0
        """After how many the state was loaded again."""

    async def others(self) -> None:
        """Let others go on, for as long as it happens."""
        for _ in range(self.chance.choice([0, 0, 1, 2, 4, 8])):
            await anyio.lowlevel.checkpoint()

    async def change(self) -> None:
        for number in range(CHANGES):
            await self.others()
            key = self.chance.choice("abcdefgh")
            self.state[key] = number
            await self.others()
            offset = len(self.log) + 1
            event = {"type": "t", "source": "s", "timestamp": "2026-12-01T12:00:00Z", "key": key}
            self.log.append({"id": f"k3v9x0qa-{offset}", "channel": "c", "n": number} | event)
            self.news.set()
            self.news = anyio.Event()

    async def load(self) -> dict[str, int]:
        await self.others()
        state = dict(self.state)
        await self.others()
        return state


class Socket:
    """Stands for the WebSocket to Courier, and says of the shop's channel what Courier would."""

    shop: Shop

    def __init__(self, since: str | None) -> None:
        self.closed: Closed | None = None
        self.unread = False
        shop = self.shop
        self.cursor = len(shop.log) if since is None else int(since.partition("-")[2])
        dropped = max(0, len(shop.log) - shop.keep)
        self.texts: list[str] = []
        gap = self.cursor < dropped
        at = max(self.cursor, dropped)
        joined = {"position": f"k3v9x0qa-{at}", "recovered": since is not None and not gap}
        self.say("courier.joined", **joined, heartbeat_seconds=30)
        if gap:
            told = {"requested": since, "resumed_from": f"k3v9x0qa-{at}", "reason": "expired"}
            self.say("courier.gap", channel="c", **told)
        self.cursor = at

    @classmethod
    async def open(cls, address: object, target: str, *_: object) -> Self:
        await cls.shop.others()
        return cls(target.partition("since=")[2] or None)

    def say(self, kind: str, **said: Any) -> None:
        self.texts.append(json.dumps({"type": kind} | said))

    async def receive(self) -> list[str]:
        if not self.texts and self.shop.chance.random() < 0.2:
            self.closed = Closed(1006, "")
            return []
        while not self.texts and self.cursor == len(self.shop.log):
            await self.shop.news.wait()
        self.texts += [json.dumps(event) for event in self.shop.log[self.cursor :]]
        self.cursor = len(self.shop.log)
        texts, self.texts = self.texts, []
        return texts

    async def send(self, text: str) -> None:
        """Nothing is asked."""

    def close(self) -> None:
        self.closed = Closed(1006, "")


Reader = Callable[[CourierClient, Shop], Awaitable[dict[str, int]]]


def caught_up(shop: Shop, position: str | None) -> bool:
    return len(shop.log) == CHANGES and position == f"k3v9x0qa-{CHANGES}"


async def follow(courier: CourierClient, shop: Shop) -> dict[str, int]:
    async with courier.follow("c", shop.load) as changes:
        async for change in changes:
            if isinstance(change, Loaded):
                shop.gaps += change.gap is not None
                state = change.state
            else:
                state[change.data["key"]] = change.data["n"]
            if caught_up(shop, changes.position):
                break
    return state


async def load_then_subscribe(courier: CourierClient, shop: Shop) -> dict[str, int]:
    """What everybody does first. A gap is read over."""
    state = await shop.load()
    async with courier.subscribe("c") as changes:
        while not caught_up(shop, changes.position):
            change = await anext(changes)
            if isinstance(change, Event):
                state[change.data["key"]] = change.data["n"]
    return state


async def right(reader: Reader, seed: int, monkeypatch: pytest.MonkeyPatch) -> Shop | None:
    """The shop, when the reader ends with the state that there is."""
    random.seed(seed)  # of the order in which tasks run, and of what the client draws
    shop = Shop(seed)
    monkeypatch.setattr(Socket, "shop", shop, raising=False)
    found: list[dict[str, int]] = []

    async def read() -> None:
        found.append(await reader(courier, shop))

    with anyio.fail_after(10):
        async with CourierClient("http://127.0.0.1:1") as courier, anyio.create_task_group() as tasks:
            tasks.start_soon(read)
            tasks.start_soon(shop.change)
    return shop if found == [shop.state] else None


@pytest.fixture
def fake_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("courier_client.reading.WebSocket", Socket)
    monkeypatch.setattr("courier_client.reading.BACKOFF", Backoff(base_seconds=0, cap_seconds=0))


@pytest.mark.usefixtures("fake_sockets")
async def test_the_state_is_right_however_loading_and_changes_interleave(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gaps = 0
    for seed in range(INTERLEAVINGS):
        shop = await right(follow, seed, monkeypatch)
        assert shop is not None, f"with seed {seed}"
        gaps += shop.gaps
    assert gaps


@pytest.mark.usefixtures("fake_sockets")
async def test_to_load_and_then_to_subscribe_misses_what_changed_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not all([await right(load_then_subscribe, seed, monkeypatch) for seed in range(50)])


async def test_an_event_that_is_published_while_the_state_loads_comes_after_it(shared: Node) -> None:
    channel, state = "backtest.follow", ["before"]
    async with client(shared.url) as courier:

        async def load() -> list[str]:
            seen = list(state)
            await courier.publish(*told("meanwhile", channel))
            return seen

        async with courier.follow(channel, load, token=token()) as changes:
            first = await anext(changes)
            second = await anext(changes)
        assert isinstance(first, Loaded)
        assert (first.state, first.gap) == (["before"], None)
        assert isinstance(second, Event)
        assert second.data["title"] == "meanwhile"
        assert await anext(changes, None) is None
        async for change in courier.follow(channel, lambda: "not async", token=token()):
            assert change == Loaded("not async", second.id, None)
            break


async def test_after_a_gap_the_state_is_loaded_again() -> None:
    loads: list[int] = []

    def load() -> int:
        loads.append(len(loads))
        return loads[-1]

    with node() as one:
        async with client(one.url) as courier, courier.follow("global", load, token=token()) as changes:
            await anext(changes)
            await courier.publish(*told("a"))
            assert isinstance(await anext(changes), Event)
            one.kill()
            one.start()
            with anyio.fail_after(20):
                again = await anext(changes)  # in memory, a log ends with its node
            assert isinstance(again, Loaded)
            assert again.state == 1
            assert isinstance(again.gap, Gap)
            assert again.position == again.gap.resumed_from


async def test_what_load_raises_comes_out_and_the_next_step_loads_again(shared: Node) -> None:
    answers: list[Exception | str] = [OSError("the database is away"), "loaded"]

    def load() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with client(shared.url) as courier, courier.follow("global", load, token=token()) as changes:
        with pytest.raises(OSError, match="database is away"):
            await anext(changes)
        again = await anext(changes)
        assert isinstance(again, Loaded)
        assert again.state == "loaded"
        closed = courier.follow("global", load, token=token())
        closed.close()
        assert await anext(closed, None) is None


def test_a_script_loads_in_its_own_thread(shared: Node) -> None:
    channel, threads = "backtest.follow_sync", []
    with CourierSyncClient(url=shared.url, service_name="tests", token=service_token()) as courier:

        def load() -> str:
            threads.append(threading.current_thread())
            courier.publish(*told("meanwhile", channel))
            return "state"

        with courier.follow(channel, load, token=token()) as changes:
            first, second = next(changes), next(changes)
        assert isinstance(first, Loaded)
        assert first.state == "state"
        assert isinstance(second, Event)
        assert second.data["title"] == "meanwhile"
        assert threads == [threading.current_thread()]
        assert list(changes) == []
