"""Channels of Lumiere, and what its tokens say."""

from contextlib import AbstractAsyncContextManager
from typing import Any

from courier.schemas.channels import Allows, ChannelKind
from courier.schemas.claims import SubscriberClaims


class LumiereClaims(SubscriberClaims):
    """A user of Lumiere has a wallet."""

    wallet_address: str


class ItsOwner:
    """Admits the owner of a strategy, which Architect knows."""

    def opened(self, settings: Any) -> AbstractAsyncContextManager[Allows]:
        from courier.lumiere.ownership import open_authority  # an HTTP client, which events have no need of

        return open_authority(settings)


STRATEGY = ChannelKind("strategy", join=ItsOwner(), about="For a strategy's owner.")
BACKTEST = ChannelKind(
    "backtest",
    join="everyone",
    about="About one backtest. Any valid token may join: keep the id to those who should see it.",
)
FORGE_JOB = ChannelKind(
    "forge.job",
    join="everyone",
    about="About one of Forge's jobs. Any valid token may join, likewise.",
)
