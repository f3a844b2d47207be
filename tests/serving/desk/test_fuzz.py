"""Fuzzing of the desk: whatever bytes come, in whatever pieces, harm nobody but their sender."""

import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import trio
from hypothesis import example, given
from hypothesis import strategies as st
from wsproto.frame_protocol import CloseReason, Frame, FrameProtocol, ParseFailed
from wsproto.frame_protocol import Opcode as WsprotoOpcode

from courier.serving.desk.websocket import Close, MessageReader, Opcode, Ping, Received, Violation
from tests.serving.desk.desks import HANDSHAKE, MAX_MESSAGE_BYTES, EchoDesk, an_echo_desk, until
from tests.serving.desk.test_desk import post, text
from tests.serving.desk.test_websocket import fed, masked
from tests.serving.test_heads import ALL

# What peers send

payloads = st.binary(max_size=140) | st.text(max_size=50).map(str.encode) | st.sampled_from([b"", b"x" * 300])
data_opcodes = st.sampled_from([Opcode.TEXT, Opcode.BINARY, Opcode.CONTINUATION])
control_opcodes = st.sampled_from([Opcode.PING, Opcode.PONG])
close_payloads = st.builds(
    lambda code, reason: struct.pack("!H", code) + reason,
    st.sampled_from([0, 999, 1000, 1004, 1005, 1012, 1014, 1015, 1016, 2999, 3000, 4999, 5000]),
    st.text(max_size=40).map(str.encode) | st.binary(max_size=124),
) | st.binary(max_size=1)
masks = st.binary(min_size=4, max_size=4)

good_frames = st.one_of(
    st.builds(masked, data_opcodes, payloads, last=st.booleans(), mask=masks),
    st.builds(masked, control_opcodes, payloads.filter(lambda payload: len(payload) <= 125), mask=masks),
)
reserved_bits = st.sampled_from([0, 0x10, 0x40])
odd_frames = st.one_of(
    st.builds(masked, st.integers(0, 15), payloads, last=st.booleans(), reserved=reserved_bits),
    st.builds(masked, st.just(Opcode.CLOSE), close_payloads),
    good_frames.map(lambda frame: frame[:-1]),
    st.binary(max_size=20),
)
streams = st.lists(st.one_of(good_frames, good_frames, good_frames, odd_frames), max_size=8).map(b"".join)
"""More good frames than bad ones, so that the bad ones come in the middle of something."""


class Outcome(NamedTuple):
    """What a reader makes of some bytes."""

    received: list[Received]
    refused: int | None
    """The code of the close, when they break the protocol."""


def read(pieces: Iterable[bytes]) -> Outcome:
    reader = MessageReader(MAX_MESSAGE_BYTES)
    received: list[Received] = []
    try:
        for piece in pieces:
            for each in fed(reader, piece):
                received.append(each)
                if isinstance(each, Close):
                    return Outcome(received, None)
    except Violation as violation:
        return Outcome(received, violation.code)
    return Outcome(received, None)


class Wsproto(FrameProtocol):
    """wsproto, with the one close code that it does not know, and that IANA has registered: 1014."""

    def _process_close(self, frame: Frame) -> Frame:
        if bytes(frame.payload[:2]) != b"\x03\xf6":  # type: ignore[arg-type]
            return super()._process_close(frame)
        known = super()._process_close(frame._replace(payload=b"\x03\xf5" + frame.payload[2:]))  # type: ignore
        return known._replace(payload=(1014, known.payload[1]))  # type: ignore[arg-type]


def read_by_wsproto(data: bytes) -> Outcome:
    protocol = Wsproto(client=False, extensions=[])
    protocol.receive_bytes(data)
    received: list[Received] = []
    pieces: list[Any] = []
    try:
        for frame in protocol.received_frames():
            payload: Any = frame.payload
            match frame.opcode:
                case WsprotoOpcode.PING:
                    received.append(Ping(bytes(payload)))
                case WsprotoOpcode.PONG:
                    pass
                case WsprotoOpcode.CLOSE:
                    code, reason = payload
                    given = None if code is CloseReason.NO_STATUS_RCVD else int(code)
                    received.append(Close(given, reason))
                case opcode:
                    pieces.append(payload)
                    if frame.message_finished:
                        whole = "".join if opcode is WsprotoOpcode.TEXT else b"".join
                        received.append(whole(pieces))
                        pieces.clear()
    except ParseFailed as failure:
        return Outcome(received, int(failure.code))
    return Outcome(received, None)


@given(streams, st.lists(st.integers(0, 2000), max_size=12))
def test_bytes_mean_the_same_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    places = sorted(min(cut, len(data)) for cut in cuts)
    pieces = [data[begin:end] for begin, end in zip([0, *places], [*places, len(data)], strict=True)]
    whole = read([data])
    assert read(pieces) == whole
    assert read(data[place : place + 3] for place in range(0, len(data), 3)) == whole


@given(streams)
@example(masked(Opcode.TEXT, b"\xff"))
@example(masked(Opcode.CLOSE, b"\x03\xf6"))
@example(masked(Opcode.CLOSE, b"\x03\xf6\xff"))
def test_bytes_mean_what_they_mean_to_another_implementation(data: bytes) -> None:
    """wsproto decodes a text while its frame comes, and judges a frame's opcode once its length has come; the
    reader does the first later, and the second earlier. So both get the rest of the last frame, and zeros.

    One difference stays: wsproto has no limit of a message's length, and reads on where the reader refuses
    with 1009.
    """
    data += bytes(MAX_MESSAGE_BYTES + 20)
    ours, theirs = read([data]), read_by_wsproto(data)
    if ours.refused == 1009:
        assert theirs.received[: len(ours.received)] == ours.received
    else:
        assert ours == theirs


# What the desk makes of it

MORE = [post(b"1"), post(b"fault"), post(b"", b"/late"), HANDSHAKE.replace(b"/echo", b"/refused", 1)]
heads = st.sampled_from([each.head + b"\r\n\r\n" for each in ALL] + MORE) | st.just(HANDSHAKE)


@st.composite
def broken_heads(draw: st.DrawFn) -> bytes:
    """A head of which a few bytes are others, or more, or fewer."""
    head = draw(heads)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(head)))
        head = head[:place] + draw(st.binary(max_size=3)) + head[place + draw(st.integers(0, 3)) :]
    return head


class Peer(NamedTuple):
    """What one peer does."""

    first: bytes
    then: list[bytes]
    leave: str


peers = st.builds(
    Peer,
    st.one_of(st.just(HANDSHAKE), st.just(HANDSHAKE), heads, broken_heads(), st.binary(max_size=50)),
    st.lists(st.one_of(streams, st.binary(max_size=50), heads), max_size=4),
    st.sampled_from(["close", "reset", "half"]),
)


async def play(echo: EchoDesk, peer: Peer) -> None:
    stream = await echo.connect()
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        for piece in (peer.first, *peer.then):
            await stream.send_all(piece)
            await trio.lowlevel.checkpoint()
        if peer.leave == "half":
            await stream.send_eof()
            with trio.move_on_after(0.005):
                while await stream.receive_some():
                    pass
        elif peer.leave == "reset":
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await stream.aclose()


async def attack(crowd: list[Peer]) -> None:
    async with an_echo_desk() as echo:
        neighbour = await echo.open()
        async with trio.open_nursery() as nursery:
            for peer in crowd:
                nursery.start_soon(play, echo, peer)
            await neighbour.send_all(masked(Opcode.TEXT, b"beside"))
            assert await until(neighbour, b"beside") == text(b"beside")
        for respond in echo.late.waiting:
            respond(b"HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n")
        while len(echo.desk) > 1:
            await trio.sleep(0.001)
        await neighbour.send_all(masked(Opcode.TEXT, b"after"))
        assert await until(neighbour, b"after") == text(b"after")
        assert {str(fault) for fault in echo.faults} <= {"A fault of the route", "A fault of the endpoint"}
        assert len(echo.ends.told) == len(echo.endpoints) - 1
        assert len(echo.desk._timers) == 1


@given(st.lists(peers, min_size=1, max_size=4))
def test_no_bytes_harm_the_desk(crowd: list[Peer]) -> None:
    trio.run(attack, crowd)
