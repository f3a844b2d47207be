"""Ways: the desk and the general path, side by side; what is sent to both, and what both let be seen."""

import json
import random
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import jwt
import pytest
import trio
from hypercorn.config import Config
from trio.testing import wait_all_tasks_blocked
from trio_websocket import WebSocketConnection

from courier.floods import Floods
from courier.metrics import Metrics, Totals
from courier.metrics.exposition import NodeCollector
from courier.serving.service import Service
from courier.web import answer as answers
from courier.web.answer import Answer
from courier.web.application import Application
from courier.web.publishing import route
from courier.web.rate_limit import RateLimiter
from tests.web.requests import EVENT_BYTES, Case, Who
from tests.web.servers import SECRET, TestServer, a_server, announcement, token

SLOTS = 16
"""Connections at once. Each slot has channels of its own, so that the order of its events is one."""
QUIET_SECONDS = 0.001
"""How long nothing must happen in this process for all that can be answered to have been."""

# What may differ: the time, and the name that a node gave its logs. All else is compared to the byte.
MASKED = re.compile(
    rb"(?<=\ndate: )[^\r]+|(?<=\nx-ratelimit-reset: )\d+|(?<=\nretry-after: )\d+"
    rb"|(?<=\"id\":\")\w+(?=-)|\d{4}-\d\d-\d\dT[\d:.]+Z"
)

# A request that is refused for its head, while its chunks are broken: Hypercorn says whichever it sees first.
REFUSED = re.compile(rb"HTTP/1\.1 (?:40[045]|413) (?:(?!HTTP/1\.1 ).)*the end$", re.DOTALL)


def alike(case: Case, one: list[bytes], other: list[bytes]) -> bool:
    """Whether it is no difference that one was told this, and the other that."""
    if one != other and b"chunked" in b"".join(case.pieces).lower():
        one, other = ([REFUSED.sub(b"the end", said) for said in heard] for heard in (one, other))
    return one == other


def who(service: str, slot: int) -> Who:
    claims = {"service": service, "iat": 1_700_000_000, "exp": 4_000_000_000}
    return Who(
        service, (f"user.a{slot}", f"user.b{slot}@|:+~"), jwt.encode(claims, SECRET, algorithm="HS256")
    )


def counted(metrics: Metrics) -> dict[str, float]:
    """All that is counted, but for how long it took, and what the look at the subscribers happened to see.

    All services together: the first have labels of their own, and connections race for them."""
    counts = Counter[str]()
    for sample in (sample for family in NodeCollector(metrics).collect() for sample in family.samples):
        if not sample.name.endswith(("seconds_bucket", "seconds_sum")) and "_lag_" not in sample.name:
            counts[f"{sample.name}{sample.labels | {'source': '*', 'service': '*'}}"] += sample.value  # type: ignore[assignment]
    return dict(counts)


class Peer:
    """A connection that never waits for an answer."""

    def __init__(self, server: TestServer) -> None:
        self.socket = socket.create_connection((server.host, server.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.heard: list[bytes] = []
        self._ended = b""

    async def send(self, data: bytes) -> None:
        while data and not self._ended:
            try:
                data = data[self.socket.send(data) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self.socket)
            except OSError as error:
                self._ended = type(error).__name__.encode()

    def listen(self) -> None:
        """Hear what has come since the last time, and whether it is the end."""
        came = b""
        while not self._ended:
            try:
                data = self.socket.recv(1 << 20)
            except BlockingIOError:
                break
            except OSError as error:
                self._ended = type(error).__name__.encode()
            else:
                came += data
                self._ended = b"" if data else b"the end"
        self.heard.append(came + self._ended)


class Way:
    """A server, what its subscribers hear, and all that it lets be seen."""

    def __init__(self, server: TestServer, application: Application) -> None:
        assert application._site is not None
        self.server = server
        self._site = application._site
        self._lines = Counter[tuple[str | None, ...]]()
        self._subscribers: dict[str, WebSocketConnection] = {}

    async def talk(
        self, cases: Sequence[Case], *, hasty: bool = False, mask: bool = True
    ) -> list[list[bytes]]:
        """Send all cases at once, of each a piece in turn. Afterwards say that nothing more comes, and go.

        What each heard, turn by turn, when nothing more was to be heard; in haste, only at the end.
        """
        dice = random.Random(cases[0].seed)
        peers = [Peer(self.server) for _ in cases]
        for turn in range(max(len(case.pieces) for case in cases)):
            for peer, case in zip(peers, cases, strict=True):
                await peer.send(b"".join(case.pieces[turn : turn + 1]))
            if hasty:
                for _ in range(dice.randrange(10)):
                    await trio.lowlevel.checkpoint()
            else:
                await self._hear(peers)
        await self._hear(peers)
        for peer in peers:
            if b"the end" not in peer.heard[-1]:
                peer.socket.shutdown(socket.SHUT_WR)
        await self._hear(peers)
        for peer in peers:
            peer.socket.close()
        await wait_all_tasks_blocked(QUIET_SECONDS)
        return [[MASKED.sub(b"*", each) if mask else each for each in peer.heard] for peer in peers]

    async def _hear(self, peers: Sequence[Peer]) -> None:
        await wait_all_tasks_blocked(QUIET_SECONDS)
        for peer in peers:
            peer.listen()

    def count(self, logged: str) -> None:
        """Count the lines of its log."""
        for line in map(json.loads, logged.splitlines()):
            told = ("level", "logger", "message", "reason", "source", "channel", "request_id", "trace_id")
            self._lines[tuple(line.get(name) for name in told)] += 1

    @asynccontextmanager
    async def subscribers(self) -> AsyncIterator[None]:
        """All channels of all slots have a subscriber."""
        async with AsyncExitStack() as stack:
            for name in (name for slot in range(SLOTS) for name in who("", slot).channels):
                subscribing = self.server.subscribe(quote(name), token(name.removeprefix("user.")))
                self._subscribers[name] = await stack.enter_async_context(subscribing)
            yield

    async def events(self) -> dict[str, list[bytes]]:
        """What the subscribers have heard, up to an event that is the last for each."""
        heard: dict[str, list[bytes]] = {}
        for name, websocket in self._subscribers.items():
            service = "last-" + name.removeprefix("user.").removesuffix("@|:+~")
            bearer = who(service, 0).bearer
            last = announcement("the last", source=service)
            answer = await self.server.publish(
                quote(name), last, service=service, Authorization=f"Bearer {bearer}"
            )
            assert answer.status == 200
            heard[name] = []
            while b"the last" not in b"".join(heard[name][-1:]):
                heard[name].append(MASKED.sub(b"*", str(await websocket.get_message()).encode()))
        return heard

    def totals(self) -> Totals:
        return self._site.node.metrics.totals()

    def figures(self) -> dict[str, Any]:
        """What it has counted."""
        limiter = self._site.limiter
        assert isinstance(limiter, RateLimiter)
        # A time that Courier fills in is shorter in one of a million events: without a fraction of a second.
        metrics = {
            name: count
            for name, count in counted(self._site.node.metrics).items()
            if not name.startswith("courier_log_bytes")
        }
        return {
            "metrics": metrics,
            "channels": len(self._site.node.hub.supervisor),
            "rates": {service: window.count for service, window in limiter._windows.items()},
            "log lines": self._lines,
        }


class Both:
    """The two ways, and what was answered at the desk."""

    def __init__(self, short: Way, long: Way, taken: list[int], capsys: pytest.CaptureFixture[str]) -> None:
        self.short = short
        self.long = long
        self.capsys = capsys
        self.difference = ""
        self.taken = taken
        """The status of each answer that the desk gave."""

    async def compare(self, cases: Sequence[Case], *, hasty: bool = False) -> None:
        """Look for a difference. The first is told when the block of `both_ways` has ended: out of all that
        is open here, it would be lost in groups of groups."""
        short, long = self.short, self.long
        async with short.subscribers(), long.subscribers():
            self.capsys.readouterr()
            for start in range(0, len(cases), SLOTS):
                some = cases[start : start + SLOTS]
                heard = await short.talk(some, hasty=hasty)
                short.count(self.capsys.readouterr().err)
                taken = len(self.taken)
                expected = await long.talk(some, hasty=hasty)
                long.count(self.capsys.readouterr().err)
                assert len(self.taken) == taken, "the general path is not the desk"
                for case, one, other in zip(some, heard, expected, strict=True):
                    if not alike(case, one, other):
                        self.differ(one, other, f"seed {case.seed!r}, pieces {case.pieces!r}")
                if self.difference:
                    return
            events, others = await short.events(), await long.events()
        for name, one in events.items():
            self.differ(one, others[name], f"events of {name}")
        self.differ(short.figures(), long.figures(), "figures")
        assert short.totals().delivered == sum(map(len, events.values()))

    def differ(self, desk: object, general: object, what: str) -> None:
        if desk != general and not self.difference:
            self.difference = f"{what}\n\nat the desk: {desk!r}\n\nby the general path: {general!r}"


def answers_at_the_desk(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The status of each answer that the desk gives from now on."""
    given: list[int] = []
    response = answers.response

    def counted(answer: Answer) -> bytes:
        given.append(answer.status)
        return response(answer)

    monkeypatch.setattr(route, "response", counted)
    return given


@asynccontextmanager
async def both_ways(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **settings: Any
) -> AsyncIterator[Both]:
    """A server with a desk, and one without."""
    applications: list[Application] = []
    taken = answers_at_the_desk(monkeypatch)
    prepare = Application.prepare

    def prepare_one_without(self: Application, config: Config) -> Service:
        service = prepare(self, config)
        if applications:
            service = replace(service, desk=False)
        applications.append(self)
        return service

    monkeypatch.setattr(Application, "prepare", prepare_one_without)
    # Both write to one log, and what one wrote must not leave out what the other writes.
    monkeypatch.setattr(Floods, "admit", lambda *_: True)
    given: dict[str, Any] = {
        "max_event_bytes": EVENT_BYTES,
        "log_format": "json",
        "heartbeat_seconds": 3600,  # a heartbeat comes when it comes, and would be a difference
    } | settings
    async with a_server(**given) as first, a_server(**given) as second:
        ways = [
            Way(server, application)
            for server, application in zip((first, second), applications, strict=True)
        ]
        both = Both(ways[0], ways[1], taken, capsys)
        yield both
    assert not both.difference, both.difference
