"""Subscriptions that come and go at random on one socket: no hole, no repeat, and no event after an end."""

import json
import os
import random
from collections import Counter
from contextlib import ExitStack
from typing import Any

import pytest
import trio

from courier.serving.desk.websocket import Opcode
from tests.backplane.redis_servers import redis_server
from tests.serving.desk.test_websocket import masked
from tests.web.messages import check_message
from tests.web.servers import TestServer, a_server, announcement, token

CHANNELS = ["global", "user.u1", "strategy.1", "backtest.7"]
TOGGLES = int(os.environ.get("COURIER_TOGGLES", "1000"))
EMPTY = "00000000"
"""The epoch of a channel that nothing has been published to; its first event begins another one."""

SEED = os.environ.get("COURIER_TEST_SEED", "1")


class Reader:
    """Judges all that comes on a connection by what was asked for."""

    def __init__(self) -> None:
        self.ref = -1
        self.live: dict[str, int] = {}
        """The last `ref` of each channel, while it is wanted."""
        self.asked: dict[int, tuple[str, str | None]] = {}
        """Of each `ref` that has not ended its channel, and its `since`."""
        self.begun: dict[str, int] = {}
        """The `ref` whose events come, by channel."""
        self.positions: dict[str, str] = {}
        """Where the reader stands; what it missed before its first subscription is not its own."""
        self.counts: Counter[str] = Counter()

    def toggle(self, channel: str) -> bytes:
        """A frame that subscribes, or that unsubscribes."""
        return masked(Opcode.TEXT, json.dumps(self.message(channel)).encode())

    def message(self, channel: str) -> dict[str, Any]:
        """What a subscriber says to begin, or to end, its subscription."""
        if channel in self.live:
            said: dict[str, Any] = {"type": "courier.unsubscribe", "ref": self.live.pop(channel)}
        else:
            self.ref += 1
            self.live[channel] = self.ref
            since = self.positions.get(channel)
            self.asked[self.ref] = channel, since
            said = {"type": "courier.subscribe", "ref": self.ref, "channel": channel, "since": since}
        return said

    def hear(self, text: str) -> None:
        check_message(text)
        said = json.loads(text)
        self.counts[said["type"]] += 1
        match said["type"]:
            case "courier.connected":
                pass
            case "courier.subscribed":
                channel, since = self.asked[said["ref"]]
                assert channel == said["channel"]
                assert channel not in self.begun, "two subscriptions of one channel"
                self.begun[channel] = said["ref"]
                if since is not None:
                    assert said["recovered"]
                    assert said["position"] == since or since.startswith(EMPTY)
                self.positions[channel] = said["position"]
            case "courier.ended":
                channel, _ = self.asked.pop(said["ref"])
                assert (said["code"], said["channel"]) == (1000, channel)
                if self.begun.get(channel) == said["ref"]:
                    del self.begun[channel]
                    before = self.positions[channel]
                    # Where a channel was empty, its first event has its beginning called by another name.
                    assert said["position"] == before or (
                        before.startswith(EMPTY) and said["position"].endswith("-0")
                    )
                else:
                    assert "position" not in said
            case _:
                channel = said["channel"]
                assert channel in self.begun, "an event of a subscription that has ended"
                epoch, offset = self.positions[channel].split("-")
                expected = f"{epoch}-{int(offset) + 1}"
                if epoch == EMPTY:
                    expected = f"{said['id'].partition('-')[0]}-1"
                assert said["id"] == expected, "a hole, or a repeat"
                self.positions[channel] = said["id"]


async def read_frame(stream: trio.SocketStream, buffer: bytearray) -> tuple[int, bytes]:
    """One frame of a server: unmasked and unfragmented (RFC 6455, 5.2)."""

    async def exactly(count: int) -> bytes:
        while len(buffer) < count:
            more = await stream.receive_some()
            assert more, "the server has closed"
            buffer.extend(more)
        taken = bytes(buffer[:count])
        del buffer[:count]
        return taken

    first, size = await exactly(2)
    if size == 126:
        size = int.from_bytes(await exactly(2), "big")
    return first & 0x0F, await exactly(size)


async def connect(server: TestServer) -> tuple[trio.SocketStream, bytearray]:
    stream = await server.connect()
    await stream.send_all(
        f"GET /ws?token={token()} HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Protocol: courier.v1\r\n\r\n".encode()
    )
    buffer = bytearray()
    while b"\r\n\r\n" not in buffer:
        buffer += await stream.receive_some()
    head, _, rest = bytes(buffer).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ")
    return stream, bytearray(rest)


@pytest.mark.parametrize(
    ("desk", "shared"),
    [
        pytest.param("on", False, id="the desk"),
        pytest.param("off", False, id="the general path"),
        pytest.param("on", True, id="Redis"),
    ],
)
async def test_no_event_is_lost_repeated_or_late_however_subscriptions_come_and_go(
    desk: str, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("courier.web.many.SUBSCRIBES_A_SECOND", 1_000_000)
    chance = random.Random(f"{SEED}-{desk}-{shared}")
    reader, done = Reader(), trio.Event()
    with ExitStack() as stack:
        redis_url = stack.enter_context(redis_server()).url if shared else None
        await come_and_go(desk, redis_url, chance, reader, done)
    assert reader.counts["courier.ended"] == reader.ref + 1


async def come_and_go(
    desk: str, redis_url: str | None, chance: random.Random, reader: Reader, done: trio.Event
) -> None:
    many = 5_000  # more than wait for a Redis on a machine with other work
    async with (
        a_server(desk=desk, redis_url=redis_url, max_channels_per_connection=many) as server,
        trio.open_nursery() as nursery,
    ):
        stream, buffer = await connect(server)

        async def publish() -> None:
            while not done.is_set():
                events = [
                    {"channel": chance.choice(CHANNELS), "data": announcement("x" * chance.choice((1, 900)))}
                    for _ in range(chance.randrange(1, 20))
                ]
                body = json.dumps({"events": events}).encode()
                headers = {"X-Service-Name": "tests", "Content-Type": "application/json"}
                assert (await server.request("POST", "/publish/batch", body, headers)).status == 200

        async def listen() -> None:
            while True:
                opcode, payload = await read_frame(stream, buffer)
                assert opcode == Opcode.TEXT
                reader.hear(payload.decode())

        nursery.start_soon(publish)
        with trio.CancelScope() as listening:
            async with trio.open_nursery() as inner:
                inner.start_soon(listen)
                toggled = 0
                while toggled < TOGGLES or reader.counts["system.announcement"] < TOGGLES / 10:
                    packet = [reader.toggle(chance.choice(CHANNELS)) for _ in range(chance.randrange(1, 12))]
                    toggled += len(packet)
                    await stream.send_all(b"".join(packet))
                    if chance.random() < 0.7:
                        await trio.sleep(chance.choice((0, 0.001, 0.004)))
                done.set()
                for channel in list(reader.live):
                    await stream.send_all(reader.toggle(channel))
                while reader.asked:
                    await trio.sleep(0.005)
                listening.cancel()
        await stream.aclose()
