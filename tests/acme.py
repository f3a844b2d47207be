"""A shop's events, kinds and claims; for tests."""

from typing import Literal

from courier.schemas import ChannelKind, ChannelName, Event, SubscriberClaims


class AcmeClaims(SubscriberClaims):
    tenant: str = ""


def of_their_tenant(claims: AcmeClaims, channel: ChannelName) -> bool:
    return channel.ids[0] == claims.tenant


def broken(claims: AcmeClaims, channel: ChannelName) -> bool:
    match channel.ids[0]:
        case "raises":
            raise RuntimeError("a rule of somebody else's")
        case "one":
            return 1  # type: ignore[return-value]
        case "none":
            return None  # type: ignore[return-value]
    return True


order = ChannelKind(
    "order", join="granted", events=["acme.order_*"], publishers=["shop", "warehouse"], history_events=3
)
tenant = ChannelKind("tenant", id_segments=2, join=of_their_tenant)
news = ChannelKind("news", id_segments=0, join="everyone")
odd = ChannelKind("odd", join=broken)


class OrderShipped(Event):
    """An order has left."""

    type: Literal["acme.order_shipped"]
    order_id: str
