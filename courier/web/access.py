"""Access: may this subscriber join this channel?"""

from dataclasses import dataclass
from functools import partial
from typing import Protocol

from courier.backplane.steps import Steps
from courier.schemas.channels import ChannelName
from courier.schemas.claims import SubscriberClaims
from courier.settings import Settings


class AccessRefused(Exception):
    """The channel is not this subscriber's to read, today or tomorrow.

    The text is for operators: it says more of a channel than a stranger may know.
    """


class Owners(Protocol):
    """Who knows whose a strategy is, as `courier.web.ownership.Ownership` does."""

    async def owner_of(self, strategy_id: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Access:
    """Proof that a subscriber may join a channel. Only `may_join` makes it."""

    claims: SubscriberClaims
    channel: ChannelName


def may_join(
    claims: SubscriberClaims, channel: ChannelName, ownership: Owners | None, settings: Settings
) -> Steps[Access]:
    """Admit the bearer of `claims` to `channel`. Ids are compared whole and exact. It waits only for the
    owner of a strategy.

    Raises AccessRefused, or OwnershipUnknown when nobody can say now whose strategy it is. `ownership` is
    None when no one knows about strategies: then any valid token will do in development, and none in
    production.
    """
    match channel.kind, channel.id:
        case "global" | "backtest" | "forge.job", _:
            admitted = True
        case "user", user_id:
            admitted = user_id == claims.user_id
        case "strategy", _ if ownership is None:
            admitted = settings.env == "development"
        case "strategy", str(strategy_id):
            admitted = (yield partial(ownership.owner_of, strategy_id)) == claims.user_id
        case _:
            admitted = False
    if not admitted:
        raise AccessRefused(_why_not(channel, ownership))
    return Access(claims, channel)


def _why_not(channel: ChannelName, ownership: Owners | None) -> str:
    if channel.kind != "strategy":
        return "channel is another user's"
    if ownership is None:
        return "nobody can say who owns a strategy: COURIER_ARCHITECT_URL is not set"
    return "strategy has another owner, or does not exist"
