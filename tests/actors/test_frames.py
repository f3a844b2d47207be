import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol, Opcode

from courier.actors.frames import Page, payload_of, text_frame
from tests.actors.wires import FakeWire

HEADERS = {
    0: b"\x81\x00",
    1: b"\x81\x01",
    125: b"\x81\x7d",
    126: b"\x81\x7e\x00\x7e",
    127: b"\x81\x7e\x00\x7f",
    65535: b"\x81\x7e\xff\xff",
    65536: b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00",
}


@pytest.mark.parametrize(("size", "header"), HEADERS.items())
def test_a_frame_is_its_header_and_its_payload(size: int, header: bytes) -> None:
    payload = b"x" * size
    frame = text_frame(payload)
    assert frame == header + payload
    assert payload_of(frame) == payload


@given(st.text(max_size=300))
def test_a_frame_gives_its_payload_back(text: str) -> None:
    assert payload_of(text_frame(text.encode())).decode() == text


@pytest.mark.parametrize("size", HEADERS)
def test_another_implementation_reads_the_frame(size: int) -> None:
    text = "é" * (size // 2) + "x" * (size % 2)
    reader = FrameProtocol(client=True, extensions=[])
    reader.receive_bytes(text_frame(text.encode()))
    frames = list(reader.received_frames())
    assert all(frame.opcode is Opcode.TEXT for frame in frames)
    assert "".join(str(frame.payload) for frame in frames) == text
    assert frames[-1].message_finished


@given(st.lists(st.binary(max_size=200).map(text_frame), min_size=1, max_size=5))
def test_a_page_is_its_frames_joined(frames: list[bytes]) -> None:
    page = Page.of(iter(frames))
    assert page.frames == frames
    assert page.data == b"".join(frames)


def test_a_page_of_one_frame_copies_nothing() -> None:
    frame = text_frame(b"x" * 1000)
    assert Page.of([frame]).data is frame


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=5), st.integers(0, 1200))
def test_the_wire_of_the_tests_cuts_frames_as_a_socket_does(payloads: list[bytes], room: int) -> None:
    page = Page.of(map(text_frame, payloads))
    wire = FakeWire(room)
    taken, rest = page.cut(wire.write(page.data))
    wire.hold(rest)
    assert bytes(wire.received) == page.data[:room]
    whole = sum(len(b"".join(page.frames[: count + 1])) <= room for count in range(len(page.frames)))
    assert wire.payloads == payloads[:whole]
    assert wire.holding == (taken > whole)
    assert taken - whole in (0, 1)
    assert taken == 0 or len(b"".join(page.frames[: taken - 1])) < room
