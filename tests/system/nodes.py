"""Nodes that share a Redis: publishers that note what was acknowledged, readers that note what they got."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import trio
from trio_websocket import ConnectionClosed

from tests.web.servers import TestServer, announcement, exchange

CHANNEL = "user.u1"


@dataclass
class Publisher:
    """Publishes numbered events to a node, one after the other, on one connection as long as that holds."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    """Of each title the id in its receipt."""
    refused: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Status and headers of every answer that was no receipt."""
    broken: int = 0
    """Publishes that got no answer."""

    async def run(
        self, server: TestServer, titles: Iterable[str], *, pause: float = 0.0, until_taken: bool = False
    ) -> None:
        """Publish all of them. `until_taken`: each again and again, under one key, until it is taken."""
        stream: trio.SocketStream | None = None
        for title in titles:
            while True:
                try:
                    stream = stream or await server.connect()
                    taken, kept = await self._publish(stream, title)
                    if not kept:
                        await stream.aclose()
                        stream = None
                except (OSError, AssertionError, trio.BrokenResourceError):
                    self.broken += 1
                    stream, taken = None, False
                if taken or not until_taken:
                    break
                await trio.sleep(0.05)
            await trio.sleep(pause)
        if stream is not None:
            await stream.aclose()

    async def _publish(self, stream: trio.SocketStream, title: str) -> tuple[bool, bool]:
        """Whether it was taken, and whether the connection stays."""
        headers = {"X-Service-Name": "tests", "Content-Type": "application/json", "Idempotency-Key": title}
        body = json.dumps(announcement(title)).encode()
        with trio.fail_after(15):
            answer = await exchange(stream, "POST", f"/publish/{CHANNEL}", body, headers)
        if answer.status == 200:
            self.acknowledged[title] = answer.json["id"]
        else:
            self.refused.append((answer.status, answer.headers))
        return answer.status == 200, answer.headers.get("connection") != "close"


class Reader:
    """A subscriber that comes back with its last position whenever it is cut off, until it is cancelled."""

    def __init__(self, *servers: TestServer) -> None:
        self.servers = list(servers)
        """Where it goes, in turn."""
        self.got: list[dict[str, Any]] = []
        """Everything but the heartbeat, gaps included."""
        self.closes: list[tuple[int, str | None]] = []
        self.since: str | None = None
        self._changed = trio.Event()

    @property
    def titles(self) -> list[str]:
        return [event["title"] for event in self.got if "title" in event]

    @property
    def ids(self) -> list[str]:
        return [event["id"] for event in self.got if "id" in event]

    @property
    def gaps(self) -> list[str]:
        return [event["reason"] for event in self.got if event["type"] == "courier.gap"]

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Started when it has joined for the first time."""
        turn, started = 0, False
        while True:
            server = self.servers[turn % len(self.servers)]
            turn += 1
            try:
                query = f"&since={self.since}" if self.since else ""
                async with server.subscribe(CHANNEL, query=query) as websocket:
                    if not started:
                        started = True
                        task_status.started()
                    while True:
                        self._take(await websocket.get_message())
            except* ConnectionClosed as closed:
                for error in _leaves(closed):
                    if error.reason is not None:
                        self.closes.append((error.reason.code, error.reason.reason))
            except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            except* Exception as other:
                if "HandshakeError" not in repr(other) and "ConnectionRejected" not in repr(other):
                    raise
            await trio.sleep(0.05)

    def _take(self, message: str | bytes) -> None:
        if message == "ping":
            return
        event = json.loads(message)
        self.since = event.get("id") or event.get("resumed_from") or self.since
        self.got.append(event)
        self._changed.set()
        self._changed = trio.Event()

    async def until(self, holds: Callable[["Reader"], bool]) -> None:
        """Wait until something comes after which `holds` is true."""
        while not holds(self):
            await self._changed.wait()

    async def until_got(self, count: int) -> None:
        """Wait until it has got so much."""
        await self.until(lambda self: len(self.got) >= count)


def _leaves(group: BaseExceptionGroup[Any]) -> list[Any]:
    found: list[Any] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def offsets(ids: list[str]) -> list[int]:
    return [int(one.partition("-")[2]) for one in ids]


def judge(reader: Reader, acknowledged: dict[str, str]) -> None:
    """What was acknowledged came once, under the id that its receipt has, in one order without a hole."""
    assert len(reader.ids) == len(set(reader.ids)), "a repeat"
    numbers = offsets(reader.ids)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), "a hole, or another order"
    got = dict(zip(reader.titles, reader.ids, strict=True))
    assert len(got) == len(reader.titles), "an event is in the log twice"
    assert {title: got.get(title) for title in acknowledged} == acknowledged, "lost"


async def until_ready(server: TestServer, status: int = 200) -> None:
    """Ask again and again until `/health/ready` says so: it says nothing of itself when it changes."""
    while (await server.request("GET", "/health/ready")).status != status:
        await trio.sleep(0.02)
