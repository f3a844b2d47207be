from typing import Any

import pytest
from pydantic import ValidationError

from courier.lumiere import LumiereClaims
from courier.schemas.claims import ServiceClaims

SUBSCRIBER: dict[str, Any] = {
    "user_id": "u1",
    "wallet_address": "0xabc",
    "exp": 1_800_000_000,
    "iat": 1_700_000_000,
}
SERVICE: dict[str, Any] = {"service": "prophet", "exp": 1_800_000_000, "iat": 1_700_000_000}
NOT_DATES = [True, "1800000000", 1.5, 1.8e9, None, -1, 10**12]


def test_claims_beyond_those_known_are_ignored() -> None:
    assert LumiereClaims.model_validate(SUBSCRIBER | {"role": "admin"}).model_dump() == SUBSCRIBER
    assert ServiceClaims.model_validate(SERVICE | {"aud": ["courier"]}).model_dump() == SERVICE


@pytest.mark.parametrize("claim", SUBSCRIBER)
def test_a_subscriber_without_one_of_its_claims_is_refused(claim: str) -> None:
    with pytest.raises(ValidationError):
        LumiereClaims.model_validate({name: SUBSCRIBER[name] for name in SUBSCRIBER if name != claim})


@pytest.mark.parametrize("claim", SERVICE)
def test_a_service_without_one_of_its_claims_is_refused(claim: str) -> None:
    with pytest.raises(ValidationError):
        ServiceClaims.model_validate({name: SERVICE[name] for name in SERVICE if name != claim})


@pytest.mark.parametrize("value", NOT_DATES)
@pytest.mark.parametrize("claim", ["exp", "iat"])
def test_a_date_is_a_whole_number_of_seconds_and_nothing_else(claim: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        LumiereClaims.model_validate(SUBSCRIBER | {claim: value})


@pytest.mark.parametrize("value", ["", "x" * 129, 1, None, ["u1"], "\ud800"])
def test_a_user_id_is_a_text_of_1_to_128_characters(value: Any) -> None:
    with pytest.raises(ValidationError):
        LumiereClaims.model_validate(SUBSCRIBER | {"user_id": value})
    assert LumiereClaims.model_validate(SUBSCRIBER | {"user_id": "x" * 128}).user_id == "x" * 128


@pytest.mark.parametrize("value", ["", "Prophet", "x" * 65, 1, None])
def test_a_service_is_named_as_in_its_header(value: Any) -> None:
    with pytest.raises(ValidationError):
        ServiceClaims.model_validate(SERVICE | {"service": value})


def test_claims_cannot_be_changed() -> None:
    claims = LumiereClaims.model_validate(SUBSCRIBER)
    with pytest.raises(ValidationError, match="frozen"):
        claims.user_id = "u2"  # type: ignore[misc]
