"""Load: subscribers and publishers in one thread round one epoll."""

import gc
import os
import select
import socket
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import add
from time import perf_counter_ns, time
from types import TracebackType
from typing import Self

import jwt

from benchmarks import frames
from benchmarks.errors import LoadError
from benchmarks.joiner import Joiner
from benchmarks.ledger import Ledger
from benchmarks.plan import Plan
from benchmarks.process import usage_of
from benchmarks.publisher import Publisher
from benchmarks.subscriber import Subscriber
from benchmarks.tape import SERVICE, Faults, Tape

HANDSHAKES = 64
"""How many joins are under way at a time: below every server's backlog."""

ANSWER_SECONDS = 30.0
"""How long a 101 may take."""

SETTLE_SECONDS = 3.0
"""How long nothing may come before what is missing counts as lost."""

_BATCH = 64
"""How many subscribers are served before the publishers get a turn."""


@dataclass(frozen=True)
class Phase:
    """What one `drive` came to, from the first event sent to the last one delivered."""

    events: int
    requests: int
    deliveries: int
    bytes: int
    reads: int
    """Of subscribers' sockets; receipts that came between them count as well."""
    seconds: float
    client_seconds: float
    """Processor seconds of the load client."""
    client_waited: float
    """Seconds for which the client was ready to run and another process had its core."""

    @property
    def rate(self) -> float:
        """Deliveries a second."""
        return self.deliveries / self.seconds


@dataclass(frozen=True)
class Storm:
    """What a `storm` came to, from the first connect to the last event that somebody had missed."""

    joins: int
    replayed: int
    joined_ms: list[float]
    """For each join, when its 101 had come."""
    seconds: float
    client_seconds: float


class Load:
    """Opens connections to a server on loopback, drives them, and closes them where its block ends."""

    def __init__(self, port: int, secret: str) -> None:
        self.subscribers: list[Subscriber] = []
        self.publishers: list[Publisher] = []
        self._port = port
        self._secret = secret
        self._users = 0
        self._tapes: dict[str, Tape] = {}
        self._gone = Faults()
        """What subscribers that have left had to complain of."""
        self._expected = 0
        """How many events the tapes must bear."""
        self._free: deque[Publisher] = deque()
        """Who may publish: a publisher stands here as often as it may have another event in flight."""
        self._receipts = self._requests = 0
        """How many events of this phase have a receipt, and how many answers bore them."""
        self._ledger = Ledger()
        self._receiving = select.epoll()
        """For subscribers, and for `_publishing` as a whole: receipts don't queue behind deliveries."""
        self._publishing = select.epoll()
        self._receiving.register(self._publishing, select.EPOLLIN)
        self._handlers: dict[int, Callable[[], None]] = {self._publishing.fileno(): self._take_receipts}
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in self._sockets:
            sock.close()
        self._receiving.close()
        self._publishing.close()

    @property
    def faults(self) -> Faults:
        """Everything that the subscribers and the tapes have to complain of."""
        nobody_got = self._expected - self._taped
        found = [subscriber.faults for subscriber in self.subscribers]
        found += [tape.faults for tape in self._tapes.values()]
        return reduce(add, found, Faults(lost=nobody_got)) + self._gone + self._ledger.faults

    @property
    def numbered(self) -> int:
        """How many events bore an `id`."""
        return sum(tape.numbered for tape in self._tapes.values())

    @property
    def published(self) -> int:
        """How many events went to channels that have subscribers."""
        return self._expected

    def subscribe(self, channel: str, count: int, since: str | None = None) -> None:
        """`count` more subscribers of `channel`, each a user of its own, all of them with their 101.

        They must get what is published from now on; with `since`, everything after that position.
        """
        tape = self._tapes.setdefault(channel, Tape(channel))
        first = None if since is None else tape.after(since)
        for done in range(0, count, HANDSHAKES):
            joining = [self._join(channel, since=since) for _ in range(min(HANDSHAKES, count - done))]
            for sock in joining:
                self._admit(sock, _await_upgrade(sock), tape, first)

    def adopt(self, channel: str, sock: socket.socket, rest: bytes) -> None:
        """A WebSocket of `channel` that somebody else opened, and will close, is a subscriber from now on."""
        sock.setblocking(False)
        self._admit(sock, rest, self._tapes.setdefault(channel, Tape(channel)), None)

    def expect(self, channel: str) -> None:
        """Events that go to `channel` count from now on, though nobody subscribes to it yet."""
        self._tapes.setdefault(channel, Tape(channel))

    def read_back(self, channels: Sequence[str], seconds: float = 30) -> bool:
        """A late subscriber for each of `channels` that gets all that was published; False when none can.

        LoadError when the events have not come after `seconds` and still come.
        """
        beginnings = {channel: self._ledger.beginning(channel) for channel in channels}
        for channel, since in beginnings.items():
            if since is None:
                return False
            self.subscribe(channel, 1, since)
        self._settle(lambda: self._all_there, seconds)
        return True

    def leave(self) -> None:
        """All subscribers close their connections; what was published until now has been judged."""
        for subscriber in self.subscribers:
            subscriber.close()
        self._gone = reduce(add, (subscriber.faults for subscriber in self.subscribers), self._gone)
        self.subscribers.clear()

    def storm(self, since: Mapping[str, str | None], each: int, seconds: float = 60) -> Storm:
        """`each` subscribers of every channel of `since` connect at once, and catch up from its position.

        With None for a position they only join. LoadError when not all are there after `seconds`.
        """
        claims = [(channel, self._token()) for channel in since for _ in range(each)]
        upgrades = [
            (channel, frames.upgrade(self._port, _path(channel, token, since[channel])))
            for channel, token in claims
        ]
        with no_collection():
            client = usage_of(os.getpid())
            start = perf_counter_ns()
            waiting = [self._approach(channel, data, since[channel]) for channel, data in upgrades]
            self._settle(lambda: all(joiner.done for joiner in waiting), seconds)
            if not all(joiner.done for joiner in waiting):
                raise LoadError(f"{sum(not one.done for one in waiting)} of {len(waiting)} joins got no 101")
            self._settle(lambda: self._all_there, seconds)
            end = perf_counter_ns()
            used = usage_of(os.getpid())
        return Storm(
            joins=len(waiting),
            replayed=sum(subscriber.received for subscriber in self.subscribers),
            joined_ms=[(joiner.joined_at - start) / 1e6 for joiner in waiting],
            seconds=(end - start) / 1e9,
            client_seconds=used.cpu_seconds - client.cpu_seconds,
        )

    def positions(self) -> dict[str, str]:
        """For each channel whose events bear an `id`, the last one that came."""
        return {name: tape.position for name, tape in self._tapes.items() if tape.position is not None}

    def stall(self, channel: str, receive_bytes: int) -> socket.socket:
        """A subscriber that never reads after its 101, with little more room than `receive_bytes`."""
        sock = self._join(channel, receive_bytes)
        _await_upgrade(sock)
        return sock

    def hire(self, count: int, in_flight: int = 1) -> None:
        """`count` publishers, each on its own connection, each with at most `in_flight` events unanswered."""
        numbers = range(len(self.publishers), len(self.publishers) + count)
        now = int(time())
        claims = {"service": SERVICE, "iat": now, "exp": now + 3600}
        token = jwt.encode(claims, self._secret, "HS256")
        hired = [Publisher(number, token, self._open, self._answered) for number in numbers]
        self.publishers += hired
        self._free.extend(hired * in_flight)

    def drive(
        self,
        channels: Sequence[str],
        events: int,
        size: int,
        *,
        rate: float | None = None,
        batch: int = 1,
        stop_after: float | None = None,
        away: bool = False,
        seconds: float = 60,
    ) -> Phase:
        """Publish as `Plan` says, until every subscriber has every event of its channel.

        After `stop_after` seconds nothing more is sent, whatever `events` says. With `away` it ends with the
        last receipt: whoever must get the events comes later. When nothing comes for SETTLE_SECONDS after the
        last receipt it ends without them, and `faults` says what is missing; LoadError when the last receipt
        is not there after `seconds`.
        """
        before = self._progress()
        reads = 0
        self._receipts = self._requests = 0
        with no_collection():
            client = usage_of(os.getpid())
            moved = now = perf_counter_ns()
            plan = Plan(channels, events, size, rate, now, batch)
            while not self._finished(plan, now - moved, away=away):
                if now - plan.start > seconds * 1e9:
                    raise LoadError(
                        f"{self._receipts} of {plan.sent} events had a receipt after {seconds:g} s"
                    )
                if stop_after is not None and now - plan.start > stop_after * 1e9:
                    plan.stop()
                self._publish(plan, now)
                ready = self._receiving.poll(plan.patience(now), _BATCH)
                for descriptor, _ in ready:
                    self._handlers[descriptor]()
                self._take_receipts()
                now = perf_counter_ns()
                if ready:
                    moved = now
                    reads += len(ready)
            usage = usage_of(os.getpid())
        deliveries, delivered = (now - then for now, then in zip(self._progress(), before, strict=True))
        return Phase(
            events=plan.events,
            requests=self._requests,
            deliveries=deliveries,
            bytes=delivered,
            reads=reads,
            seconds=(moved - plan.start) / 1e9,
            client_seconds=usage.cpu_seconds - client.cpu_seconds,
            client_waited=usage.waited_seconds - client.waited_seconds,
        )

    def record(self) -> None:
        """From now on, keep the time at which each event comes to each subscriber."""
        for subscriber in self.subscribers:
            subscriber.record()

    def latencies(self) -> list[int]:
        """All that was recorded: nanoseconds from when an event was meant to be sent until it had come."""

        def of(subscriber: Subscriber) -> Iterator[int]:
            channel = subscriber.tape.channel
            intended = [publisher.intended[channel] for publisher in self.publishers]
            return subscriber.latencies(lambda mark: intended[mark.publisher][mark.number])

        return [latency for subscriber in self.subscribers for latency in of(subscriber)]

    def _publish(self, plan: Plan, now: int) -> None:
        while self._free and not plan.done and (due := plan.due(now)) <= now:
            publisher = self._free.popleft()
            channels = plan.take()
            self._expected += sum(channel in self._tapes for channel in channels)
            if plan.batch == 1:
                publisher.publish(channels[0], plan.size, due)
            else:
                publisher.publish_batch(channels, plan.size, due)

    def _finished(self, plan: Plan, quiet: int, *, away: bool) -> bool:
        if self._receipts < plan.events:
            return False
        return away or self._all_there or quiet > SETTLE_SECONDS * 1e9

    @property
    def _all_there(self) -> bool:
        return self._expected == self._taped and all(one.complete for one in self.subscribers)

    def _settle(self, done: Callable[[], bool], seconds: float) -> None:
        """Take what comes until `done`, or until nothing has come for SETTLE_SECONDS."""
        start = moved = perf_counter_ns()
        while not done() and perf_counter_ns() - moved < SETTLE_SECONDS * 1e9:
            if perf_counter_ns() - start > seconds * 1e9:
                raise LoadError(f"still not everything had come after {seconds:g} s")
            for descriptor, _ in self._receiving.poll(0.1, 1024):
                self._handlers[descriptor]()
                moved = perf_counter_ns()

    @property
    def _taped(self) -> int:
        return sum(len(tape.ends) for tape in self._tapes.values())

    def _progress(self) -> tuple[int, int]:
        """Events and bytes delivered up to now."""
        return sum(one.received for one in self.subscribers), sum(one.position for one in self.subscribers)

    def _take_receipts(self) -> None:
        for descriptor, _ in self._publishing.poll(0):
            self._handlers[descriptor]()

    def _answered(self, publisher: Publisher, events: int, receipt: bytes) -> None:
        self._receipts += events
        self._requests += 1
        self._free.append(publisher)
        self._ledger.note(receipt)

    def _join(
        self, channel: str, receive_bytes: int | None = None, since: str | None = None
    ) -> socket.socket:
        sock = self._connect(receive_bytes)
        sock.sendall(frames.upgrade(self._port, _path(channel, self._token(), since)))
        return sock

    def _approach(self, channel: str, data: bytes, since: str | None) -> Joiner:
        """A socket that connects, joins by `data` and becomes a subscriber, by the loop alone."""
        tape = self._tapes.setdefault(channel, Tape(channel))
        first = None if since is None else tape.after(since)
        sock = socket.socket()
        self._sockets.append(sock)
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", self._port))

        def joined(rest: bytes) -> None:
            self._receiving.unregister(sock)
            self._admit(sock, rest, tape, first)

        joiner = Joiner(sock, data, joined, lambda: self._receiving.modify(sock, select.EPOLLIN))
        self._handlers[sock.fileno()] = joiner.on_ready
        self._receiving.register(sock, select.EPOLLOUT)
        return joiner

    def _admit(self, sock: socket.socket, rest: bytes, tape: Tape, first: int | None) -> None:
        subscriber = Subscriber(sock, tape, first)
        subscriber.take(rest)
        self.subscribers.append(subscriber)
        self._watch(self._receiving, sock, subscriber.on_readable)

    def _token(self) -> str:
        """A token of the next user."""
        now = int(time())
        claims = {"user_id": f"user-{self._users}", "wallet_address": f"wallet-{self._users}"}
        self._users += 1
        return jwt.encode(claims | {"iat": now, "exp": now + 3600}, self._secret, "HS256")

    def _open(self, publisher: Publisher) -> socket.socket:
        sock = self._connect()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self._watch(self._publishing, sock, publisher.on_readable)
        return sock

    def _connect(self, receive_bytes: int | None = None) -> socket.socket:
        sock = socket.socket()
        self._sockets.append(sock)
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        sock.settimeout(ANSWER_SECONDS)
        sock.connect(("127.0.0.1", self._port))
        return sock

    def _watch(self, epoll: select.epoll, sock: socket.socket, on_readable: Callable[[], None]) -> None:
        self._handlers[sock.fileno()] = on_readable
        epoll.register(sock, select.EPOLLIN)


def _path(channel: str, token: str, since: str | None) -> str:
    path = f"/ws/{channel}?token={token}"
    return path if since is None else f"{path}&since={since}"


def _await_upgrade(sock: socket.socket) -> bytes:
    """What has come after the 101; from then on the socket does not block."""
    data = b""
    while (rest := frames.after_upgrade(data)) is None:
        more = sock.recv(4096)
        if not more:
            raise LoadError("the server closed the connection instead of a 101")
        data += more
    sock.setblocking(False)
    return rest


@contextmanager
def no_collection() -> Iterator[None]:
    """The client's garbage waits: a collection amid its many objects would look like latency."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
