"""Fixtures that tests of the web share."""

import pytest

from courier.web import token_life


@pytest.fixture
def no_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Subscriptions end with their tokens, and not a little later."""
    monkeypatch.setattr(token_life, "SPREAD_SECONDS", 0.0)
