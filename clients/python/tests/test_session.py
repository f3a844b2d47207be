"""What Courier says on one connection, without one."""

import json

import pytest
from courier_client.closing import CLOSE_REASONS, TOO_LARGE, Closed, ComeBack, what_next, what_next_over_http
from courier_client.event import Event, Gap
from courier_client.session import ChannelSession, Silent
from fakes import event_at

from courier.schemas.closing import CloseReason


def joined(position: str = "k3v9x0qa-5", *, recovered: bool = False, heartbeat: float = 30.0) -> str:
    return json.dumps(
        {"type": "courier.joined", "channel": "global", "position": position, "recovered": recovered,
         "replayed": 0, "connection_id": "c", "heartbeat_seconds": heartbeat}
    )  # fmt: skip


GAP = {"type": "courier.gap", "channel": "global", "requested": "k3v9x0qa-1", "resumed_from": "k3v9x0qa-5",
       "reason": "expired"}  # fmt: skip


def test_the_table_of_close_codes_is_the_servers() -> None:
    theirs = {(one.code, one.reason): one.come_back.value for one in CloseReason}
    assert {key: value.value for key, value in CLOSE_REASONS.items()} == theirs


def test_a_close_that_is_not_in_the_table_is_come_back_from_unless_it_speaks_of_a_policy() -> None:
    for code in (1000, 1001, 1002, 1006, 1007, 1011, 4999):
        assert what_next(Closed(code, "?")) is ComeBack.BACKING_OFF
    assert what_next(Closed(1008, "?")) is ComeBack.NO
    assert what_next(TOO_LARGE) is ComeBack.NO


def test_an_http_answer_to_a_join_is_come_back_from_when_it_passes() -> None:
    assert [what_next_over_http(status) for status in (503, 502, 429)] == [ComeBack.BACKING_OFF] * 3
    assert [what_next_over_http(status) for status in (404, 403, 101, 302)] == [ComeBack.NO] * 4
    assert what_next_over_http(401) is ComeBack.WITH_NEW_TOKEN


def test_a_subscription_without_since_begins_where_the_join_says() -> None:
    session = ChannelSession(None, 0)
    assert session.hear(joined(), 0) is None
    assert session.position == "k3v9x0qa-5"


def test_a_time_is_replaced_by_a_position_at_the_join() -> None:
    session = ChannelSession("2026-01-01T00:00:00Z", 0)
    session.hear(joined(recovered=True), 0)
    assert session.position == "k3v9x0qa-5"


def test_a_gap_that_the_loop_has_not_got_comes_again_with_the_next_join() -> None:
    session = ChannelSession("k3v9x0qa-1", 0)
    session.hear(joined(), 0)
    gap = session.hear(json.dumps(GAP), 0)
    assert session.position == "k3v9x0qa-1"
    assert gap == Gap("global", "k3v9x0qa-1", "k3v9x0qa-5", "expired")
    session.taken(gap)
    assert session.position == "k3v9x0qa-5"


def test_the_position_moves_when_the_loop_gets_an_event_and_not_when_it_comes() -> None:
    session = ChannelSession("k3v9x0qa-1", 0)
    event = session.hear(json.dumps(event_at(2)), 0)
    assert session.position == "k3v9x0qa-1"
    assert isinstance(event, Event)
    session.taken(event)
    assert session.position == "k3v9x0qa-2"


def test_messages_that_a_later_courier_may_send_are_passed_over() -> None:
    assert ChannelSession(None, 0).hear('{"type":"courier.news","x":1}', 0) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"type":1}', '{"type":"t"}', '{"type":"courier.gap"}'])
def test_what_is_no_message_is_an_error(text: str) -> None:
    with pytest.raises((ValueError, LookupError, TypeError, AttributeError)):
        ChannelSession(None, 0).hear(text, 0)


class Clock:
    """A session with a heartbeat of 30 s."""

    def __init__(self) -> None:
        self.session = ChannelSession(None, 0)
        self.session.hear(joined(), 0)


def test_after_half_a_heartbeat_of_silence_a_ping_is_due_once() -> None:
    session = Clock().session
    assert session.next_at == 15
    assert not session.ping_due(14.9)
    assert session.ping_due(15)
    assert not session.ping_due(15)


def test_a_ping_is_due_too_where_only_the_peer_speaks() -> None:
    session = Clock().session
    for now in range(15):
        session.hear("pong", now)
    assert session.ping_due(15)


def test_a_ping_that_nothing_follows_within_half_a_heartbeat_means_that_nobody_is_there() -> None:
    session = Clock().session
    session.ping_due(15)
    assert session.next_at == 30
    session.nothing_came(29.9)
    with pytest.raises(Silent):
        session.nothing_came(30)


def test_whatever_follows_a_ping_shows_that_somebody_is_there() -> None:
    session = Clock().session
    session.ping_due(15)
    session.hear(json.dumps(event_at(1)), 29)
    session.nothing_came(100)


def test_a_drain_gives_a_slot() -> None:
    session = ChannelSession(None, 0)
    session.hear('{"type":"courier.drain","reconnect_in_ms":8400}', 0)
    assert session.slot_seconds == 8.4
