"""A token's life: when its bearer is asked for a new one, and when it ends a subscription."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.web.token_life import SPREAD_SECONDS, WARNING_SECONDS, TokenLife

EXP = 1_800_000_000.0


def life(left: float, share: float = 0.0, now: float = 500.0) -> TokenLife:
    """Of a token with so many seconds left."""
    return TokenLife.of(EXP, EXP - left, now, share)


@pytest.mark.parametrize("left", [120.0, 121.0, 3600.0, 1e9])
def test_a_minute_before_its_end_a_new_token_is_asked_for(left: float) -> None:
    assert life(left).warn_at == 500 + left - 60
    assert life(left).seconds_left(life(left).warn_at) == 60


@pytest.mark.parametrize("left", [119.0, 61.0, 60.0, 10.0, 1.0])
def test_a_token_with_less_than_two_minutes_is_asked_for_at_half_of_what_is_left(left: float) -> None:
    assert life(left).warn_at == 500 + left / 2
    assert life(left).seconds_left(500) == left


@pytest.mark.parametrize(("share", "ends_at"), [(0.0, 600.0), (0.5, 602.0), (1.0, 604.0)])
def test_a_subscription_outlives_its_token_by_its_share_of_the_spread(share: float, ends_at: float) -> None:
    assert life(100, share).expires_at == 600
    assert life(100, share).ends_at == ends_at


def test_what_is_left_of_a_token_that_has_ended_is_nothing() -> None:
    assert life(10).seconds_left(511) == 0


@given(left=st.floats(0.001, 1e11), share=st.floats(0, 1), now=st.floats(0, 1e7))
def test_the_warning_comes_before_the_end_and_the_end_within_five_seconds(
    left: float, share: float, now: float
) -> None:
    lived = life(left, share, now)
    assert lived.warn_at <= lived.expires_at <= lived.ends_at < lived.expires_at + 5
    assert lived.expires_at - lived.warn_at <= WARNING_SECONDS
    assert SPREAD_SECONDS < 5
