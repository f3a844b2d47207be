"""Crew: the publishers, who of them is free, and the receipts that came."""

import select
import socket
from collections import deque
from collections.abc import Callable

from benchmarks.ledger import Ledger
from benchmarks.plan import Plan
from benchmarks.publisher import Publisher
from benchmarks.sockets import Sockets


class Crew:
    """Publishes what a plan says, as long as somebody is free and the plan's time has come."""

    def __init__(self, sockets: Sockets) -> None:
        self.publishers: list[Publisher] = []
        self.receipts = self.requests = 0
        """How many events have a receipt since `begin`, and how many answers bore them."""
        self.ledger = Ledger()
        self.epoll = select.epoll()
        """Ready when receipts are."""
        self._sockets = sockets
        self._free: deque[Publisher] = deque()
        """Who may publish: a publisher stands here as often as it may have another event in flight."""
        self._handlers: dict[int, Callable[[], None]] = {}

    def hire(self, count: int, in_flight: int) -> None:
        """`count` more, each on its own connection, each with at most `in_flight` events unanswered."""
        numbers = range(len(self.publishers), len(self.publishers) + count)
        token = self._sockets.service_token()
        hired = [Publisher(number, token, self._open, self._answered) for number in numbers]
        self.publishers += hired
        self._free.extend(hired * in_flight)

    def begin(self) -> None:
        """Count receipts from here."""
        self.receipts = self.requests = 0

    def publish(self, plan: Plan, now: int) -> list[str]:
        """Send what is due; the channel of each event sent."""
        sent: list[str] = []
        while self._free and not plan.done and (due := plan.due(now)) <= now:
            publisher = self._free.popleft()
            channels = plan.take()
            sent += channels
            if plan.batch == 1:
                publisher.publish(channels[0], plan.size, due)
            else:
                publisher.publish_batch(channels, plan.size, due)
        return sent

    def take_receipts(self) -> None:
        """All that are there."""
        for descriptor, _ in self.epoll.poll(0):
            self._handlers[descriptor]()

    def _answered(self, publisher: Publisher, events: int, receipt: bytes) -> None:
        self.receipts += events
        self.requests += 1
        self._free.append(publisher)
        self.ledger.note(receipt)

    def _open(self, publisher: Publisher) -> socket.socket:
        sock = self._sockets.connect()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self._handlers[sock.fileno()] = publisher.on_readable
        self.epoll.register(sock, select.EPOLLIN)
        return sock
