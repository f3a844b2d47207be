"""The shop's events and channels: all that Courier is told of it (`COURIER_EVENT_MODULES`)."""

from typing import Literal

from courier.schemas import ChannelKind, ChannelName, Event, SubscriberClaims


class ShopClaims(SubscriberClaims):
    """Whoever watches orders works for a tenant."""

    tenant: str


class _OrderEvent(Event):
    order_id: str


class OrderPlaced(_OrderEvent):
    """A customer has ordered something."""

    type: Literal["shop.order_placed"]
    item: str


class OrderShipped(_OrderEvent):
    """It has left the warehouse."""

    type: Literal["shop.order_shipped"]
    parcel: str


def of_their_tenant(claims: ShopClaims, channel: ChannelName) -> bool:
    """`orders.acme` is for those who work for acme."""
    return channel.ids[0] == claims.tenant


orders = ChannelKind(
    "orders",
    join=of_their_tenant,
    events=["shop.order_*"],
    publishers=["shop", "warehouse"],
    about="The orders of one tenant.",
)
