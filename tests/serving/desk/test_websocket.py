"""WebSocket: what RFC 6455 asks of a server's side, as plain bytes."""

import random
import tracemalloc
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, TextMessage
from wsproto.frame_protocol import FrameProtocol

from courier.serving.desk.websocket import (
    FRAMES_AT_ONCE,
    Close,
    MessageReader,
    Opcode,
    Ping,
    Received,
    Violation,
    accept_of,
    close_frame,
    frame,
    wants_websocket,
)
from courier.serving.requests import parse_head

LIMIT = 1000


def masked(
    opcode: int, payload: bytes = b"", *, last: bool = True, reserved: int = 0, mask: bytes = b"\1\2\3\4"
) -> bytes:
    """A frame as a client sends it."""
    size = len(payload)
    short = size if size < 126 else 126 if size < 1 << 16 else 127
    extended = b"" if size < 126 else size.to_bytes(2 if size < 1 << 16 else 8, "big")
    first = (0x80 if last else 0) | reserved | opcode
    data = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return bytes((first, 0x80 | short)) + extended + mask + data


def fed(reader: MessageReader, data: bytes) -> Iterator[Received]:
    """All that is whole with `data`."""
    yield from reader.feed(data)
    while reader.behind:
        yield from reader.feed(b"")


def read(*pieces: bytes, limit: int = LIMIT) -> list[Received]:
    reader = MessageReader(limit)
    return [received for piece in pieces for received in fed(reader, piece)]


def refused(*pieces: bytes, limit: int = LIMIT) -> int:
    with pytest.raises(Violation) as caught:
        read(*pieces, limit=limit)
    return caught.value.code


TEXT, BINARY, MORE = Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION

# Messages


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 128, 999, 1000])
def test_a_message_of_any_length_comes_whole(size: int) -> None:
    assert read(masked(TEXT, b"*" * size)) == ["*" * size]
    assert read(masked(BINARY, b"\xfe" * size)) == [b"\xfe" * size]


def test_a_long_frame_has_its_length_in_eight_bytes() -> None:
    assert read(masked(BINARY, b"x" * 65_536), limit=65_536) == [b"x" * 65_536]


def test_a_message_may_come_byte_by_byte_and_two_at_once() -> None:
    data = masked(TEXT, "hällo".encode()) + masked(BINARY, b"b")
    assert read(data) == ["hällo", b"b"]
    assert read(*(data[at : at + 1] for at in range(len(data)))) == ["hällo", b"b"]


def test_fragments_become_one_message_with_control_frames_between_them() -> None:
    assert read(
        masked(TEXT, "hä".encode()[:2], last=False),
        masked(Opcode.PING, b"p"),
        masked(MORE, "hä".encode()[2:], last=False),
        masked(Opcode.PONG),
        masked(MORE),
        masked(BINARY, b"a", last=False) + masked(MORE, b"b"),
    ) == [Ping(b"p"), "hä", b"ab"]


def test_a_reader_says_whether_something_is_unfinished() -> None:
    reader = MessageReader(LIMIT)
    assert not reader.pending
    for piece, pending in (
        (masked(TEXT, b"a"), False),
        (masked(TEXT, b"a")[:3], True),
        (masked(TEXT, b"a")[3:], False),
        (masked(TEXT, b"a", last=False), True),
        (masked(Opcode.PING), True),
        (masked(MORE, b"b"), False),
    ):
        list(reader.feed(piece))
        assert reader.pending is pending


def test_frames_are_taken_so_many_at_a_time() -> None:
    reader = MessageReader(LIMIT)
    flood = masked(Opcode.PING) + masked(Opcode.PONG) * FRAMES_AT_ONCE + masked(TEXT, b"last") + b"\x81"
    assert list(reader.feed(flood)) == [Ping(b"")]
    assert (reader.behind, reader.pending) == (True, True)
    assert list(reader.feed(b"")) == ["last"]
    assert (reader.behind, reader.pending) == (False, True)
    exactly = MessageReader(LIMIT)
    assert list(exactly.feed(masked(Opcode.PONG) * FRAMES_AT_ONCE)) == []
    assert (exactly.behind, exactly.pending) == (False, False)


@pytest.mark.parametrize("payload", [b"", b"\xc3\xa4"])
def test_a_message_in_fragments_holds_its_bytes_and_not_its_frames(payload: bytes) -> None:
    """A peer could send empty ones for ever, and never reach the limit."""
    reader = MessageReader(16_384)
    list(reader.feed(masked(TEXT, last=False)))
    piece = masked(MORE, payload, last=False) * FRAMES_AT_ONCE
    tracemalloc.start()
    try:
        for _ in range(8192 // FRAMES_AT_ONCE):
            list(reader.feed(piece))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held <= 40_000
    assert list(reader.feed(masked(MORE))) == [payload.decode() * 8192]


@pytest.mark.parametrize(
    "payload",
    [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", "ä".encode()[:1], b"a\x80"],
)
def test_text_that_is_no_utf_8_is_refused_whole_or_in_fragments(payload: bytes) -> None:
    assert refused(masked(TEXT, payload)) == 1007
    assert refused(masked(TEXT, b"ok", last=False), masked(MORE, payload)) == 1007


def test_text_in_fragments_is_refused_as_soon_as_it_cannot_become_utf_8() -> None:
    assert refused(masked(TEXT, b"\xce\xba\xff", last=False)) == 1007


# Sizes


def test_a_message_over_the_limit_is_refused_by_its_head() -> None:
    assert refused(masked(TEXT, b"x" * (LIMIT + 1))[:8]) == 1009
    assert refused(masked(TEXT, b"x" * LIMIT, last=False), masked(MORE, b"x")[:2]) == 1009


def test_control_frames_between_fragments_count_for_nothing() -> None:
    whole = masked(TEXT, b"x" * LIMIT, last=False)
    assert read(whole, masked(Opcode.PING, b"p" * 125), masked(MORE)) == [Ping(b"p" * 125), "x" * LIMIT]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x81\xfe\x00\x7d" + b"\0" * 4 + b"x" * 125, id="125 in two bytes"),
        pytest.param(b"\x81\xff" + (1000).to_bytes(8, "big"), id="1000 in eight bytes"),
        pytest.param(b"\x81\xff\xff" + b"\0" * 7, id="the highest bit"),
    ],
)
def test_a_length_that_is_not_in_its_shortest_form_is_refused(data: bytes) -> None:
    assert refused(data) == 1002


# What breaks the protocol


@pytest.mark.parametrize("reserved", [0x10, 0x20, 0x40, 0x70])
@pytest.mark.parametrize("opcode", [TEXT, BINARY, Opcode.PING, Opcode.CLOSE])
def test_a_reserved_bit_is_refused(reserved: int, opcode: int) -> None:
    assert refused(masked(opcode, reserved=reserved)) == 1002


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_an_unknown_opcode_is_refused(opcode: int) -> None:
    assert refused(masked(opcode)) == 1002


def test_a_frame_without_a_mask_is_refused_by_its_first_two_bytes() -> None:
    assert refused(frame(Opcode.TEXT, b"a")[:2]) == 1002


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG, Opcode.CLOSE])
def test_a_control_frame_is_short_and_whole(opcode: int) -> None:
    assert refused(masked(opcode, b"x" * 126)) == 1002
    assert refused(masked(opcode, last=False)) == 1002


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([masked(MORE, b"a")], id="nothing to continue"),
        pytest.param([masked(MORE, b"a", last=False)], id="nothing to continue, and more"),
        pytest.param([masked(TEXT, last=False), masked(TEXT)], id="a text in a text"),
        pytest.param([masked(BINARY, last=False), masked(TEXT, last=False)], id="a text in a binary"),
        pytest.param([masked(TEXT), masked(MORE)], id="a text that had ended"),
    ],
)
def test_fragments_of_two_messages_do_not_mix(frames: Sequence[bytes]) -> None:
    assert refused(*frames) == 1002


def test_what_was_whole_before_a_violation_has_been_given() -> None:
    given = []
    with pytest.raises(Violation):
        for received in MessageReader(LIMIT).feed(masked(TEXT, b"a") + masked(3)):
            given.append(received)
    assert given == ["a"]


# Closes


@pytest.mark.parametrize(
    "code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
)
def test_a_close_says_its_code_and_reason(code: int) -> None:
    reason = "é" * 61
    assert read(masked(Opcode.CLOSE, code.to_bytes(2, "big") + reason.encode())) == [Close(code, reason)]


def test_a_close_may_say_nothing() -> None:
    assert read(masked(Opcode.CLOSE)) == [Close(None, "")]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535])
def test_a_close_code_that_no_peer_may_send_is_refused(code: int) -> None:
    assert refused(masked(Opcode.CLOSE, code.to_bytes(2, "big"))) == 1002


def test_a_close_of_one_byte_or_with_a_reason_that_is_no_utf_8_is_refused() -> None:
    assert refused(masked(Opcode.CLOSE, b"\x03")) == 1002
    assert refused(masked(Opcode.CLOSE, b"\x03\xe8\xff")) == 1007


def test_nothing_after_a_close_is_looked_at() -> None:
    assert read(masked(Opcode.CLOSE) + masked(3) + b"\xff" * 100) == [Close(None, "")]


def test_a_reason_that_is_too_long_is_cut_between_two_characters() -> None:
    data = close_frame(1000, "é" * 100)
    assert len(data) == 2 + 2 + 122
    [event] = _told_to_a_client(data)
    assert event == CloseConnection(1000, "é" * 61)


# What goes out


def _told_to_a_client(data: bytes) -> list[object]:
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(data)
    return list(client.events())


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536])
def test_a_client_reads_what_is_framed(size: int) -> None:
    [text] = _told_to_a_client(frame(Opcode.TEXT, b"x" * size))
    assert isinstance(text, TextMessage)
    assert text.data == "x" * size
    [binary] = _told_to_a_client(frame(Opcode.BINARY, b"x" * size))
    assert isinstance(binary, BytesMessage)


@given(
    st.lists(
        st.tuples(st.sampled_from([TEXT, BINARY]), st.binary(max_size=300), st.integers(1, 4)), max_size=6
    ),
    st.integers(0, 2**32),
)
def test_a_conversation_is_read_as_another_implementation_reads_it(
    messages: list[tuple[Opcode, bytes, int]], seed: int
) -> None:
    """However messages are cut into fragments, and those into reads."""
    dice = random.Random(seed)
    protocol = FrameProtocol(client=True, extensions=[])
    data, expected = b"", []
    for opcode, payload, pieces in messages:
        text = opcode is TEXT
        body = payload.hex() if text else payload
        expected.append(body)
        cuts = sorted(dice.randrange(len(body) + 1) for _ in range(pieces - 1))
        for number, (begin, end) in enumerate(zip([0, *cuts], [*cuts, len(body)], strict=True), start=1):
            data += protocol.send_data(body[begin:end], fin=number == pieces)
    reader, got = MessageReader(LIMIT), []
    while data:
        count = dice.randrange(1, 50)
        got += list(fed(reader, data[:count]))
        data = data[count:]
    assert got == expected
    assert not reader.pending


# Handshakes


def test_the_accept_is_that_of_the_rfc() -> None:
    assert accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("key", ["", "abc", "dGhlIHNhbXBsZSBub25j", "dGhlIHNhbXBsZSBub25jZQ", "é", "=" * 24])
def test_a_key_that_is_not_16_bytes_has_no_accept(key: str) -> None:
    assert accept_of(key) is None


def asked(*lines: str, first: str = "GET /ws/global HTTP/1.1") -> bool:
    head = parse_head("\r\n".join((first, "Host: t", *lines)).encode())
    return head is not None and wants_websocket(head)


GOOD = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13")


def test_a_handshake_is_known_by_its_head() -> None:
    assert asked(*GOOD)
    assert asked("upgrade: WebSocket", "connection: keep-alive, upgrade", "sec-websocket-version: 13")
    assert not asked(*GOOD, first="POST /ws/global HTTP/1.1")
    assert not asked(*GOOD, "Content-Length: 1")
    assert not asked("Upgrade: h2c", *GOOD[1:])
    assert not asked(GOOD[0], "Connection: keep-alive", GOOD[2])
    assert not asked(*GOOD[:2], "Sec-WebSocket-Version: 8")
