"""The wire contract: names, positions, events, receipts and close codes, as values that know no I/O."""

from courier.schemas.channels import ChannelKind, ChannelName, Kinds, UnknownChannelError
from courier.schemas.claims import ServiceClaims, SubscriberClaims
from courier.schemas.closing import CloseReason, ComeBack
from courier.schemas.control import (
    ControlMessage,
    Drain,
    Gap,
    GapReason,
    Joined,
    Refresh,
    Refreshed,
    TokenExpiring,
)
from courier.schemas.errors import JsonError, RegistryError, SchemaError
from courier.schemas.events.base import Event, JsonObject
from courier.schemas.position import Moment, Position, Since, new_epoch, parse_since
from courier.schemas.publish import Receipt
from courier.schemas.registry import Registry, default_registry, registry_for

__all__ = [
    "ChannelKind",
    "ChannelName",
    "CloseReason",
    "ComeBack",
    "ControlMessage",
    "Drain",
    "Event",
    "Gap",
    "GapReason",
    "Joined",
    "JsonError",
    "JsonObject",
    "Kinds",
    "Moment",
    "Position",
    "Receipt",
    "Refresh",
    "Refreshed",
    "Registry",
    "RegistryError",
    "SchemaError",
    "ServiceClaims",
    "Since",
    "SubscriberClaims",
    "TokenExpiring",
    "UnknownChannelError",
    "default_registry",
    "new_epoch",
    "parse_since",
    "registry_for",
]
