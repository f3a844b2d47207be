"""`make shop`: a node, the shop's API, a warehouse, and what two tenants see of it, in one terminal."""

import argparse
import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import jwt
import uvicorn
from courier_client import CourierClient, Event, SubscriptionRefused
from rich.console import Console

from examples.shop.warehouse import ship

COURIER = os.path.join(os.path.dirname(sys.executable), "courier")
SETTINGS = {
    "COURIER_EVENT_MODULES": "examples.shop.events",
    "COURIER_JWT_SECRET": "the-shop's-own-secret-of-32-bytes",
    "COURIER_PUBLISH_AUTH": "required",
    "COURIER_LOG_LEVEL": "error",
}
READY_SECONDS = 20
ITEMS = ("a teapot", "two cups", "a sieve", "a tray", "a tin of tea")

console = Console(highlight=False, soft_wrap=True)


async def run(orders: int) -> None:
    """Place so many orders for the tenant acme, and show what its own people see, and what others do not."""
    node, api = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    async with a_node(node):
        ada, bob = user("ada", "acme"), user("bob", "zenith")
        os.environ |= {"COURIER_URL": node, "COURIER_TOKEN": service("shop")}
        async with an_api(api), asyncio.TaskGroup() as group:
            packer = user("warehouse", "acme")
            keeper = group.create_task(ship(node, "acme", packer, service("warehouse")))
            await watch(node, ada, bob, api, orders)
            keeper.cancel()
    console.print(f"\n{orders} orders were placed and shipped; everybody saw their own, once and in order.")


async def watch(node: str, ada: str, bob: str, api: str, orders: int) -> None:
    """Ada, of acme, sees each order placed and shipped; Bob, of zenith, may not look."""
    async with CourierClient(url=node, token=ada) as courier, courier.subscribe("orders.acme") as seen:
        await refuse(node, bob)
        async with httpx.AsyncClient(base_url=api) as http, asyncio.TaskGroup() as group:
            group.create_task(place(http, orders))
            shipped = 0
            async for item in seen:
                assert isinstance(item, Event)
                number = item.data["order_id"]
                if item.type == "shop.order_placed":
                    console.print(f"ada sees   order {number} placed: {item.data['item']}")
                else:
                    console.print(f"ada sees   order {number} shipped: parcel {item.data['parcel']}")
                    shipped += 1
                    if shipped == orders:
                        break


async def refuse(node: str, bob: str) -> None:
    async with CourierClient(url=node, token=bob) as courier:
        try:
            async for _ in courier.subscribe("orders.acme"):
                raise AssertionError("Bob sees what is not his")
        except SubscriptionRefused as refused:
            console.print(f"bob        is not let in: {refused}")


async def place(http: httpx.AsyncClient, orders: int) -> None:
    for number in range(orders):
        order = {"tenant": "acme", "item": ITEMS[number % len(ITEMS)]}
        answer = await http.post("/orders", json=order)
        answer.raise_for_status()
        placed = answer.json()
        console.print(f"the shop   has taken order {placed['order_id']}, at {placed['position']}")


@asynccontextmanager
async def a_node(url: str) -> AsyncIterator[None]:
    """A node of Courier for the length of a block, drained at its end."""
    process = await asyncio.create_subprocess_exec(
        COURIER, "serve", "--bind", url.removeprefix("http://"), env=os.environ | SETTINGS
    )
    try:
        await answering(f"{url}/health/ready", process)
        console.print(f"Courier    is at {url}; its documents are at {url}/docs")
        yield
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@asynccontextmanager
async def an_api(url: str) -> AsyncIterator[None]:
    """The shop's FastAPI application for the length of a block."""
    port = int(url.rpartition(":")[2])
    server = uvicorn.Server(uvicorn.Config("examples.shop.service:app", port=port, log_level="error"))
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve())
        try:
            await answering(f"{url}/docs")
            console.print(f"the shop   is at {url}")
            yield
        finally:
            server.should_exit = True
            await asyncio.wait([serving])


async def answering(url: str, process: asyncio.subprocess.Process | None = None) -> None:
    """Return when that URL answers with 200; SystemExit when its process has ended."""
    async with asyncio.timeout(READY_SECONDS), httpx.AsyncClient() as http:
        while True:
            if process is not None and process.returncode is not None:
                raise SystemExit("Courier could not be started")
            with suppress(httpx.TransportError):
                if (await http.get(url)).is_success:
                    return
            await asyncio.sleep(0.05)


def user(name: str, tenant: str) -> str:
    """A token such as the shop's sign-in makes for one of its people."""
    return signed({"user_id": name, "tenant": tenant})


def service(name: str) -> str:
    """A token such as a service of the shop is given when it is deployed."""
    return signed({"service": name})


def signed(claims: dict[str, object]) -> str:
    now = int(time.time())
    return jwt.encode(claims | {"iat": now, "exp": now + 3600}, SETTINGS["COURIER_JWT_SECRET"], "HS256")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.shop", description=__doc__)
    parser.add_argument("--orders", type=int, default=5, help="how many are placed (5)")
    orders = parser.parse_args().orders
    if orders < 1:
        parser.error("expected one order or more")
    try:
        asyncio.run(run(orders))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
