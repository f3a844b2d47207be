"""`make lumiere`: a node, the three services for two users, and the page, until Ctrl-C."""

import asyncio
import os
import secrets
import signal
import sys

from courier_client import CourierClient
from rich.console import Console

from examples.lumiere.node import NodeFailed, keep_a_node
from examples.lumiere.pace import Pace, choose_pace
from examples.lumiere.ports import choose_port
from examples.lumiere.services.cartographe import explore
from examples.lumiere.services.chevalier import trade
from examples.lumiere.services.prophet import advise
from examples.lumiere.sign_in import sign_in
from examples.lumiere.users import USERS

SERVICES = {"prophet": advise, "cartographe": explore, "chevalier": trade}
console = Console(highlight=False, soft_wrap=True)


async def run() -> None:
    """Until the terminal or a signal ends it: the services stop first, then the node drains."""
    pace = choose_pace()
    secret = os.environ.get("COURIER_JWT_SECRET") or secrets.token_urlsafe(32)
    bind = f"127.0.0.1:{choose_port('LUMIERE_NODE_PORT', 8766, console.print)}"
    page_port = choose_port("LUMIERE_PORT", 8780, console.print)
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with sign_in(f"http://{bind}", secret, page_port) as page:
        introduce(page)
        async with asyncio.TaskGroup() as group:
            node = group.create_task(keep_a_node(bind, secret, page, console.print))
            services = [group.create_task(serve(name, f"http://{bind}", pace)) for name in SERVICES]
            await stop.wait()
            console.print("\nGoodbye.")
            for service in services:
                service.cancel()
            await asyncio.wait(services)
            node.cancel()


async def serve(name: str, url: str, pace: Pace) -> None:
    """One service, for all users, on one client."""
    async with (
        CourierClient(url=url, service_name=name, timeout=None) as courier,
        asyncio.TaskGroup() as group,
    ):
        for user in USERS:
            group.create_task(SERVICES[name](courier, user, pace))


def introduce(page: str) -> None:
    kept = "in Redis" if os.environ.get("COURIER_REDIS_URL") else "in memory (COURIER_REDIS_URL is not set)"
    console.print(f"\n[bold]Lumière[/] is at [bold]{page}[/]")
    console.print(
        f"Events are kept {kept}. Kill the node to see the page come back by itself. Ctrl-C ends all.\n"
    )


if __name__ == "__main__":
    try:
        asyncio.run(run())
    except* NodeFailed as failed:
        sys.exit(str(failed.exceptions[0]))
