"""Load: subscribers and publishers in one thread round one epoll."""

import gc
import os
import select
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
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
from benchmarks.plan import Plan
from benchmarks.publisher import Publisher
from benchmarks.servers import usage_of
from benchmarks.subscriber import Subscriber
from benchmarks.tape import Faults, Tape

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


class Load:
    """Opens connections to a server on loopback, drives them, and closes them where its block ends."""

    def __init__(self, port: int, secret: str) -> None:
        self.subscribers: list[Subscriber] = []
        self.publishers: list[Publisher] = []
        self._port = port
        self._secret = secret
        self._users = 0
        self._tapes: dict[str, Tape] = {}
        self._expected = 0
        """How many events the tapes must bear."""
        self._free: deque[Publisher] = deque()
        """Who may publish: a publisher stands here as often as it may have another event in flight."""
        self._receipts = 0
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
        return reduce(add, found + [tape.faults for tape in self._tapes.values()], Faults(lost=nobody_got))

    @property
    def numbered(self) -> int:
        """How many events bore an `id`."""
        return sum(tape.numbered for tape in self._tapes.values())

    @property
    def published(self) -> int:
        """How many events went to channels that have subscribers."""
        return self._expected

    def subscribe(self, channel: str, count: int) -> None:
        """`count` more subscribers of `channel`, each a user of its own, all of them with their 101."""
        tape = self._tapes.setdefault(channel, Tape(channel))
        for done in range(0, count, HANDSHAKES):
            joining = [self._join(channel) for _ in range(min(HANDSHAKES, count - done))]
            for sock in joining:
                rest = _await_upgrade(sock)
                subscriber = Subscriber(sock, tape)
                subscriber.take(rest)
                self.subscribers.append(subscriber)
                self._watch(self._receiving, sock, subscriber.on_readable)

    def stall(self, channel: str, receive_bytes: int) -> socket.socket:
        """A subscriber that never reads after its 101, with little more room than `receive_bytes`."""
        sock = self._join(channel, receive_bytes)
        _await_upgrade(sock)
        return sock

    def hire(self, count: int, in_flight: int = 1) -> None:
        """`count` publishers, each on its own connection, each with at most `in_flight` events unanswered."""
        numbers = range(len(self.publishers), len(self.publishers) + count)
        hired = [Publisher(number, self._open, self._answered) for number in numbers]
        self.publishers += hired
        self._free.extend(hired * in_flight)

    def drive(
        self,
        channels: Sequence[str],
        events: int,
        size: int,
        *,
        rate: float | None = None,
        seconds: float = 60,
    ) -> Phase:
        """Publish as `Plan` says, until every subscriber has every event of its channel.

        When nothing comes for SETTLE_SECONDS after the last receipt it ends without them, and `faults` says
        what is missing; LoadError when the last receipt is not there after `seconds`.
        """
        before = self._progress()
        reads = 0
        with _no_collection():
            client = usage_of(os.getpid())
            moved = now = perf_counter_ns()
            plan = Plan(channels, events, size, rate, now)
            while not self._finished(plan, now - moved):
                if now - plan.start > seconds * 1e9:
                    raise LoadError(f"{self._receipts} of {events} events had a receipt after {seconds:g} s")
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
        self._receipts = 0
        deliveries, delivered = (now - then for now, then in zip(self._progress(), before, strict=True))
        return Phase(
            events=events,
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
            self._expected += plan.channel in self._tapes
            self._free.popleft().publish(plan.channel, plan.size, due)
            plan.sent += 1

    def _finished(self, plan: Plan, quiet: int) -> bool:
        if self._receipts < plan.events:
            return False
        all_there = self._expected == self._taped and all(one.complete for one in self.subscribers)
        return all_there or quiet > SETTLE_SECONDS * 1e9

    @property
    def _taped(self) -> int:
        return sum(len(tape.ends) for tape in self._tapes.values())

    def _progress(self) -> tuple[int, int]:
        """Events and bytes delivered up to now."""
        return sum(one.received for one in self.subscribers), sum(one.position for one in self.subscribers)

    def _take_receipts(self) -> None:
        for descriptor, _ in self._publishing.poll(0):
            self._handlers[descriptor]()

    def _answered(self, publisher: Publisher) -> None:
        self._receipts += 1
        self._free.append(publisher)

    def _join(self, channel: str, receive_bytes: int | None = None) -> socket.socket:
        now = int(time())
        claims = {"user_id": f"user-{self._users}", "wallet_address": f"wallet-{self._users}"}
        self._users += 1
        token = jwt.encode(claims | {"iat": now, "exp": now + 3600}, self._secret, "HS256")
        sock = self._connect(receive_bytes)
        sock.sendall(frames.upgrade(self._port, f"/ws/{channel}?token={token}"))
        return sock

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
def _no_collection() -> Iterator[None]:
    """The client's garbage waits: a collection amid its many objects would look like latency."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
