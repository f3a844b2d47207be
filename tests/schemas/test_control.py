import json

import pytest
from pydantic import ValidationError

from courier.schemas.control import Gap, GapReason


def test_a_gap_is_written_with_the_fields_of_the_contract_in_order() -> None:
    gap = Gap(
        channel="user.u1",
        requested="2026-01-01T00:00:00Z",
        resumed_from="abcdefgh-7",
        reason=GapReason.UNKNOWN_POSITION,
    )
    assert list(json.loads(gap.to_json()).items()) == [
        ("type", "courier.gap"),
        ("channel", "user.u1"),
        ("requested", "2026-01-01T00:00:00Z"),
        ("resumed_from", "abcdefgh-7"),
        ("reason", "unknown_position"),
    ]


def test_there_are_three_reasons_for_a_gap() -> None:
    assert [reason.value for reason in GapReason] == ["expired", "unknown_position", "overrun"]


@pytest.mark.parametrize("text", ["", "abcdefgh-07", "abcdefgh-7\n", "2026-01-01T00:00:00Z"])
def test_a_gap_resumes_from_a_position_only(text: str) -> None:
    with pytest.raises(ValidationError):
        Gap(channel="global", requested="abcdefgh-1", resumed_from=text, reason=GapReason.EXPIRED)
