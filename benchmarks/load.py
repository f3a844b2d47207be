"""Load: subscribers and publishers in one thread round one epoll."""

import os
import select
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from operator import add
from time import perf_counter_ns
from types import TracebackType
from typing import Self

from benchmarks.crew import Crew
from benchmarks.errors import LoadError
from benchmarks.joiner import Joiner
from benchmarks.phase import Phase, Storm
from benchmarks.plan import Plan
from benchmarks.process import usage_of
from benchmarks.publisher import Publisher
from benchmarks.quiet import no_collection
from benchmarks.sockets import Sockets, await_upgrade
from benchmarks.subscriber import Subscriber
from benchmarks.tape import Faults, Tape

HANDSHAKES = 64
"""How many joins are under way at a time: below every server's backlog."""

SETTLE_SECONDS = 3.0
"""How long nothing may come before what is missing counts as lost."""

_BATCH = 64
"""How many subscribers are served before the publishers get a turn."""


class Load:
    """Opens connections to a server on loopback, drives them, and closes them where its block ends."""

    def __init__(self, port: int, secret: str) -> None:
        self.subscribers: list[Subscriber] = []
        self._sockets = Sockets(port, secret)
        self._crew = Crew(self._sockets)
        self._tapes: dict[str, Tape] = {}
        self._gone = Faults()
        """What subscribers that have left had to complain of."""
        self._expected = 0
        """How many events the tapes must bear."""
        self._epoll = select.epoll()
        """For subscribers, and for the crew's as a whole: receipts don't queue behind deliveries."""
        self._epoll.register(self._crew.epoll, select.EPOLLIN)
        self._handlers: dict[int, Callable[[], None]] = {self._crew.epoll.fileno(): self._crew.take_receipts}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sockets.__exit__(kind, error, trace)
        self._epoll.close()
        self._crew.epoll.close()

    @property
    def faults(self) -> Faults:
        """Everything that the subscribers and the tapes have to complain of."""
        nobody_got = self._expected - self._taped
        found = [subscriber.faults for subscriber in self.subscribers]
        found += [tape.faults for tape in self._tapes.values()]
        return reduce(add, found, Faults(lost=nobody_got)) + self._gone + self._crew.ledger.faults

    @property
    def publishers(self) -> list[Publisher]:
        return self._crew.publishers

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
            joining = [self._sockets.join(channel, since) for _ in range(min(HANDSHAKES, count - done))]
            for sock in joining:
                self._admit(sock, await_upgrade(sock), tape, first)

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
        beginnings = {channel: self._crew.ledger.beginning(channel) for channel in channels}
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
        upgrades = [
            (channel, self._sockets.upgrade(channel, position))
            for channel, position in since.items()
            for _ in range(each)
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
        sock = self._sockets.join(channel, receive_bytes=receive_bytes)
        await_upgrade(sock)
        return sock

    def hire(self, count: int, in_flight: int = 1) -> None:
        """`count` publishers, each on its own connection, each with at most `in_flight` events unanswered."""
        self._crew.hire(count, in_flight)

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
        crew = self._crew
        crew.begin()
        with no_collection():
            client = usage_of(os.getpid())
            moved = now = perf_counter_ns()
            plan = Plan(channels, events, size, rate, now, batch)
            while not self._finished(plan, now - moved, away=away):
                if now - plan.start > seconds * 1e9:
                    raise LoadError(
                        f"{crew.receipts} of {plan.sent} events had a receipt after {seconds:g} s"
                    )
                if stop_after is not None and now - plan.start > stop_after * 1e9:
                    plan.stop()
                sent = crew.publish(plan, now)
                self._expected += sum(channel in self._tapes for channel in sent)
                ready = self._epoll.poll(plan.patience(now), _BATCH)
                for descriptor, _ in ready:
                    self._handlers[descriptor]()
                crew.take_receipts()
                now = perf_counter_ns()
                if ready:
                    moved = now
                    reads += len(ready)
            usage = usage_of(os.getpid())
        deliveries, delivered = (now - then for now, then in zip(self._progress(), before, strict=True))
        return Phase(
            events=plan.events,
            requests=crew.requests,
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

    def _finished(self, plan: Plan, quiet: int, *, away: bool) -> bool:
        if self._crew.receipts < plan.events:
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
            for descriptor, _ in self._epoll.poll(0.1, 1024):
                self._handlers[descriptor]()
                moved = perf_counter_ns()

    @property
    def _taped(self) -> int:
        return sum(len(tape.ends) for tape in self._tapes.values())

    def _progress(self) -> tuple[int, int]:
        """Events and bytes delivered up to now."""
        return sum(one.received for one in self.subscribers), sum(one.position for one in self.subscribers)

    def _approach(self, channel: str, data: bytes, since: str | None) -> Joiner:
        """A socket that connects, joins by `data` and becomes a subscriber, by the loop alone."""
        tape = self._tapes.setdefault(channel, Tape(channel))
        first = None if since is None else tape.after(since)
        sock = self._sockets.approach()

        def joined(rest: bytes) -> None:
            self._epoll.unregister(sock)
            self._admit(sock, rest, tape, first)

        joiner = Joiner(sock, data, joined, lambda: self._epoll.modify(sock, select.EPOLLIN))
        self._handlers[sock.fileno()] = joiner.on_ready
        self._epoll.register(sock, select.EPOLLOUT)
        return joiner

    def _admit(self, sock: socket.socket, rest: bytes, tape: Tape, first: int | None) -> None:
        subscriber = Subscriber(sock, tape, first)
        subscriber.take(rest)
        self.subscribers.append(subscriber)
        self._handlers[sock.fileno()] = subscriber.on_readable
        self._epoll.register(sock, select.EPOLLIN)
