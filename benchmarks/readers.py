"""Readers: what an event stream and a request that waits cost beside a WebSocket, in one run."""

import select
import socket
import sys
from dataclasses import dataclass
from statistics import median
from threading import Thread
from time import perf_counter, sleep

from benchmarks.errors import LoadError
from benchmarks.load import Load
from benchmarks.outcome import Outcome
from benchmarks.process import running
from benchmarks.scenario import Scenario
from benchmarks.servers import Server
from benchmarks.sockets import Sockets

CHANNEL = "backtest.readers"

KINDS = {
    "websocket": ("/ws/{channel}?", b" 101 "),
    "stream": ("/events/{channel}?", b"courier.joined"),
    "poll": ("/history/{channel}?wait=60&since={since}&", b""),
}
"""Where each asks, and what shows that it has been let in; a request that waits is not answered yet."""

AT_ONCE = 64
"""How many ask before the first of them is waited for."""


@dataclass(frozen=True)
class Shape:
    readers: int = 1000
    idle: int = 5000
    rate: float = 200
    bytes: int = 200
    seconds: float = 3
    pairs: int = 5


@dataclass(frozen=True)
class Cost:
    """Of one reader, and of one delivery."""

    kib: float
    microseconds: float


def measure(server: Server, shape: Shape) -> Outcome:
    """Pairs of runs, each on a node of its own, in turn; then as many requests that wait as `idle`."""
    costs: dict[str, list[Cost]] = {"websocket": [], "stream": []}
    for number in range(shape.pairs):
        for kind in ("websocket", "stream") if number % 2 == 0 else ("stream", "websocket"):
            costs[kind].append(_cost(server, shape, kind))
            told = f"{costs[kind][-1].kib:.2f} KiB, {costs[kind][-1].microseconds:.2f} µs"
            print(f"  {kind} {number + 1}/{shape.pairs}: {told}", file=sys.stderr, flush=True)
    pairs = list(zip(costs["websocket"], costs["stream"], strict=True))
    kib, seconds = _polls(server, shape)
    return Outcome(
        {
            "stream: processor ratio": median(stream.microseconds / ws.microseconds for ws, stream in pairs),
            "stream: memory ratio": median(stream.kib / ws.kib for ws, stream in pairs),
            **{f"{kind}: µs each": median(one.microseconds for one in of) for kind, of in costs.items()},
            **{f"{kind}: KiB each": median(one.kib for one in of) for kind, of in costs.items()},
            "poll: KiB each": kib,
            "poll: ms until all are answered": seconds * 1000,
        }
    )


def _cost(server: Server, shape: Shape, kind: str) -> Cost:
    with (
        running(server) as process,
        Sockets(process.port, process.secret) as sockets,
        Load(process.port, process.secret) as load,
    ):
        load.hire(4)
        crowd = Crowd(sockets, kind, shape.readers)
        reading = Thread(target=crowd.read)
        reading.start()
        before = process.usage()
        events = int(shape.rate * shape.seconds)
        load.drive([CHANNEL], events, shape.bytes, rate=shape.rate, away=True)
        sleep(0.5)
        after = process.usage()
        crowd.stop = True
        reading.join()
        Crowd(sockets, kind, shape.idle)
        sleep(1)
        kib = (process.usage().rss_kib - after.rss_kib) / shape.idle
    if set(crowd.events) != {events}:
        raise LoadError(f"of {events} events readers got {min(crowd.events)} to {max(crowd.events)}")
    return Cost(kib, (after.cpu_seconds - before.cpu_seconds) / (events * shape.readers) * 1e6)


def _polls(server: Server, shape: Shape) -> tuple[float, float]:
    """KiB of each request that waits, and how long it takes until all are answered."""
    with (
        running(server) as process,
        Sockets(process.port, process.secret) as sockets,
        Load(process.port, process.secret) as load,
    ):
        load.hire(1)
        load.subscribe(CHANNEL, 1)
        load.drive([CHANNEL], 1, shape.bytes)
        since = load.positions()[CHANNEL]
        Crowd(sockets, "poll", shape.readers, since)
        sleep(1)
        before = process.usage()
        crowd = Crowd(sockets, "poll", shape.idle, since)
        sleep(1)
        kib = (process.usage().rss_kib - before.rss_kib) / shape.idle
        reading = Thread(target=crowd.read)
        reading.start()
        start = perf_counter()
        load.drive([CHANNEL], 1, shape.bytes)
        while min(crowd.events) < 1 and perf_counter() - start < 30:
            sleep(0.001)
        seconds = perf_counter() - start
        crowd.stop = True
        reading.join()
    if set(crowd.events) != {1}:
        raise LoadError(f"{crowd.events.count(1)} of {shape.idle} requests that waited got one event")
    return kib, seconds


class Crowd:
    """Readers of one channel, each another user; `events` says how many each has got."""

    def __init__(self, sockets: Sockets, kind: str, count: int, since: str = "") -> None:
        self.events = [0] * count
        self.stop = False
        path, welcome = KINDS[kind]
        self._socks: list[socket.socket] = []
        for begin in range(0, count, AT_ONCE):
            asking = []
            for _ in range(min(AT_ONCE, count - begin)):
                sock = sockets.connect()
                request = sockets.upgrade(CHANNEL)
                request = request.replace(
                    f"/ws/{CHANNEL}?".encode(), path.format(channel=CHANNEL, since=since).encode()
                )
                if kind != "websocket":
                    head, _, _ = request.partition(b"\r\n")
                    request = b"%b\r\nHost: t\r\n\r\n" % head
                sock.sendall(request)
                asking.append(sock)
            for sock in asking:
                got = b""
                while welcome not in got:
                    got += sock.recv(4096)
                sock.setblocking(False)
            self._socks += asking

    def read(self) -> None:
        """Count what comes, until `stop`."""
        epoll = select.epoll()
        numbers = {}
        for number, sock in enumerate(self._socks):
            epoll.register(sock, select.EPOLLIN)
            numbers[sock.fileno()] = number
        rests = [b""] * len(self._socks)
        while not self.stop:
            for descriptor, _ in epoll.poll(0.05, 256):
                number = numbers[descriptor]
                data = rests[number] + self._socks[number].recv(65536)
                self.events[number] += data.count(b'{"id":"')
                rests[number] = data[-6:]
        epoll.close()


READERS = Scenario(
    "readers",
    "{readers} readers of one channel by WebSocket and by event stream, {rate:g} events/s of {bytes} bytes"
    " for {seconds:g} s, in {pairs} pairs of nodes; memory by {idle} more; then {idle} requests that wait for"
    " one event",
    Shape(),
    {"seconds": 1, "pairs": 1, "idle": 2000},
    measure,
    "stream: processor ratio",
    servers=("courier",),
    repeat=1,
    less_is_better=True,
)

if __name__ == "__main__":
    READERS.main()
