"""The load client notices what it is there to notice: fed by a socket pair, with faults made on purpose."""

import socket
from collections.abc import Iterator

import pytest

from benchmarks import frames
from benchmarks.errors import LoadError
from benchmarks.subscriber import Subscriber
from benchmarks.tape import Faults, Mark, Tape, event

CHANNEL = "backtest.test"


def frame(
    number: int, *, offset: int | None = None, publisher: int = 0, channel: str = CHANNEL, size: int = 200
) -> bytes:
    body = event(Mark(publisher, number), size)
    offset = number + 1 if offset is None else offset
    return frames.text(b'{"id":"abcdefgh-%d","channel":"%b",%b' % (offset, channel.encode(), body[1:]))


EVENTS = [frame(number) for number in range(6)]


class Pair:
    """A subscriber, and the server's end of its socket."""

    def __init__(self, tape: Tape) -> None:
        self.server, client = socket.socketpair()
        client.setblocking(False)
        self.client = client
        self.subscriber = Subscriber(client, tape)

    def send(self, *data: bytes) -> None:
        for piece in data:
            self.server.sendall(piece)
            self.subscriber.on_readable()


@pytest.fixture
def tape() -> Tape:
    return Tape(CHANNEL)


@pytest.fixture
def two(tape: Tape) -> Iterator[tuple[Pair, Pair]]:
    pairs = Pair(tape), Pair(tape)
    yield pairs
    for pair in pairs:
        pair.server.close()
        pair.client.close()


def total(tape: Tape, *pairs: Pair) -> Faults:
    return sum((pair.subscriber.faults for pair in pairs), tape.faults)


def test_everything_in_order_is_no_fault(tape: Tape, two: tuple[Pair, Pair]) -> None:
    for pair in two:
        pair.send(*EVENTS)
    assert str(total(tape, *two)) == "none"
    assert tape.numbered == len(EVENTS)
    assert all(pair.subscriber.complete and pair.subscriber.received == len(EVENTS) for pair in two)


@pytest.mark.parametrize("step", range(1, 260))
def test_frames_may_be_cut_anywhere(tape: Tape, two: tuple[Pair, Pair], step: int) -> None:
    stream = b"".join(EVENTS)
    pieces = [stream[start : start + step] for start in range(0, len(stream), step)]
    for mine, others in zip(pieces, reversed(range(len(pieces))), strict=True):
        two[0].send(mine)
        if others % 3 == 0:
            behind = two[1].subscriber.position + len(two[1].subscriber._rest)
            two[1].send(stream[behind : behind + step])
    behind = two[1].subscriber.position + len(two[1].subscriber._rest)
    two[1].send(stream[behind:])
    assert str(total(tape, *two)) == "none"
    assert all(pair.subscriber.complete and pair.subscriber.received == len(EVENTS) for pair in two)


def test_an_event_that_one_never_gets_is_lost(tape: Tape, two: tuple[Pair, Pair]) -> None:
    two[0].send(*EVENTS)
    two[1].send(*EVENTS[:2], *EVENTS[3:])
    assert str(total(tape, *two)) == "lost 1"
    assert not two[1].subscriber.complete


def test_an_event_that_the_first_never_gets_is_lost_and_missed(tape: Tape, two: tuple[Pair, Pair]) -> None:
    two[0].send(*EVENTS[:2], *EVENTS[3:])
    two[1].send(*EVENTS)
    found = total(tape, *two)
    assert found.misnumbered
    assert found.unordered
    assert two[0].subscriber.faults.lost == 1


def test_the_last_event_not_got_is_lost(tape: Tape, two: tuple[Pair, Pair]) -> None:
    two[0].send(*EVENTS)
    two[1].send(*EVENTS[:-1])
    assert str(total(tape, *two)) == "lost 1"


def test_an_event_that_comes_twice_is_repeated(tape: Tape, two: tuple[Pair, Pair]) -> None:
    two[0].send(*EVENTS)
    two[1].send(*EVENTS[:3], EVENTS[1], *EVENTS[3:])
    assert str(total(tape, *two)) == "repeated 1"
    two[0].send(EVENTS[-1])
    assert str(total(tape, *two)) == "repeated 2"


def test_two_that_changed_places_are_one_late(tape: Tape, two: tuple[Pair, Pair]) -> None:
    two[0].send(*EVENTS)
    two[1].send(EVENTS[0], EVENTS[2], EVENTS[1], *EVENTS[3:])
    assert str(total(tape, *two)) == "late 1"
    assert two[1].subscriber.complete


def test_other_bytes_for_the_same_event_are_altered(tape: Tape, two: tuple[Pair, Pair]) -> None:
    two[0].send(*EVENTS)
    two[1].send(*EVENTS[:2], EVENTS[2].replace(b"xxx", b"yyy"), *EVENTS[3:])
    assert str(total(tape, *two)) == "altered 1"


@pytest.mark.parametrize(
    "wrong",
    [
        frame(1, offset=3),
        frame(1, offset=1),
        frame(1).replace(b"abcdefgh", b"hgfedcba"),
        frame(1, channel="global"),
    ],
)
def test_a_wrong_position_or_channel_is_misnumbered(tape: Tape, two: tuple[Pair, Pair], wrong: bytes) -> None:
    for pair in two:
        pair.send(EVENTS[0], wrong)
    assert str(total(tape, *two)) == "misnumbered 1"


def test_a_publishers_event_that_nobody_gets_is_noticed(tape: Tape, two: tuple[Pair, Pair]) -> None:
    two[0].send(frame(0), frame(2, offset=2))
    assert str(tape.faults) == "unordered 1"


def test_two_publishers_may_take_turns_in_any_way(tape: Tape, two: tuple[Pair, Pair]) -> None:
    two[0].send(
        frame(0), frame(0, publisher=1, offset=2), frame(1, publisher=1, offset=3), frame(1, offset=4)
    )
    assert str(tape.faults) == "none"


def test_a_gap_and_a_close_are_told(tape: Tape, two: tuple[Pair, Pair]) -> None:
    two[0].send(frames.text(b'{"type":"courier.gap","channel":"backtest.test"}'), b"\x88\x02\x03\xe9")
    assert str(two[0].subscriber.faults) == "gaps 1, closed 1"
    two[1].server.close()
    two[1].subscriber.on_readable()
    assert str(two[1].subscriber.faults) == "closed 1"


def test_pings_between_events_are_answered_and_disturb_nothing(tape: Tape, two: tuple[Pair, Pair]) -> None:
    two[0].send(*EVENTS)
    two[1].send(
        EVENTS[0],
        b"\x89\x04abcd",
        EVENTS[1][:50],
        EVENTS[1][50:] + frames.text(b"ping") + EVENTS[2],
        *EVENTS[3:],
    )
    assert str(total(tape, *two)) == "none"
    assert two[1].server.recv(100) == b"\x8a\x84\0\0\0\0abcd" + frames.PONG_TEXT


def test_all_lengths_of_frames_are_read(tape: Tape, two: tuple[Pair, Pair]) -> None:
    small, large = b"\x81\x05hello", b"\x81\x7f" + (70_000).to_bytes(8, "big") + bytes(70_000)
    found = list(frames.split(small + frame(0) + large + b"\x81"))
    assert [one.end - one.payload for one in found] == [5, len(frame(0)) - 4, 70_000]
    with pytest.raises(LoadError):
        list(frames.split(b"\x01\x05hello"))
    with pytest.raises(LoadError):
        list(frames.split(b"\x81\x85....hello"))


@pytest.mark.parametrize("size", [160, 200, 1000, 60_000])
def test_an_event_has_the_size_asked_for(size: int) -> None:
    assert len(event(Mark(3, 12345), size)) == size
