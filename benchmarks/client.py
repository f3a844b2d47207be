"""Client: events published through courier_client by many tasks, and what it holds while the node hangs.

The receipts of a channel must count up without a hole: what is missing was lost, and what is there twice was
repeated.
"""

import os
import signal
import time
from collections import Counter
from dataclasses import dataclass

import anyio
import jwt
from courier_client import CourierClient, Receipt, events

from benchmarks.outcome import Outcome
from benchmarks.process import Running, running, usage_of
from benchmarks.scenario import Scenario
from benchmarks.servers import Server
from benchmarks.tape import SERVICE, Faults

HANG_SECONDS = 2.0
"""How long the node answers nothing while as much as can be is published to it."""


@dataclass(frozen=True)
class Shape:
    tasks: int = 500
    channels: int = 10
    bytes: int = 200
    seconds: float = 4
    warm_up_seconds: float = 0.7
    loop: str = "asyncio"


def measure(server: Server, shape: Shape) -> Outcome:
    """Warm up, publish for so many seconds as fast as the receipts come back, and let the node hang."""
    with running(server) as process:
        return anyio.run(_measure, process, shape, backend=shape.loop)


async def _measure(process: Running, shape: Shape) -> Outcome:
    receipts: list[Receipt] = []
    url = f"http://127.0.0.1:{process.port}"
    async with CourierClient(url=url, service_name=SERVICE, token=_token(process.secret)) as courier:
        await _publish(courier, shape, shape.warm_up_seconds, receipts)
        warm, before, own = len(receipts), process.usage(), usage_of(os.getpid())
        start = time.perf_counter()
        await _publish(courier, shape, shape.seconds, receipts)
        seconds = time.perf_counter() - start
        after, own_after = process.usage(), usage_of(os.getpid())
        grown = await _hang(courier, process, shape)
    published = len(receipts) - warm
    waited = max(after.waited_seconds - before.waited_seconds, own_after.waited_seconds - own.waited_seconds)
    return Outcome(
        {
            "events/s": published / seconds,
            "client µs each": (own_after.cpu_seconds - own.cpu_seconds) / published * 1e6,
            "server µs each": (after.cpu_seconds - before.cpu_seconds) / published * 1e6,
            "client busy %": 100 * (own_after.cpu_seconds - own.cpu_seconds) / seconds,
            "server busy %": 100 * (after.cpu_seconds - before.cpu_seconds) / seconds,
            "disturbed %": 100 * waited / seconds,
            "MiB more while the node hangs": grown / 1024,
        },
        _faults(receipts),
        published,
    )


async def _publish(courier: CourierClient, shape: Shape, seconds: float, receipts: list[Receipt]) -> None:
    """Each task publishes one event after the other."""
    until = time.perf_counter() + seconds

    async def publish(task: int) -> None:
        user = f"benchmark-{task % shape.channels}"
        while time.perf_counter() < until:
            receipts.append(await courier.publish(*_event(user, shape.bytes)))

    async with anyio.create_task_group() as tasks:
        for task in range(shape.tasks):
            tasks.start_soon(publish, task)


async def _hang(courier: CourierClient, process: Running, shape: Shape) -> int:
    """KiB by which this process grows while nothing is answered, and ten million events want to go."""
    before = usage_of(os.getpid()).rss_kib
    os.kill(process.pid, signal.SIGSTOP)
    try:
        with anyio.move_on_after(HANG_SECONDS):
            await courier.publish_many(
                (_event("benchmark-0", shape.bytes) for _ in range(10_000_000)), timeout=60
            )
    finally:
        os.kill(process.pid, signal.SIGCONT)
    return usage_of(os.getpid()).rss_kib - before


def _event(user: str, size: int) -> tuple[str, str, events.MessageChunk]:
    text = "x" * max(0, size - 140)  # the other fields and their names take so much
    return events.prophet_message_chunk(user_id=user, conversation_id="c", chunk=text, is_final=False)


def _token(secret: str) -> str:
    now = int(time.time())
    return jwt.encode({"service": SERVICE, "iat": now, "exp": now + 3600}, secret, "HS256")


def _faults(receipts: list[Receipt]) -> Faults:
    lost = 0
    found = Counter((one.channel, int(one.position.partition("-")[2])) for one in receipts)
    for channel in {channel for channel, _ in found}:
        last = max(offset for name, offset in found if name == channel)
        lost += last - sum(1 for name, _ in found if name == channel)
    return Faults(lost=lost, repeated=len(receipts) - len(found))


CLIENT = Scenario(
    "client",
    "{tasks} tasks of one process on {loop}, each publishing one event of {bytes} bytes after the other by"
    " courier_client, to {channels} channels without subscribers, for {seconds:g} s; service tokens, rate"
    " limit and metrics on",
    Shape(),
    {"seconds": 2.0, "warm_up_seconds": 0.5},
    measure,
    "events/s",
    servers=("courier",),
)

if __name__ == "__main__":
    CLIENT.main()
