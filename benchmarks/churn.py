"""Churn: joins and leaves for a long time, and whether what a node holds stays where it is.

Subscribers come and leave in every way, channels are made and left, some readers are slow or do not read,
some tokens are bad. Retention is short, so that a steady state is reached within the warm-up; from then on
nothing that a node or Redis holds may grow. The end is 1 when something does, or when an event was lost.
"""

import argparse
import os
import random
import re
import socket
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, time

import httpx
import jwt
import trio

from benchmarks import frames
from benchmarks.counts import count, counted
from benchmarks.errors import LoadError, sentence
from benchmarks.process import Running, running, usage_of
from benchmarks.report import table
from benchmarks.servers import COURIER
from benchmarks.steady import judge
from benchmarks.tape import SERVICE, Mark, event

LASTING, PASSING = 10, 300
"""How many channels have events all the time, and how many names those take turns with that are made and
left: in Redis a name's last position is remembered for a week, so they come back."""

SIZES = 200, 20_000
"""The smallest and the largest event, in bytes; between them all orders of magnitude are as likely."""

STAYS = 2.0, 20.0
"""How many seconds a subscriber stays."""

STALL_SECONDS = 5

SPARE = {
    "RSS KiB": 2048,
    "descriptors": 25,
    "objects": 4000,
    "blocks": 4000,
    "Redis keys": 20,
    "Redis KiB": 1024,
}
"""A rise of each quantity that is forgiven: so many subscribers more or fewer happen to be there."""

_ENVIRONMENT = {
    "COURIER_LOG_LEVEL": "info",
    "COURIER_LOG_FORMAT": "json",
    "COURIER_HISTORY_EVENTS": "200",
    "COURIER_HISTORY_SECONDS": "30",
    "COURIER_HISTORY_BYTES": str(16 * 1024 * 1024),
    "COURIER_MAX_CHANNELS": "400",
    "COURIER_MAX_IDEMPOTENCY_KEYS": "500",
    "COURIER_STALL_SECONDS": str(STALL_SECONDS),
}

_OFFSET = re.compile(rb'\{"id":"([^"]+)-(\d+)"')


@dataclass(frozen=True)
class Rates:
    """What happens in a minute."""

    joins: int = 300
    channels: int = 100
    """Of the joins, those that make a channel which nobody had."""
    events: int = 600
    bad_tokens: int = 30
    slow: int = 12
    """Of the joins, those who read slowly, or not at all."""


class Churn:
    """The load: `run` for as long as the caller lets it."""

    def __init__(self, node: Running, rates: Rates, seed: int) -> None:
        self.seen = Counter[str]()
        """What happened, in words."""
        self._node = node
        self._rates = rates
        self._random = random.Random(seed)
        self._last: dict[str, str] = {}
        """The last position that somebody saw on each channel."""
        self._joined = self._made = self._published = 0

    async def run(self) -> None:
        """Everything at its rate, for ever."""
        rates = self._rates
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{self._node.port}", timeout=60) as client,
            trio.open_nursery() as nursery,
        ):
            for number in range(2 * LASTING):
                nursery.start_soon(self._settle, f"backtest.lasting-{number % LASTING}")
            for rate, work in (
                (rates.joins, self._join),
                (rates.events, lambda: self._publish(client, self._lasting())),
                (rates.bad_tokens, self._join_badly),
                (rates.bad_tokens, lambda: self._publish_badly(client)),
            ):
                nursery.start_soon(self._repeat, nursery, 60 / rate, work)
            nursery.start_soon(self._make_channels, client)

    @property
    def faults(self) -> list[str]:
        """What should not have happened, or should have and did not."""
        wrong = [f"{count} {what}" for what, count in self.seen.items() if what.startswith("unexpected")]
        return wrong + [f"no {what}" for what in ("joined", "left", "read", "cut off") if not self.seen[what]]

    async def _repeat(
        self, nursery: trio.Nursery, seconds: float, work: Callable[[], Awaitable[None]]
    ) -> None:
        while True:
            nursery.start_soon(work)
            await trio.sleep(seconds * self._random.uniform(0.5, 1.5))

    async def _make_channels(self, client: httpx.AsyncClient) -> None:
        """A channel with a subscriber and a few events, which then has neither."""
        async with trio.open_nursery() as nursery:
            while True:
                channel = f"backtest.passing-{self._made % PASSING}"
                self._made += 1
                nursery.start_soon(self._stay, channel, self._random.uniform(*STAYS))
                for _ in range(3):
                    nursery.start_soon(self._publish, client, channel)
                await trio.sleep(60 / self._rates.channels)

    def _lasting(self) -> str:
        return f"backtest.lasting-{self._random.randrange(LASTING)}"

    async def _join(self) -> None:
        rates, dice = self._rates, self._random.random()
        if dice < rates.channels / rates.joins:
            return  # `_make_channels` does these
        seconds = self._random.uniform(*STAYS)
        if dice > 1 - rates.slow / rates.joins:
            await self._read_slowly(self._lasting(), seconds)
        else:
            await self._stay(self._lasting(), seconds)

    async def _settle(self, channel: str) -> None:
        """One who stays to the end."""
        await self._stay(channel, float("inf"))

    async def _stay(self, channel: str, seconds: float) -> None:
        """Join, read everything for a while, and leave in one of three ways."""
        since = self._last.get(channel) if self._random.random() < 0.5 else None
        async with self._subscription(channel, since) as (stream, rest):
            with trio.move_on_after(seconds):
                await self._read(stream, channel, rest)
                self.seen["unexpected end of a subscription"] += 1
                return
            self.seen["left"] += 1
            match self._random.randrange(3):
                case 0:
                    await stream.send_all(b"\x88\x82\0\0\0\0\x03\xe8")  # close, 1000
                    with trio.move_on_after(5) as waiting, suppress(trio.BrokenResourceError):
                        while await stream.receive_some():
                            pass
                    if waiting.cancelled_caught:
                        self.seen["unexpected silence after a close"] += 1
                case 1:
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                case _:
                    pass  # the connection ends without a word

    async def _read(self, stream: trio.SocketStream, channel: str, data: bytes) -> None:
        """Take events, which must count up by one within an epoch; return at a close, or the end."""
        epoch, offset = b"", 0
        while True:
            end = 0
            for frame in frames.split(data):
                end = frame.end
                if frame.opcode == frames.CLOSE:
                    return
                payload = data[frame.payload : frame.end]
                if payload == b"ping":
                    await stream.send_all(frames.PONG_TEXT)
                elif (found := _OFFSET.match(payload)) is not None:
                    number = int(found[2])
                    if epoch == found[1] and number != offset + 1:
                        self.seen["unexpected event lost or repeated"] += 1
                    epoch, offset = found[1], number
                    self._last[channel] = f"{epoch.decode()}-{offset}"
                    self.seen["read"] += 1
                elif b'"courier.gap"' in payload[:100]:
                    epoch = b""
                    self.seen["gap"] += 1
            more = await stream.receive_some()
            if not more:
                return
            data = data[end:] + more

    async def _read_slowly(self, channel: str, seconds: float) -> None:
        """Read 1 KB/s for a while, or nothing until Courier cuts it off."""
        reads = self._random.random() < 0.5
        async with self._subscription(channel, None, receive_bytes=2048) as (stream, _):
            with trio.move_on_after(seconds if reads else 60) as waiting, suppress(trio.BrokenResourceError):
                if not reads:
                    await self._until_cut_off(stream)
                await self._sip(stream)
            self.seen["read slowly" if waiting.cancelled_caught else "cut off"] += 1

    async def _sip(self, stream: trio.SocketStream) -> None:
        """Read 1 KB/s to the end."""
        data: bytes | bytearray = b"more"
        while data:
            await trio.sleep(1)
            data = await stream.receive_some(1024)

    async def _until_cut_off(self, stream: trio.SocketStream) -> None:
        """Wait, without reading, until the connection is gone."""
        state = 1
        while state == 1:  # TCP_ESTABLISHED
            await trio.sleep(0.5)
            state = stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]

    async def _join_badly(self) -> None:
        """Join with a token that is forged, over, or none."""
        now = int(time())
        token = self._random.choice(["", "nonsense", self._token(secret="x" * 32), self._token(exp=now - 60)])
        async with self._socket(f"/ws/{self._lasting()}?token={token}") as (stream, data):
            with trio.move_on_after(5) as waiting:
                while more := await stream.receive_some():
                    data += more
            refused = any(frame.opcode == frames.CLOSE for frame in frames.split(data))
            known = refused and not waiting.cancelled_caught
            self.seen["refused" if known else "unexpected answer to a bad token"] += 1

    @asynccontextmanager
    async def _subscription(
        self, channel: str, since: str | None, receive_bytes: int | None = None
    ) -> AsyncIterator[tuple[trio.SocketStream, bytes]]:
        path = f"/ws/{channel}?token={self._token()}" + (f"&since={since}" if since else "")
        async with self._socket(path, receive_bytes) as (stream, rest):
            self.seen["joined"] += 1
            yield stream, rest

    @asynccontextmanager
    async def _socket(
        self, path: str, receive_bytes: int | None = None
    ) -> AsyncIterator[tuple[trio.SocketStream, bytes]]:
        """A WebSocket at `path`, and what came after its 101."""
        plain = trio.socket.socket()
        if receive_bytes is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        await plain.connect(("127.0.0.1", self._node.port))
        async with trio.SocketStream(plain) as stream:
            await stream.send_all(frames.upgrade(self._node.port, path))
            data = b""
            while (rest := frames.after_upgrade(data)) is None:
                more = await stream.receive_some()
                if not more:
                    raise LoadError("the server closed the connection instead of a 101")
                data += more
            yield stream, rest

    def _token(self, secret: str | None = None, **claims: int) -> str:
        """Of a user whom nobody has seen yet."""
        self._joined += 1
        now = int(time())
        user = {"user_id": f"user-{self._joined}", "wallet_address": "w", "iat": now, "exp": now + 7200}
        return jwt.encode(user | claims, secret or self._node.secret, "HS256")

    async def _publish(self, client: httpx.AsyncClient, channel: str) -> None:
        least, most = SIZES
        size = round(least * (most / least) ** self._random.random())
        self._published += 1
        answer = await client.post(
            f"/publish/{channel}",
            content=event(Mark(0, self._published), size),
            headers=self._service | {"Idempotency-Key": f"event-{self._published}"},
        )
        published = answer.status_code == 200
        self.seen["published" if published else f"unexpected {answer.status_code} for an event"] += 1

    async def _publish_badly(self, client: httpx.AsyncClient) -> None:
        body = self._random.choice([b"{", b'{"type":"x","source":"benchmark"}', b"x" * 70_000])
        answer = await client.post(f"/publish/{self._lasting()}", content=body, headers=self._service)
        self.seen["refused" if answer.status_code >= 400 else "unexpected 200 for nonsense"] += 1

    @property
    def _service(self) -> dict[str, str]:
        now = int(time()) // 60 * 60
        token = jwt.encode({"service": SERVICE, "iat": now, "exp": now + 3600}, self._node.secret, "HS256")
        return {
            "Authorization": f"Bearer {token}",
            "X-Service-Name": SERVICE,
            "Content-Type": "application/json",
        }


class Counts:
    """What the node's process and its Redis hold."""

    def __init__(self, node: Running, redis_port: int | None) -> None:
        self._node = node
        self._redis_port = redis_port

    async def take(self) -> dict[str, int]:
        """One sample. LoadError when the node does not answer."""
        held = await trio.to_thread.run_sync(count, self._node)
        return {
            "RSS KiB": usage_of(self._node.pid).rss_kib,
            "descriptors": len(os.listdir(f"/proc/{self._node.pid}/fd")),
            "objects": held.objects,
            "blocks": held.blocks,
        } | self._redis()

    def _redis(self) -> dict[str, int]:
        if self._redis_port is None:
            return {}
        with socket.create_connection(("127.0.0.1", self._redis_port), timeout=10) as asked:
            asked.sendall(b"DBSIZE\r\nINFO memory\r\nQUIT\r\n")
            answer = b""
            while more := asked.recv(65536):
                answer += more
        keys = re.match(rb":(\d+)", answer)
        used = re.search(rb"used_memory:(\d+)", answer)
        if keys is None or used is None:
            raise LoadError(f"Redis does not say what it holds: {answer[:200]!r}")
        return {"Redis keys": int(keys[1]), "Redis KiB": int(used[1]) // 1024}


@contextmanager
def redis(folder: Path) -> Iterator[int]:
    """A redis-server that keeps an append-only file, by its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    try:
        process = subprocess.Popen([*command, "--save", "", "--appendonly", "yes"], stdout=subprocess.DEVNULL)
    except FileNotFoundError:
        raise LoadError("redis-server is not installed") from None
    try:
        end = monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if monotonic() > end or process.poll() is not None:
                    raise LoadError("redis-server does not answer") from None
        yield port
    finally:
        process.terminate()
        process.wait()


@contextmanager
def redis_or_not(folder: Path, *, wanted: bool) -> Iterator[int | None]:
    if not wanted:
        yield None
        return
    data = folder / "redis"
    data.mkdir()
    with redis(data) as port:
        yield port


async def soak(counts: Counts, churn: Churn, minutes: float, every: float) -> list[dict[str, float]]:
    """Samples, taken `every` so many seconds while `churn` runs; each is printed as it is taken."""
    samples: list[dict[str, float]] = []
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(churn.run)
        while (passed := trio.current_time() - began) < minutes * 60:
            sample = {"minutes": passed / 60, **await counts.take()}
            if not samples:
                print("  ".join(f"{name:>11}" for name in sample), flush=True)
            print(
                "  ".join(
                    f"{value:11,.1f}" if name == "minutes" else f"{value:11,}"
                    for name, value in sample.items()
                ),
                flush=True,
            )
            samples.append(sample)
            await trio.sleep(every)
        nursery.cancel_scope.cancel()
    return samples


def report(samples: list[dict[str, float]], churn: Churn) -> list[str]:
    """Print what became of each quantity, and what happened; returns what is wrong."""
    times = [sample["minutes"] for sample in samples]
    wrong, rows = churn.faults, []
    for name in samples[0]:
        if name == "minutes":
            continue
        verdict = judge(times, [sample[name] for sample in samples], SPARE[name])
        rows.append(
            {
                "after the warm-up": name,
                "level": f"{verdict.level:,.0f}",
                "end": f"{verdict.end:,.0f}",
                "slope adds": f"{verdict.rise:+,.0f}",
                "": verdict.fault or "steady",
            }
        )
        if verdict.fault is not None:
            wrong.append(f"{name} {verdict.fault}")
    print(f"\n{table(rows)}\n")
    print(", ".join(f"{what} {count:,}" for what, count in sorted(churn.seen.items())))
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--redis", action="store_true", help="with the log in a Redis of its own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--times", type=float, default=1, help="everything so many times as often")
    options = parser.parse_args()
    scaled = {name: round(rate * options.times) for name, rate in vars(Rates()).items()}
    with TemporaryDirectory() as folder, redis_or_not(Path(folder), wanted=options.redis) as redis_port:
        environment = {**COURIER.environment, **_ENVIRONMENT}
        if redis_port is not None:
            environment["COURIER_REDIS_URL"] = f"redis://127.0.0.1:{redis_port}"
        server = counted(replace(COURIER, name="A node", environment=environment))
        with running(server) as node:
            churn = Churn(node, Rates(**scaled), options.seed)
            counts = Counts(node, redis_port)
            every = max(1.0, options.minutes * 60 / 180)
            samples = trio.run(soak, counts, churn, options.minutes, every)
    if wrong := report(samples, churn):
        sys.exit("Not steady: " + "; ".join(wrong))
    print("Steady.")


if __name__ == "__main__":
    with sentence():
        main()
