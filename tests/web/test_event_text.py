"""The text of event streams, and how it is cut by a socket that takes only a part."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.actors.frames import Page, event_frame, frames_of, gap_frame, payload_of, text_frame
from courier.schemas.control import GapReason
from courier.schemas.position import Position
from courier.web.exchange.stream import StreamPeer
from courier.web.exchange.text import EventText, OneChannel, SeveralChannels, chunk, closed_text

EPOCH = "aaaaaaaa"
EVENT = b'{"type":"system.announcement","message":"%b"}'


class Socket:
    """A peer of the desk that takes as many bytes as it is told to."""

    address = None

    def __init__(self, takes: Sequence[int]) -> None:
        self.takes = list(takes)
        self.written = b""
        self.held = b""

    @property
    def holding(self) -> bool:
        return bool(self.held)

    def write(self, data: bytes) -> int:
        if self.held:
            return 0
        taken = min(len(data), self.takes.pop(0)) if self.takes else len(data)
        self.written += data[:taken]
        return taken

    def hold(self, rest: bytes) -> None:
        self.held += rest

    def flush(self) -> None:
        self.written, self.held = self.written + self.held, b""


def frame(channel: str, offset: int, size: int) -> bytes:
    return event_frame(Position(EPOCH, offset), channel, EVENT % (b"x" * size))


frames = st.lists(st.tuples(st.sampled_from(["global", "user.u1"]), st.integers(0, 300)), max_size=20)


@given(frames, st.lists(st.integers(0, 400), max_size=30), st.booleans())
def test_a_reader_gets_each_message_whole_and_once_wherever_it_is_cut(
    wanted: list[tuple[str, int]], takes: list[int], several: bool
) -> None:
    def text() -> EventText:
        start = {"global": f"{EPOCH}-0", "user.u1": f"{EPOCH}-0"}
        return SeveralChannels(start, {}) if several else OneChannel(comes_back=False)

    given = [frame(channel, number, size) for number, (channel, size) in enumerate(wanted, 1)]
    whole = text()
    expected = b"".join(chunk(whole.of(payload_of(each))) for each in given)
    socket = Socket(takes)
    peer = StreamPeer(socket, text())  # type: ignore[arg-type]
    at = 0
    while at < len(given):  # as a subscriber does that is behind
        page = Page.of(given[at : at + 3])
        sent = peer.write(page.data)
        count, rest = (len(page.frames), b"") if sent == len(page.data) else page.cut(sent)
        assert rest == b""
        at += count
        assert len(socket.held) < max(map(len, given)) + 200
        socket.flush()
    assert socket.written == expected


@given(st.lists(st.binary(max_size=70_000), max_size=8))
def test_frames_are_told_apart_whatever_their_length(payloads: list[bytes]) -> None:
    found = frames_of(b"".join(map(text_frame, payloads)))
    assert [payload_of(each) for each in found] == payloads


@pytest.mark.parametrize("comes_back", [False, True])
def test_a_gap_moves_the_id_and_an_event_behind_it_too(comes_back: bool) -> None:
    text = OneChannel(comes_back=comes_back)
    gap = gap_frame("global", "x", Position(EPOCH, 4), GapReason.EXPIRED)
    assert text.of(payload_of(gap)).startswith(b"id: aaaaaaaa-4\nevent: courier\ndata: {")
    assert text.of(payload_of(frame("global", 5, 1))).startswith(b'id: aaaaaaaa-5\ndata: {"id"')


def test_the_last_message_says_why() -> None:
    assert closed_text(4008, "Too slow") == (
        b'event: courier\ndata: {"type":"courier.closed","code":4008,"reason":"Too slow"}\n\n'
    )
