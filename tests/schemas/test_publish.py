import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.schemas.publish import Receipt

RECEIPT = Receipt("user.u1", "prophet.error", 3, "2026-01-01T00:00:00.000Z", "abcdefgh-7")
EXPECTED = {
    "status": "published",
    "channel": "user.u1",
    "event_type": "prophet.error",
    "clients_reached": 3,
    "timestamp": "2026-01-01T00:00:00.000Z",
    "id": "abcdefgh-7",
}


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def test_a_receipt_is_written_as_json_would_write_it() -> None:
    assert RECEIPT.to_json() == compact(EXPECTED)
    assert RECEIPT.status == EXPECTED["status"]


def test_the_receipt_of_a_repeated_publish_is_the_first_one_and_says_so() -> None:
    assert RECEIPT._replace(deduplicated=True).to_json() == compact(EXPECTED | {"deduplicated": True})


@given(st.text(), st.integers(0))
def test_an_event_type_of_any_characters_is_escaped(event_type: str, reached: int) -> None:
    receipt = RECEIPT._replace(event_type=event_type, clients_reached=reached)
    assert receipt.to_json() == compact(EXPECTED | {"event_type": event_type, "clients_reached": reached})


def test_a_receipt_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        RECEIPT.status = "failed"  # type: ignore[misc]
