import json

import pytest
from pydantic import ValidationError

from courier.schemas.control import (
    ControlMessage,
    Drain,
    Gap,
    GapReason,
    Joined,
    Refresh,
    Refreshed,
    TokenExpiring,
)


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


def a_joined(**fields: object) -> Joined:
    good = {
        "channel": "user.u1",
        "position": "abcdefgh-7",
        "recovered": True,
        "replayed": 3,
        "connection_id": "0123456789abcdef",
        "heartbeat_seconds": 30,
    }
    return Joined.model_validate(good | fields)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (
            a_joined(heartbeat_seconds=0.5),
            '{"type":"courier.joined","channel":"user.u1","position":"abcdefgh-7","recovered":true,'
            '"replayed":3,"connection_id":"0123456789abcdef","heartbeat_seconds":0.5}',
        ),
        (Drain(reconnect_in_ms=250), '{"type":"courier.drain","reconnect_in_ms":250}'),
        (TokenExpiring(seconds_left=60), '{"type":"courier.token_expiring","seconds_left":60}'),
        (
            Refreshed(expires_at="2026-01-01T00:00:00Z"),
            '{"type":"courier.refreshed","expires_at":"2026-01-01T00:00:00Z"}',
        ),
    ],
    ids=lambda value: getattr(value, "type", ""),
)
def test_a_message_of_courier_v1_is_written_with_the_fields_of_the_contract_in_order(
    message: ControlMessage, text: str
) -> None:
    assert message.to_json().decode() == text


@pytest.mark.parametrize(
    "fields", [{"position": "7"}, {"replayed": -1}, {"recovered": "yes"}, {"epoch": "abcdefgh"}]
)
def test_a_joined_that_says_more_or_something_else_is_not_made(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        a_joined(**fields)


def test_there_are_three_reasons_for_a_gap() -> None:
    assert [reason.value for reason in GapReason] == ["expired", "unknown_position", "overrun"]


@pytest.mark.parametrize("text", ["", "abcdefgh-07", "abcdefgh-7\n", "2026-01-01T00:00:00Z"])
def test_a_gap_resumes_from_a_position_only(text: str) -> None:
    with pytest.raises(ValidationError):
        Gap(channel="global", requested="abcdefgh-1", resumed_from=text, reason=GapReason.EXPIRED)


@pytest.mark.parametrize(
    "text", ['{"type":"courier.refresh","token":"a.b.c"}', ' {"token": "a.b.c", "type": "courier.refresh"} ']
)
def test_a_refresh_is_read_from_text_or_bytes(text: str) -> None:
    assert Refresh.parse(text) == Refresh.parse(text.encode()) == Refresh(token="a.b.c")


@pytest.mark.parametrize("text", ["", "ping", "{", "[]", "1", '{"type":"courier.drain","token":"x"}', "{}"])
def test_what_has_another_type_or_none_is_no_refresh(text: str) -> None:
    assert Refresh.parse(text) is None


@pytest.mark.parametrize(
    "fields",
    ["", ',"token":""', ',"token":null', ',"token":["a secret"]', ',"token":"a secret","more":1'],
)
def test_a_refresh_without_a_token_is_wrong_and_does_not_repeat_what_it_said(fields: str) -> None:
    with pytest.raises(ValueError) as caught:
        Refresh.parse(f'{{"type":"courier.refresh"{fields}}}')
    assert "a secret" not in str(caught.value)


def test_a_refresh_does_not_show_its_token() -> None:
    assert "a secret" not in repr(Refresh(token="a secret"))
