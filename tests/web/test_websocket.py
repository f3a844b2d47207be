"""The general path of a WebSocket: what an endpoint asks of its peer, on Quart's WebSocket."""

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from courier.actors.frames import text_frame
from courier.serving.peer import MAX_REPLIES_BYTES, Closed, Loss, Peer
from courier.serving.transport import CONNECTION_EXTENSION
from courier.web.peer import AsgiPeer, Disconnected
from courier.web.websocket import WebSocketConnection

FRAMES = [text_frame(b"a"), text_frame(b"b" * 200), text_frame(b""), text_frame(b"c" * 70_000)]
TEXTS = ["a", "b" * 200, "", "c" * 70_000]


class FakeServer:
    """The server under the WebSocket."""

    stalled = False

    def __init__(self, gone: Callable[[], None]) -> None:
        self._gone = gone
        self.aborted = False

    def taken_bytes(self) -> int | None:
        return 7

    def unsent_bytes(self) -> int | None:
        return 5

    def abort(self) -> None:
        self.aborted = True
        self._gone()


class FakeWebsocket:
    """Quart's WebSocket, of which the test is the peer."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.reading = trio.Event()
        self.reading.set()
        self._say, self._heard = trio.open_memory_channel[Any](math.inf)
        self.server = FakeServer(lambda: self.say(Disconnected(1006, by_server=False)))
        self.scope: dict[str, Any] = {
            "client": ("192.0.2.1", 1234),
            "extensions": {CONNECTION_EXTENSION: self.server},
        }

    # What the handler calls

    async def accept(self, subprotocol: str | None) -> None:
        self.sent.append(("accept", subprotocol))

    async def send(self, text: str) -> None:
        await self.reading.wait()
        self.sent.append(text)

    async def close(self, code: int, reason: str) -> None:
        self.sent.append((code, reason))

    async def receive(self) -> Any:
        return await self._heard.receive()

    # What the test does

    def say(self, message: Any) -> None:
        self._say.send_nowait(message)

    def stop_reading(self) -> None:
        self.reading = trio.Event()


class Endpoint:
    """Notes all that it hears."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.left: list[bytes] = []
        self.heard_all: list[str | bytes] = []
        self.writable_count = 0
        self.ends: list[tuple[Closed | Loss, int | None]] = []
        self.due_at: list[float] = []

    def write_all(self, *frames: bytes) -> None:
        """Write as a subscriber does: at once what is taken, and the rest whenever there is room."""
        self.left += frames
        self._go_on()

    def _go_on(self) -> None:
        while self.left:
            sent = self.peer.write(b"".join(self.left))
            if not sent:
                return
            assert sent == len(self.left[0]), "a frame is never cut"
            del self.left[0]

    def heard(self, message: str | bytes) -> None:
        if message == "fault":
            raise ZeroDivisionError
        self.heard_all.append(message)
        if message == "ask":
            self.peer.put(text_frame(b"answer"))

    def writable(self) -> None:
        self.writable_count += 1
        assert not self.peer.holding
        self._go_on()

    def due(self, now: float) -> None:
        self.due_at.append(now)

    def ended(self, how: Closed | Loss, code: int | None, reason: str) -> None:
        self.ends.append((how, code))


class Stage:
    def __init__(self) -> None:
        self.websocket = FakeWebsocket()
        self.faults: list[Exception] = []
        quart: Any = self.websocket
        self.peer = AsgiPeer(quart, self.faults.append)
        self.endpoint: Endpoint

    def make(self, peer: Peer) -> Endpoint:
        self.endpoint = Endpoint(peer)
        return self.endpoint

    @property
    def sent(self) -> list[Any]:
        return self.websocket.sent[1:]


@asynccontextmanager
async def a_stage() -> AsyncIterator[Stage]:
    """A WebSocket that has been accepted; the end of the block waits for its own."""
    stage = Stage()
    stage.peer.accept("courier.v1", stage.make)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.peer.run)
            await wait_all_tasks_blocked()
            assert stage.websocket.sent[0] == ("accept", "courier.v1")
            yield stage
            stage.websocket.say(Disconnected(1000, by_server=False))
    assert len(stage.endpoint.ends) == 1


async def test_frames_leave_one_at_a_time_and_in_their_order(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        stage.websocket.stop_reading()
        stage.endpoint.write_all(*FRAMES)
        await wait_all_tasks_blocked()
        assert (stage.peer.holding, stage.peer.held_bytes) == (True, len(FRAMES[0]))
        assert stage.peer.write(FRAMES[0]) == 0
        assert (stage.peer.taken_bytes(), stage.peer.unsent_bytes()) == (7, 5)
        stage.websocket.reading.set()
        await wait_all_tasks_blocked()
        assert stage.sent == TEXTS
        assert not stage.peer.holding


async def test_a_reply_stands_behind_the_frame_that_was_begun(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        stage.websocket.stop_reading()
        stage.endpoint.write_all(*FRAMES[:2])
        stage.peer.put(text_frame(b"pong"))
        stage.peer.close(4008, "Too slow", trio.current_time() + 5)
        stage.peer.put(text_frame(b"too late"))
        assert stage.peer.write(FRAMES[1]) == 0
        await wait_all_tasks_blocked()
        assert not stage.endpoint.ends
        stage.websocket.reading.set()
        await wait_all_tasks_blocked()
        assert stage.sent == ["a", "pong", (4008, "Too slow")]
        assert stage.endpoint.ends == [(Closed.BY_US, None)]


async def test_room_that_is_asked_for_comes_in_a_turn_of_its_own(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        before = stage.endpoint.writable_count
        stage.peer.await_room()
        assert stage.endpoint.writable_count == before
        await wait_all_tasks_blocked()
        assert stage.endpoint.writable_count == before + 1


async def test_nothing_is_heard_while_a_reply_waits(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        stage.websocket.stop_reading()
        for _ in range(3):
            stage.websocket.say("ask")
        await wait_all_tasks_blocked()
        assert stage.endpoint.heard_all == ["ask"]
        stage.websocket.reading.set()
        await wait_all_tasks_blocked()
        assert stage.endpoint.heard_all == ["ask"] * 3
        assert stage.sent == ["answer"] * 3


async def test_an_event_that_waits_does_not_keep_the_peer_from_being_heard(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        stage.websocket.stop_reading()
        stage.endpoint.write_all(FRAMES[0])
        stage.websocket.say(b"")
        await wait_all_tasks_blocked()
        assert stage.endpoint.heard_all == [b""]


async def test_a_peer_for_which_too_many_replies_wait_has_stalled(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        stage.websocket.stop_reading()
        for _ in range(3):
            stage.peer.put(b"x" * (MAX_REPLIES_BYTES // 2))
        assert stage.websocket.server.aborted
        await wait_all_tasks_blocked()
        assert stage.endpoint.ends == [(Loss.STALLED, None)]


async def test_a_peer_that_the_server_calls_stalled_has_stalled(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        stage.websocket.server.stalled = True
        stage.websocket.server.abort()
        await wait_all_tasks_blocked()
        assert stage.endpoint.ends == [(Loss.STALLED, None)]


@pytest.mark.parametrize(
    ("end", "heard"),
    [
        (Disconnected(1000, by_server=False), (Closed.BY_PEER, 1000)),
        (Disconnected(1005, by_server=False), (Closed.BY_PEER, 1005)),
        (Disconnected(1009, by_server=True), (Closed.BY_VIOLATION, 1009)),
        (Disconnected(1006, by_server=False), (Loss.BROKEN, None)),
    ],
)
async def test_the_endpoint_hears_how_it_ended(
    end: Disconnected, heard: tuple[Closed | Loss, int | None], autojump_clock: MockClock
) -> None:
    async with a_stage() as stage:
        stage.websocket.say(end)
        await wait_all_tasks_blocked()
        assert stage.endpoint.ends == [heard]


async def test_a_close_that_takes_too_long_ends_by_force(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        stage.websocket.stop_reading()
        stage.endpoint.write_all(FRAMES[0])
        began = trio.current_time()
        stage.peer.close(1001, "Bye", began + 5)
        stage.peer.close(1001, "Bye", began + 7)
        await trio.sleep(6.9)
        assert not stage.endpoint.ends
        await trio.sleep(0.2)
        assert stage.websocket.server.aborted
        assert stage.endpoint.ends == [(Loss.ABORTED, None)]


async def test_the_endpoint_is_called_at_the_moment_it_asked_for_last(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        began = trio.current_time()
        stage.peer.call_at(began + 10)
        stage.peer.call_at(began + 3)
        stage.peer.call_at(began + 5)
        await trio.sleep(20)
        assert stage.endpoint.due_at == [pytest.approx(began + 5)]


async def test_a_fault_of_the_endpoint_is_counted_and_ends_the_connection(autojump_clock: MockClock) -> None:
    async with a_stage() as stage:
        stage.websocket.say("fault")
        await wait_all_tasks_blocked()
        assert [type(fault) for fault in stage.faults] == [ZeroDivisionError]
        assert stage.endpoint.ends == [(Loss.ABORTED, None)]


async def test_a_handler_that_is_cancelled_ends_the_endpoint(autojump_clock: MockClock) -> None:
    stage = Stage()
    stage.peer.accept(None, stage.make)
    with trio.move_on_after(1):
        await stage.peer.run()
    assert stage.endpoint.ends == [(Loss.ABORTED, None)]


async def test_a_refusal_is_a_close(autojump_clock: MockClock) -> None:
    stage = Stage()
    stage.peer.refuse("courier.plain", 1008, "Token expired")
    await stage.peer.run()
    assert stage.websocket.sent == [("accept", "courier.plain"), (1008, "Token expired")]
    assert trio.current_time() == 0


async def test_quart_gives_every_message_and_the_end_to_the_handler() -> None:
    events: list[dict[str, Any]] = [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "bytes": None, "text": "a"},
        {"type": "websocket.receive", "bytes": b"", "text": None},
        {"type": "websocket.receive", "bytes": b"b"},
        {"type": "websocket.disconnect", "code": 1009, "courier.by_server": True},
    ]
    app: Any = None
    connection = WebSocketConnection(app, {"type": "websocket"})  # type: ignore[typeddict-item]

    async def receive() -> dict[str, Any]:
        return events.pop(0)

    heard: list[object] = []
    read: Callable[[], Awaitable[object]] = connection.receive_channel.receive
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.handle_messages, nursery, receive)
        heard += [await read() for _ in range(4)]
    assert heard == ["a", b"", b"b", Disconnected(1009, by_server=True)]
