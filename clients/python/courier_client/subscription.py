"""Subscription: a channel's events, over as many connections as it takes."""

from urllib.parse import quote, urlencode

from courier_client.address import Address
from courier_client.event import Event, Gap
from courier_client.reading import Reading
from courier_client.session import ChannelSession
from courier_client.tokens import TokenSource


class Subscription(Reading[Event | Gap, ChannelSession]):
    """The events of one channel, each once and in order, or a Gap where some are missing.

    `async with courier.subscribe(…) as events:` has joined when its block begins: what is published from then
    on comes. `async for event in courier.subscribe(…):` joins at its first step. Both come back for ever,
    wherever a connection broke off; SubscriptionRefused when Courier says not to, TokenFailed when no token
    can be had.

    It starts no task: it reads while the loop waits for the next event, and not otherwise. A loop that is
    slow slows Courier down, and may lose its connection, but no event that the channel's log still holds. One
    task may iterate at a time, not always the same one; cancelled, it loses nothing, and may go on. Left
    early, it closes its socket: at the end of `async with`, by `close`, or when the last reference to it
    goes.
    """

    def __init__(self, address: Address, channel: str, token: TokenSource, since: str | None) -> None:
        super().__init__(address, token, ChannelSession(since, 0.0), f"Subscription to {channel}")
        self.channel = channel

    def __repr__(self) -> str:
        return f"Subscription(channel={self.channel!r}, position={self.position!r})"

    @property
    def position(self) -> str | None:
        """The place behind the event or gap that the loop got last; after the join and before the first of
        them, where the subscription begins. Keep it when that event is handled: it is the `since` to go on
        from."""
        return self._session.position

    def _target(self) -> str:
        since = "" if self.position is None else "?" + urlencode({"since": self.position})
        return f"/ws/{quote(self.channel, safe='')}{since}"

    def _next_session(self, now: float) -> ChannelSession:
        return ChannelSession(self.position, now)
