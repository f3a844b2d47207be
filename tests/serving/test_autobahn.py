"""Autobahn's cases for servers, on both of the server's paths.

Autobahn 25.10.1 itself, with its own sizes, comes to the same verdicts. On the desk 296 are OK, two
NON-STRICT and three INFORMATIONAL (7.1.6, 7.13.1, 7.13.2). By Quart-Trio up to ten are NON-STRICT, by chance.
"""

from collections.abc import Mapping

import pytest
import trio

from tests.serving.autobahn import CLOSE, FAMILIES, Case, Frame, Verdict, close
from tests.serving.desk.desks import HANDSHAKE, an_echo_desk, until
from tests.serving.echoes import a_quart_echo

LATER = frozenset({Verdict.NON_STRICT})
EITHER = frozenset({Verdict.OK, Verdict.NON_STRICT})

DESK: Mapping[str, frozenset[Verdict]] = {
    "6.4.3": LATER,  # text that comes in pieces of a frame is looked at when the frame is whole
    "6.4.4": LATER,
}
"""What is not OK on the desk."""

QUART: Mapping[str, frozenset[Verdict]] = dict.fromkeys(
    ("3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15"), EITHER
)
"""A task of the application answers what was right, while the server breaks off for what is wrong."""


class Peer:
    """The driver's side of a WebSocket: reads frames as a server sends them."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._data = bytearray()
        self._ended = False
        self.heard: list[Frame] = []
        self.close: int | None = None
        self.closed = False

    async def send(self, chunk: bytes) -> None:
        try:
            await self._stream.send_all(chunk)
        except trio.BrokenResourceError:  # it has broken off, and its close has come before
            self._ended = True

    async def next(self) -> bool:
        """Wait for one more frame; False when there will be none."""
        while (frame := self._cut()) is None:
            try:
                more = await self._stream.receive_some()
            except trio.BrokenResourceError:
                more = b""
            if not more:
                assert not self._data, f"half a frame: {self._data[:20]!r}"
                return False
            self._data += more
        assert not self.closed, "a frame after the close"
        if frame.opcode == CLOSE:
            self.closed = True
            self.close = int.from_bytes(frame.payload[:2], "big") if frame.payload else None
        else:
            self.heard.append(frame)
        return True

    def _cut(self) -> Frame | None:
        """The first frame of what has come, taken out."""
        data = self._data
        if len(data) < 2:
            return None
        assert data[0] & 0x80, "a server of ours sends no fragments"
        assert not data[0] & 0x70, "reserved bits"
        assert not data[1] & 0x80, "a server masks nothing (RFC 6455, 5.1)"
        extended = {126: 2, 127: 8}.get(data[1], 0)
        begin = 2 + extended
        size = int.from_bytes(data[2:begin], "big") if extended else data[1]
        if len(data) < begin + size:
            return None
        frame = Frame(data[0] & 0x0F, bytes(data[begin : begin + size]))
        del data[: begin + size]
        return frame


async def verdict_of(case: Case, stream: trio.SocketStream) -> Verdict:
    """Play a case; AssertionError when the server does what it must not."""
    peer = Peer(stream)
    expected: list[Frame] = []
    broken_off_at: int | None = None
    for place, stage in enumerate(case.stages):
        for chunk in stage.chunks:
            await peer.send(chunk)
        expected += stage.heard
        while len(peer.heard) < len(expected) and not peer.closed:
            assert await peer.next(), f"the end, after {peer.heard}"
        if case.fails_at is not None and not peer.closed:
            with trio.move_on_after(0.02 if place < len(case.stages) - 1 else 5):
                await peer.next()
        if peer.closed:
            broken_off_at = place
            break
    if case.ours:
        assert not peer.closed, f"closed with {peer.close}, after {peer.heard}"
        await peer.send(close(1000))
    while await peer.next():
        pass
    assert peer.closed, "the end came without a close"
    assert peer.close in case.closes
    if case.informational:
        return Verdict.INFORMATIONAL
    if peer.heard == expected and broken_off_at == case.fails_at:
        return Verdict.OK
    assert case.fails_at is not None, peer.heard
    assert peer.heard == expected[: len(peer.heard)]
    assert broken_off_at is not None
    assert broken_off_at >= case.fails_at
    return Verdict.NON_STRICT


async def surprises(
    port: int, family: str, known: Mapping[str, frozenset[Verdict]]
) -> dict[str, Verdict | str]:
    """How the cases of a family come out that come out in another way than is known."""
    found: dict[str, Verdict | str] = {}
    for case in FAMILIES[family]():
        usual = Verdict.INFORMATIONAL if case.informational else Verdict.OK
        verdict: Verdict | str = "no end"
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            with trio.move_on_after(5):
                await stream.send_all(HANDSHAKE)
                assert (await until(stream, b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
                try:
                    verdict = await verdict_of(case, stream)
                except AssertionError as wrong:
                    verdict = str(wrong)
        if verdict not in known.get(case.number, {usual}):
            found[case.number] = verdict
    return found


@pytest.mark.parametrize("family", FAMILIES)
async def test_the_desk_passes(family: str) -> None:
    async with an_echo_desk() as desk:
        assert await surprises(desk.port, family, DESK) == {}
        assert not desk.faults
        while len(desk.desk):
            await trio.sleep(0.001)


@pytest.mark.parametrize("family", FAMILIES)
async def test_a_quart_app_passes(family: str) -> None:
    async with a_quart_echo() as server:
        assert await surprises(server.port, family, QUART) == {}


def test_the_list_is_autobahns() -> None:
    """Autobahn 25.10.1 has 301 cases in these families."""
    numbers = [case.number for family in FAMILIES.values() for case in family()]
    assert len(numbers) == len(set(numbers)) == 301
