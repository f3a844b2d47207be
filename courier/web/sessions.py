"""Sessions: the connections that are being served, as the rest of the web sees them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from courier.actors.connection import Connection
from courier.actors.statistics import SubscriberStatistics
from courier.actors.subscriber import Subscriber


class SessionStatistics(NamedTuple):
    """One connection at one moment."""

    id: str
    owner: str
    subscriptions: Sequence[SubscriberStatistics]
    held_bytes: int
    """What waits in the node for the socket."""
    subprotocol: str | None
    address: str | None
    connected_at: float
    """Unix seconds, as all times here."""
    heard_at: float
    """When the peer last said anything, the join included."""
    pinged_at: float | None
    """When Courier last sent `ping`; None when it never had to."""
    unsent_bytes: int | None
    """What the kernel holds and the peer has not acknowledged; None when that is not known."""


class Served(Protocol):
    """A connection on its WebSocket."""

    connection: Subscriber | Connection
    connected_at: float
    """Unix seconds."""
    issued_at: int
    """When its token was made, in Unix seconds."""
    token_id: str | None
    """What its token is called, if it has a name."""

    @property
    def subscribers(self) -> Iterable[Subscriber]:
        """Its subscriptions."""

    @property
    def kind(self) -> str:
        """What it is counted as: the kind of its channel, or `courier.metrics.MANY`."""

    @property
    def address(self) -> str | None:
        """Where the peer's packets come from, which may be a proxy."""

    @property
    def quiet_seconds(self) -> float:
        """How long the peer has said nothing."""

    def statistics(self) -> SessionStatistics:
        """What the connection is like at this moment."""
