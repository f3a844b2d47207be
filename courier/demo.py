"""The demo: a node in memory, three simulated services and a subscriber, over real sockets."""

import random
import socket
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import httpx
import trio
from rich.text import Text

from courier.settings import load_settings
from courier.terminal.errors import Closed
from courier.terminal.show import Output, event_line
from courier.terminal.subscribe import subscribe
from courier.web.auth import mint_user_token
from courier.web.server import serve

USER = "demo"
CHANNEL = f"user.{USER}"

STRATEGY = [
    "Buy",
    "when",
    "the",
    "20-hour",
    "mean",
    "crosses",
    "the",
    "50-hour",
    "mean",
    "from",
    "below;",
    "sell",
    "at",
    "+4",
    "%",
    "or",
    "-2",
    "%.",
]

Publish = Callable[[dict[str, Any]], Awaitable[None]]
console = Output(highlight=False)


async def run(seconds: int) -> int:
    """Run until Ctrl-C, or for so many seconds, and drain. Returns the process's exit code.

    OSError when standard output cannot be written.
    """
    settings = load_settings(
        env="development",
        bind=_free_bind(),
        jwt_algorithms="HS256",
        publish_auth="off",
        rate_limit=0,
        log_format="console",
    )
    stop = trio.Event()
    offsets: list[int] = []
    unwritten: OSError | None = None

    async def start(task_status: trio.TaskStatus[list[str]]) -> None:
        await serve(settings, shutdown_trigger=stop.wait, task_status=task_status)

    async with trio.open_nursery() as nursery:
        [url] = await nursery.start(start)
        services = await nursery.start(_run_services, url)
        try:
            _introduce(url)
            if seconds:
                nursery.start_soon(_stop_after, seconds, stop)
            token = mint_user_token(settings, USER, 86_400, {"wallet_address": "demo-wallet"})
            async with aclosing(subscribe(url, [CHANNEL], token)) as events:
                async for event in events:
                    offsets.append(int(event["id"].partition("-")[2]))
                    console.print(event_line(event), no_wrap=True, overflow="ellipsis")
        except Closed as closed:
            console.print(f"\n[bold]The node closed the subscription:[/] {closed.code} {closed.reason}")
        except OSError as error:
            unwritten = error
        finally:
            services.cancel()
            stop.set()
    if unwritten is not None:
        raise unwritten
    whole = all(after == before + 1 for before, after in pairwise(offsets))
    console.print(f"[bold]{len(offsets)} events received, {'none' if whole else 'SOME'} missing.[/]")
    return 0 if whole else 1


def _free_bind() -> str:
    """Courier's usual address, or any free one when that is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 8766))
        except OSError:
            return "127.0.0.1:0"
    return "127.0.0.1:8766"


async def _stop_after(seconds: int, stop: trio.Event) -> None:
    await trio.sleep(seconds)
    stop.set()


def _introduce(url: str) -> None:
    body = (
        '{"type":"system.announcement","source":"you","title":"Hello","message":"It works","severity":"info"}'
    )
    console.print("\n[bold]Courier[/] is running, in memory. Below is what a subscriber of")
    console.print(f"[bold]{CHANNEL}[/] receives. In another terminal, try:\n")
    for line in (
        f"export COURIER_URL={url} COURIER_TOKEN=$(.venv/bin/courier token user {USER})",
        f".venv/bin/courier subscribe {CHANNEL}",
        f"curl {url}/publish/{CHANNEL} -H 'X-Service-Name: you' -H 'Content-Type: application/json' \\\n"
        f"     -d '{body}'",
        f"curl {url}/health",
    ):
        console.print(Text(f"  {line}", style="dim"), soft_wrap=True)
    console.print("\nCtrl-C drains the node and ends it.\n")


async def _run_services(url: str, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
    """Prophet, Cartographe and Chevalier, each publishing over HTTP until the node leaves."""
    with trio.CancelScope() as scope:
        task_status.started(scope)
        async with httpx.AsyncClient(base_url=url) as http, trio.open_nursery() as nursery:
            for service in (_prophet, _cartographe, _chevalier):
                nursery.start_soon(_serve, service, http)


async def _serve(service: Callable[[Publish], Awaitable[None]], http: httpx.AsyncClient) -> None:
    name = service.__name__.strip("_")

    async def publish(event: dict[str, Any]) -> None:
        answer = await http.post(
            f"/publish/{CHANNEL}", json=event | {"source": name}, headers={"X-Service-Name": name}
        )
        answer.raise_for_status()
        await trio.sleep(random.uniform(0.15, 0.6))  # noqa: S311 - a pace, no secret

    try:
        while True:
            await service(publish)
    except httpx.HTTPError:
        return  # the node drains, or has gone


async def _prophet(publish: Publish) -> None:
    """An AI that writes a strategy, word by word."""
    talk = _id("conv")
    for place, word in enumerate(STRATEGY, start=1):
        last = place == len(STRATEGY)
        await publish(
            {"type": "prophet.message_chunk", "conversation_id": talk, "chunk": word + " ", "is_final": last}
        )
    await trio.sleep(2)


async def _cartographe(publish: Publish) -> None:
    """A backtest, from 0 to 100 %."""
    job = {"backtest_id": _id("bt"), "job_id": _id("job"), "user_id": USER}
    await publish({"type": "backtest.started", **job, "parameters": {"pair": "SOL/USDC", "days": 90}})
    for progress, stage in ((0.25, "loading prices"), (0.5, "simulating"), (0.75, "measuring")):
        await publish(
            {"type": "backtest.progress", **job, "progress": progress, "stage": stage, "message": stage}
        )
        await trio.sleep(0.5)
    summary = {"sharpe": round(random.uniform(0.8, 2.4), 2), "return_pct": round(random.uniform(-3, 18), 1)}  # noqa: S311
    await publish({"type": "backtest.completed", **job, "duration_seconds": 3, "summary": summary})
    await trio.sleep(1)


async def _chevalier(publish: Publish) -> None:
    """A trade, from its order to its position."""
    price = round(random.uniform(140, 180), 2)  # noqa: S311
    trade = {"strategy_id": "str_demo", "user_id": USER, "token": "SOL"}
    order = {"order_id": _id("ord"), "direction": "buy"}
    await publish({"type": "trade.order_placed", **trade, **order, "order_type": "market", "amount": 2.5})
    filled = {"fill_price": price, "fill_amount": 2.5, "total_value": price * 2.5, "fees": 0.01}
    await publish({"type": "trade.order_filled", **trade, **order, **filled, "tx_signature": _id("tx")})
    position = {"position_id": _id("pos")}
    opened = {"entry_price": price, "size": 2.5, "tx_signature": _id("tx")}
    await publish({"type": "position.opened", **trade, **position, **opened})
    for _ in range(3):
        now = round(price * random.uniform(0.98, 1.03), 2)  # noqa: S311
        gain = {"unrealized_pnl": (now - price) * 2.5, "unrealized_pnl_percentage": (now / price - 1) * 100}
        await publish({"type": "position.updated", **trade, **position, "current_price": now, **gain})
        await trio.sleep(0.8)


def _id(kind: str) -> str:
    return f"{kind}_{random.getrandbits(32):08x}"
