"""Heads as clients really send them: which are plain, and that a handshake among them gets its 101.

`tests/serving/record_heads.py` has recorded them, each as its bytes.
"""

import re
from pathlib import Path
from typing import NamedTuple

import pytest
import trio

from courier.serving.desk.websocket import accept_of, wants_websocket
from courier.serving.requests import Head, parse_head
from tests.serving.desk.desks import an_echo_desk, until
from tests.serving.desk.test_websocket import masked

HEADS = Path(__file__).parent / "heads"


class Recorded(NamedTuple):
    client: str
    head: bytes
    """Without the empty line at its end."""

    @property
    def handshake(self) -> bool:
        return b"sec-websocket-key:" in self.head.lower()

    @property
    def streams(self) -> bool:
        """Its body has no length, and comes in chunks: such a request is for the general path."""
        return b"transfer-encoding: chunked" in self.head.lower()


def recorded() -> list[Recorded]:
    return [
        Recorded(file.stem, text.replace("\n", "\r\n").encode("latin-1"))
        for file in sorted(HEADS.glob("*.txt"))
        for text in file.read_text("latin-1").strip().split("\n\n")
        if not text.startswith("#")
    ]


ALL = recorded()
HANDSHAKES = [each for each in ALL if each.handshake]


def test_each_client_is_there_with_what_it_sends() -> None:
    """Nothing is left out because a file could not be read."""
    counts = {client: 0 for client, _ in ALL}
    for client, _ in ALL:
        counts[client] += 1
    assert counts == {
        "aiohttp": 3,
        "chromium": 4,
        "curl": 6,
        "firefox": 4,
        "go": 6,
        "haproxy": 4,
        "httpx": 3,
        "nginx": 4,
        "node": 8,
        "published": 3,
        "requests": 4,
        "trio-websocket": 1,
        "websocket-client": 1,
        "websockets": 1,
    }


@pytest.mark.parametrize("each", ALL, ids=lambda each: each.client)
def test_what_clients_send_is_plain_unless_it_streams(each: Recorded) -> None:
    head = parse_head(each.head)
    if each.streams:
        assert head is None
        return
    assert head is not None
    assert head.method == each.head.split(b" ")[0].decode()
    assert wants_websocket(head) is each.handshake


@pytest.mark.parametrize("each", HANDSHAKES, ids=lambda each: each.client)
def test_a_handshake_has_all_that_a_node_reads_of_it(each: Recorded) -> None:
    head = parse_head(each.head)
    assert isinstance(head, Head)
    assert head.path == "/ws/user.u1"
    named = "token=aaaa.bbbb.cccc" in head.query
    named |= "courier.bearer.aaaa.bbbb.cccc" in head.headers.get("sec-websocket-protocol", "").split(", ")
    assert named


async def test_each_handshake_gets_its_own_101_and_an_echo() -> None:
    async with an_echo_desk() as desk:
        for each in HANDSHAKES:
            [key] = re.findall(rb"(?i)sec-websocket-key: *(\S+)", each.head)
            async with await trio.open_tcp_stream("127.0.0.1", desk.port) as stream:
                request = re.sub(rb"^GET \S+", b"GET /echo", each.head)
                await stream.send_all(request + b"\r\n\r\n")
                answer = await until(stream, b"\r\n\r\n")
                assert answer.startswith(b"HTTP/1.1 101 ")
                assert f"\r\nsec-websocket-accept: {accept_of(key.decode())}\r\n".encode() in answer
                assert b"extensions" not in answer  # what they offer is declined
                await stream.send_all(masked(1, b"hello"))
                assert await until(stream, b"hello") == b"\x81\x05hello"
        assert not desk.handed_over
