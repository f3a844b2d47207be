"""Courier's client: publish and subscribe, typed, on asyncio and on Trio."""

from courier_client.client import CourierClient
from courier_client.connection import Connection
from courier_client.errors import (
    ClientClosed,
    Conflict,
    CourierError,
    InvalidEvent,
    NotAllPublished,
    PublishError,
    PublishTimeout,
    RateLimited,
    Refused,
    SubscriptionRefused,
    TokenFailed,
    Unauthorized,
    Unavailable,
    Unsendable,
)
from courier_client.event import Ended, Event, Gap
from courier_client.following import Following, Loaded, SyncFollowing
from courier_client.receipt import Receipt
from courier_client.subscription import Subscription
from courier_client.sync import CourierSyncClient
from courier_client.sync_reading import SyncConnection, SyncSubscription
from courier_client.tokens import Token

__all__ = [
    "ClientClosed",
    "Conflict",
    "Connection",
    "CourierClient",
    "CourierError",
    "CourierSyncClient",
    "Ended",
    "Event",
    "Following",
    "Gap",
    "InvalidEvent",
    "Loaded",
    "NotAllPublished",
    "PublishError",
    "PublishTimeout",
    "RateLimited",
    "Receipt",
    "Refused",
    "Subscription",
    "SubscriptionRefused",
    "SyncConnection",
    "SyncFollowing",
    "SyncSubscription",
    "Token",
    "TokenFailed",
    "Unauthorized",
    "Unavailable",
    "Unsendable",
]
