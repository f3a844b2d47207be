"""The warehouse: it hears of a tenant's orders, and ships them."""

import asyncio

from courier_client import CourierClient, Event

PACKING_SECONDS = 0.1


async def ship(url: str, tenant: str, user_token: str, service_token: str) -> None:
    """Until cancelled. What was ordered while it was away comes when it is back, once."""
    channel = f"orders.{tenant}"
    async with CourierClient(url=url, service_name="warehouse", token=service_token) as courier:
        async for item in courier.subscribe(channel, token=user_token):
            match item:
                case Event(type="shop.order_placed"):
                    await asyncio.sleep(PACKING_SECONDS)
                    shipped = {"order_id": item.data["order_id"], "parcel": f"P-{item.data['order_id']}"}
                    await courier.publish(channel, "shop.order_shipped", shipped)
