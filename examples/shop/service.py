"""The shop's API: it takes orders, and tells of them. An order is taken when Courier has its event."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count

from courier_client import CourierClient
from fastapi import FastAPI
from pydantic import BaseModel

COURIER_URL = os.environ.get("COURIER_URL", "http://127.0.0.1:8766")


class Order(BaseModel):
    tenant: str
    item: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    token = os.environ.get("COURIER_TOKEN")
    async with CourierClient(url=COURIER_URL, service_name="shop", token=token) as courier:
        app.state.courier, app.state.numbers = courier, count(1)
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/orders")
async def place(order: Order) -> dict[str, str]:
    """Take an order."""
    order_id = str(next(app.state.numbers))
    data = {"order_id": order_id, "item": order.item}
    receipt = await app.state.courier.publish(f"orders.{order.tenant}", "shop.order_placed", data)
    return {"order_id": order_id, "position": receipt.position}
