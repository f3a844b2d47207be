"""Who may join which channel: the table of the contract, row by row."""

import pytest

from courier.backplane.steps import walk
from courier.lumiere import LumiereClaims
from courier.lumiere.ownership import Ownership, open_authority
from courier.schemas.registry import default_registry
from courier.settings import Settings, load_settings
from courier.web.access import Access, AccessRefused, AccessUnknown, Rules
from courier.web.auth import Identity
from courier.web.grants import NOTHING
from tests.names import channel_name

WHO = Identity(LumiereClaims(user_id="u1", wallet_address="w", iat=0, exp=1), NOTHING, {})
DEVELOPMENT = load_settings({})
PRODUCTION = load_settings({"COURIER_ENV": "production", "JWT_SECRET": "x" * 32})


class Owners(Ownership):
    """Strategies with an owner each; one called `unknown` gets no answer."""

    def __init__(self, **owners: str) -> None:
        self.owners = owners

    async def owner_of(self, strategy_id: str) -> str | None:
        if strategy_id == "unknown":
            raise AccessUnknown
        return self.owners.get(strategy_id)


OWNERS = Owners(mine="u1", theirs="u2")


async def admitted(channel: str, owners: Owners | None = OWNERS, settings: Settings = DEVELOPMENT) -> bool:
    name = channel_name(channel)
    async with open_authority(settings) as anybody:
        asked = anybody if owners is None else owners.may_join
        rules = Rules(default_registry().kinds, {"strategy": asked}, lambda component, error: None)
        try:
            access = await walk(rules.admit(WHO, name))
        except AccessRefused:
            return False
    assert access == Access(WHO, name)
    return True


@pytest.mark.parametrize("settings", [DEVELOPMENT, PRODUCTION])
@pytest.mark.parametrize("channel", ["global", "backtest.b1", "forge.job.j1", "user.u1", "strategy.mine"])
async def test_a_valid_token_joins_what_is_for_all_and_what_is_its_own(
    channel: str, settings: Settings
) -> None:
    assert await admitted(channel, settings=settings)


@pytest.mark.parametrize("settings", [DEVELOPMENT, PRODUCTION])
@pytest.mark.parametrize(
    "channel", ["user.u2", "user.u", "user.u11", "user.U1", "user.-", "strategy.theirs", "strategy.none"]
)
async def test_what_is_another_users_is_refused(channel: str, settings: Settings) -> None:
    assert not await admitted(channel, settings=settings)


async def test_an_owner_is_compared_whole_and_exact() -> None:
    owners = Owners(a="U1", b="u1 ", c="u11", d="u")
    assert not any([await admitted(f"strategy.{id}", owners) for id in "abcd"])


async def test_an_owner_who_cannot_be_known_is_never_let_in() -> None:
    with pytest.raises(AccessUnknown):
        await admitted("strategy.unknown")


async def test_without_an_architect_strategies_are_open_in_development_and_closed_in_production() -> None:
    assert await admitted("strategy.any", None, DEVELOPMENT)
    assert not await admitted("strategy.any", None, PRODUCTION)
    assert await admitted("user.u1", None, PRODUCTION)
