"""The wire: whole frames, in their order, whatever the socket takes and whenever somebody is interrupted."""

import errno
import json
import math
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import h11
import pytest
import trio
import trustme
from trio.testing import MockClock, wait_all_tasks_blocked
from trio_websocket import WebSocketConnection, wrap_client_stream

from courier.actors.errors import WireClosed, WireError, WireStalled
from courier.actors.frames import Page, payload_of, text_frame
from courier.schemas.closing import CloseReason
from courier.serving.patience import TOLD_LATE_SECONDS
from courier.web.wire import AsgiWire, SocketWire
from tests.web.servers import TestServer, a_server, announcement, closed, events, read_response, token

STALL_SECONDS = 10.0

FRAMES = [text_frame(b"a"), text_frame(b"b" * 200), text_frame(b""), text_frame(b"c" * 5)]
PAGE = Page.of(FRAMES)
ENDS = [sum(map(len, FRAMES[: count + 1])) for count in range(len(FRAMES))]


class FakeTransport:
    """A socket that takes as many bytes as there is room for, and the lock that its server shares."""

    def __init__(self, room: float = math.inf) -> None:
        self.send_lock = trio.Semaphore(1)
        self.open = True
        self.aborted = False
        self.received = bytearray()
        self.error: OSError | None = None
        self.at_a_time: float = math.inf
        self.taken = 0
        self._room = room
        self._changed = trio.Event()

    # What a wire calls

    def taken_bytes(self) -> int | None:
        return self.taken

    def unsent_bytes(self) -> int | None:
        return None

    def send(self, data: bytes) -> int:
        if self.aborted:
            raise OSError(errno.EBADF, "Bad file descriptor")
        if self.error is not None:
            raise self.error
        count = int(min(len(data), self._room, self.at_a_time))
        if not count:
            raise BlockingIOError
        self._room -= count
        self.received += data[:count]
        return count

    async def writable(self) -> None:
        await trio.lowlevel.checkpoint()
        while not self._room and self.error is None:
            if self.aborted:
                raise trio.ClosedResourceError
            self._changed = trio.Event()
            await self._changed.wait()

    def close_frame(self, code: int, reason: str) -> bytes:
        assert self.open, "a second close"
        self.open = False
        return close_frame(code, reason)

    def abort(self) -> None:
        self.open = False
        self.aborted = True
        self._changed.set()

    # What the test does

    def take(self, room: float = math.inf) -> None:
        self._room += room
        self._changed.set()

    def leave_room(self, room: float) -> None:
        """Have room for just so many bytes from here on."""
        self._room = room

    def fail(self, error: OSError) -> None:
        """From here on the socket is broken, which makes it writable."""
        self.error = error
        self._changed.set()

    @asynccontextmanager
    async def used_by_the_server(self) -> AsyncIterator[None]:
        """The server writes something of its own."""
        async with self.send_lock:
            yield

    def locked(self) -> bool:
        assert self.send_lock.value <= 1, "released more often than taken"
        return self.send_lock.value == 0

    @property
    def frames(self) -> list[bytes]:
        """The frames received; all of them must be whole."""
        frames, rest = [], bytes(self.received)
        while rest:
            size = 2 + rest[1] if rest[1] < 126 else 4 + int.from_bytes(rest[2:4], "big")
            assert len(rest) >= size, "a frame was cut"
            frames.append(rest[:size])
            rest = rest[size:]
        return frames


def close_frame(code: int, reason: str) -> bytes:
    return bytes([0x88, 2 + len(reason)]) + code.to_bytes(2, "big") + reason.encode()


GOODBYE = close_frame(1001, "Server shutting down for maintenance")


def a_wire(room: float = math.inf) -> tuple[SocketWire, FakeTransport]:
    transport = FakeTransport(room)
    return SocketWire(transport, STALL_SECONDS), transport


@pytest.mark.parametrize("cut", [*range(10), *range(100, 104), *range(200, len(PAGE.data) + 1)])
async def test_a_page_cut_at_any_byte_is_the_wires_up_to_the_end_of_the_frame_that_was_cut(cut: int) -> None:
    wire, transport = a_wire(room=cut)
    count = wire.write_nowait(PAGE)
    assert bytes(transport.received) == PAGE.data[:cut]
    assert count == sum(end - len(frame) < cut for end, frame in zip(ENDS, FRAMES, strict=True))
    in_a_frame = cut not in (0, *ENDS)
    assert wire.holding == in_a_frame
    assert wire.held_bytes == (ENDS[count - 1] - cut if in_a_frame else 0)
    assert transport.locked() == in_a_frame
    if in_a_frame:
        assert wire.write_nowait(PAGE) == 0, "nothing may land inside the frame that was cut"
    transport.take()
    await wire.flush()
    assert transport.frames == FRAMES[:count]
    assert not transport.locked()
    if count < len(FRAMES):
        rest = Page.of(FRAMES[count:])
        assert wire.write_nowait(rest) == len(rest.frames)
    assert transport.frames == FRAMES


@pytest.mark.parametrize("at_a_time", [1, 2, 7, 100])
async def test_a_socket_that_takes_a_few_bytes_at_a_time_gets_everything(at_a_time: int) -> None:
    wire, transport = a_wire()
    transport.at_a_time = at_a_time
    left = FRAMES
    while left:
        left = left[wire.write_nowait(Page.of(left)) :]
        await wire.flush()
    assert transport.frames == FRAMES
    assert not transport.locked()


async def test_a_socket_that_takes_nothing_leaves_the_wire_as_it_was(autojump_clock: MockClock) -> None:
    wire, transport = a_wire(room=0)
    assert wire.write_nowait(PAGE) == 0
    assert (wire.holding, transport.locked()) == (False, False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wire.flush)
        await wait_all_tasks_blocked()
        assert transport.locked(), "who waits for the socket is the next to write"
        transport.take()
    assert not transport.locked()
    assert wire.write_nowait(PAGE) == len(FRAMES)


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ECONNRESET, errno.EBADF, errno.ETIMEDOUT])
async def test_a_broken_socket_is_a_closed_wire(number: int) -> None:
    wire, transport = a_wire()
    transport.fail(OSError(number, "broken"))
    with pytest.raises(WireClosed):
        wire.write_nowait(PAGE)
    for last_word in (wire.say(b"ping"), wire.close(CloseReason.SHUTTING_DOWN)):
        with pytest.raises(WireClosed):
            await last_word
    assert not wire.holding
    assert not transport.locked()


async def test_a_socket_that_breaks_while_a_rest_is_held_gives_the_lock_back() -> None:
    wire, transport = a_wire(room=50)
    wire.write_nowait(PAGE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(raises, WireClosed, wire.flush)
        await wait_all_tasks_blocked()
        transport.fail(OSError(errno.ECONNRESET, "broken"))
    assert not wire.holding
    assert not transport.locked()


async def raises(error: type[Exception], function: Callable[[], Awaitable[None]]) -> None:
    with pytest.raises(error):
        await function()


async def test_after_a_close_nothing_is_written() -> None:
    wire, transport = a_wire()
    await wire.close(CloseReason.SHUTTING_DOWN)
    with pytest.raises(WireClosed):
        wire.write_nowait(PAGE)
    with pytest.raises(WireClosed):
        await wire.say(b"ping")
    with pytest.raises(WireClosed):
        await wire.close(CloseReason.TOO_SLOW)
    assert transport.frames == [GOODBYE]
    assert not transport.locked()


async def test_while_the_server_writes_nobody_else_does() -> None:
    wire, transport = a_wire()
    async with trio.open_nursery() as nursery, transport.used_by_the_server():
        assert wire.write_nowait(PAGE) == 0
        for write in (wire.flush, lambda: wire.say(b"pong"), wire.flush):
            nursery.start_soon(write)
        await wait_all_tasks_blocked()
        assert transport.received == b""
    assert transport.frames == [text_frame(b"pong")]
    assert not transport.locked()


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 5, 100, len(FRAMES[1]) - 1])
async def test_what_is_said_comes_between_frames_and_in_its_turn(cut: int) -> None:
    wire, transport = a_wire(room=cut)
    page = Page.of(FRAMES[1:2])
    assert wire.write_nowait(page) == 1
    async with trio.open_nursery() as nursery:
        for write in (
            wire.flush,
            lambda: wire.say(b"one"),
            lambda: wire.say(b"two"),
            lambda: wire.close(CloseReason.SHUTTING_DOWN),
        ):
            nursery.start_soon(write)
            await wait_all_tasks_blocked()
        assert bytes(transport.received) == page.data[:cut]
        transport.take()
    assert transport.frames == [FRAMES[1], text_frame(b"one"), text_frame(b"two"), GOODBYE]
    assert not transport.locked()


@pytest.mark.parametrize("word", ["say", "close"])
@pytest.mark.parametrize("cut", [0, 1, 2, 3, len(GOODBYE) - 1])
async def test_a_word_that_was_cut_is_finished_before_it_returns(word: str, cut: int) -> None:
    wire, transport = a_wire(room=cut)
    expected = GOODBYE if word == "close" else text_frame(b"x" * 40)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(last_word(wire, word))
        await wait_all_tasks_blocked()
        assert bytes(transport.received) == expected[:cut]
        if word == "say":
            assert wire.write_nowait(PAGE) == 0
        else:
            with pytest.raises(WireClosed):
                wire.write_nowait(PAGE)
        transport.take()
    assert transport.frames == [expected]
    assert not transport.locked()


def last_word(wire: SocketWire | AsgiWire, word: str) -> Callable[[], Awaitable[None]]:
    match word:
        case "say":
            return lambda: wire.say(b"x" * 40)
        case "close":
            return lambda: wire.close(CloseReason.SHUTTING_DOWN)
        case _:
            return wire.flush


LAST = b'{"type":"courier.drain"}'


@pytest.mark.parametrize("cut", [1, 50, len(FRAMES[1]) - 1])
async def test_the_last_word_comes_after_what_was_begun_and_just_before_the_close(cut: int) -> None:
    wire, transport = a_wire(room=cut)
    wire.write_nowait(Page.of(FRAMES[1:2]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wire.close, CloseReason.SHUTTING_DOWN, LAST)
        await wait_all_tasks_blocked()
        transport.take()
    assert transport.frames == [FRAMES[1], text_frame(LAST), GOODBYE]
    assert not transport.locked()


# Stalls


@pytest.mark.parametrize("word", ["flush", "say", "close"])
@pytest.mark.parametrize("cut", [0, 3, 50])
async def test_a_peer_that_takes_no_byte_for_so_long_has_stalled_and_is_aborted(
    autojump_clock: MockClock, word: str, cut: int
) -> None:
    wire, transport = a_wire(room=cut)
    wire.write_nowait(PAGE)
    started = trio.current_time()
    with pytest.raises(WireStalled):
        await last_word(wire, word)()
    assert trio.current_time() - started == pytest.approx(STALL_SECONDS + TOLD_LATE_SECONDS)
    assert transport.aborted
    assert not wire.holding
    assert not transport.locked()


async def test_a_peer_that_takes_a_byte_now_and_then_has_not_stalled(autojump_clock: MockClock) -> None:
    wire, transport = a_wire(room=1)
    wire.write_nowait(Page.of(FRAMES[1:2]))

    async def trickle() -> None:
        for _ in range(len(FRAMES[1]) - 1):
            await trio.sleep(STALL_SECONDS * 0.9)
            transport.take(1)
        transport.take(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trickle)
        await wire.flush()
    assert transport.frames == [FRAMES[1]]


async def test_a_peer_that_takes_something_lives_before_the_socket_is_writable_again(
    autojump_clock: MockClock,
) -> None:
    wire, transport = a_wire(room=1)
    wire.write_nowait(Page.of(FRAMES[1:2]))
    started = trio.current_time()

    async def trickle() -> None:
        for _ in range(10):
            await trio.sleep(STALL_SECONDS * 0.8)
            transport.taken += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trickle)
        with pytest.raises(WireStalled):
            await wire.flush()
    stalled = trio.current_time() - started
    patience = STALL_SECONDS + TOLD_LATE_SECONDS
    assert 8 * STALL_SECONDS + patience <= stalled <= 8 * STALL_SECONDS + 1.25 * patience  # to the next look


# Cancellation


@pytest.mark.parametrize("word", ["flush", "say", "close"])
@pytest.mark.parametrize("held", [False, True], ids=["nothing held", "a rest held"])
@pytest.mark.parametrize(
    "room", [*range(10), len(GOODBYE) - 1, len(GOODBYE), len(GOODBYE) + 4, len(GOODBYE) + 5]
)
async def test_who_is_cancelled_leaves_whole_frames_or_the_rest_held(
    word: str, held: bool, room: int
) -> None:
    wire, transport = a_wire()
    if held:
        transport.at_a_time = 2
        assert wire.write_nowait(Page.of(FRAMES[3:])) == 1
        transport.at_a_time = math.inf
    transport.leave_room(room)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(last_word(wire, word))
            await wait_all_tasks_blocked()
            scope.cancel()
    assert wire.holding == transport.locked()
    if wire.holding:
        transport.take()
        await wire.flush()
    assert not transport.locked()
    assert set(transport.frames) <= {FRAMES[3], text_frame(b"x" * 40), GOODBYE}
    assert len(transport.frames) == len(set(transport.frames)), "a frame was written twice"
    if held:
        assert transport.frames[0] == FRAMES[3]


@pytest.mark.parametrize(("word", "room"), [("flush", 0), ("flush", 50), ("say", 50), ("close", 50)])
async def test_who_is_cancelled_before_it_has_begun_changes_nothing(word: str, room: int) -> None:
    wire, transport = a_wire(room=room)
    wire.write_nowait(PAGE)
    received, holding = bytes(transport.received), wire.holding
    with trio.CancelScope() as scope:
        scope.cancel()
        await last_word(wire, word)()
    assert (bytes(transport.received), wire.holding, transport.locked()) == (received, holding, holding)


async def test_who_is_cancelled_while_the_server_writes_does_not_keep_the_lock() -> None:
    wire, transport = a_wire()
    with trio.CancelScope() as scope:
        async with transport.used_by_the_server(), trio.open_nursery() as nursery:
            for word in ("flush", "say", "close"):
                nursery.start_soon(last_word(wire, word))
            await wait_all_tasks_blocked()
            scope.cancel()
    assert not transport.locked()
    assert transport.received == b""


# Abort


@pytest.mark.parametrize("flushing", [0, 1, 3], ids=["nobody flushes", "one flushes", "three flush"])
@pytest.mark.parametrize("cut", [0, 50, len(PAGE.data)])
async def test_an_abort_gives_the_lock_back_and_wakes_who_waits(cut: int, flushing: int) -> None:
    wire, transport = a_wire(room=cut)
    wire.write_nowait(PAGE)
    async with trio.open_nursery() as nursery:
        for _ in range(flushing if cut < len(PAGE.data) else 0):
            nursery.start_soon(raises, WireClosed, wire.flush)
        await wait_all_tasks_blocked()
        wire.abort()
        wire.abort()
    assert transport.aborted
    assert not wire.holding
    assert not transport.locked()
    with pytest.raises(WireClosed):
        wire.write_nowait(PAGE)


async def test_an_abort_while_the_server_writes_leaves_the_server_its_lock() -> None:
    wire, transport = a_wire()
    async with transport.used_by_the_server():
        wire.abort()
        assert transport.locked()
    assert not transport.locked()


@pytest.mark.parametrize("seed", range(40))
async def test_whatever_happens_the_peer_gets_whole_frames_in_order(
    autojump_clock: MockClock, seed: int
) -> None:
    """Events, words of ours and of the server's, cancellations, and a socket of changing moods."""
    dice = random.Random(seed)
    wire, transport = a_wire(room=0)
    numbers = [text_frame(b"%d" % number * dice.choice([1, 1, 40])) for number in range(80)]
    done = 0

    async def pump() -> None:
        nonlocal done
        while done < len(numbers):
            stop = min(len(numbers), done + dice.randint(1, 6))
            done += wire.write_nowait(Page.of(numbers[done:stop]))
            if wire.holding or dice.random() < 0.7:
                await wire.flush()

    async def say() -> None:
        for _ in range(20):
            await trio.sleep(dice.random())
            with trio.move_on_after(dice.random() * dice.choice([1, 100])):
                await wire.say(b"word")

    async def server() -> None:
        for _ in range(20):
            await trio.sleep(dice.random())
            async with transport.used_by_the_server():
                for byte in b"\x8a\x02ok":
                    transport.received.append(byte)
                    await trio.sleep(dice.random() / 20)

    async def read(scope: trio.CancelScope) -> None:
        with scope:
            while True:
                await trio.sleep(dice.random() / 10)
                transport.take(dice.choice([0, 1, 2, 50, 300]))

    reading = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read, reading)
        async with trio.open_nursery() as writing:
            for task in (pump, say, server):
                writing.start_soon(task)
        while wire.holding:
            await wire.flush()
        reading.cancel()
    transport.take()
    await wire.close(CloseReason.SHUTTING_DOWN)
    assert not transport.locked()
    frames = transport.frames
    assert [frame for frame in frames if frame in numbers] == numbers
    assert frames.count(b"\x8a\x02ok") == 20
    assert frames[-1] == GOODBYE


# The fallback


class FakeAsgi:
    """An ASGI server's sends, one at a time, that wait while there is no room."""

    def __init__(self) -> None:
        self.sent: list[str | tuple[int, str]] = []
        self.aborted = self.stalled = False
        self.reading = trio.Event()
        self.reading.set()
        self._sending = False

    def taken_bytes(self) -> int | None:
        return 7

    def unsent_bytes(self) -> int | None:
        return 5

    async def text(self, text: str) -> None:
        await self._wait()
        self.sent.append(text)

    async def close(self, code: int, reason: str) -> None:
        await self._wait()
        self.sent.append((code, reason))

    def abort(self) -> None:
        self.aborted = True

    async def _wait(self) -> None:
        assert not self._sending, "two sends at once"
        self._sending = True
        try:
            await self.reading.wait()
        finally:
            self._sending = False

    def stop_reading(self) -> None:
        self.reading = trio.Event()


def an_asgi_wire() -> tuple[AsgiWire, FakeAsgi]:
    asgi = FakeAsgi()
    return AsgiWire(asgi.text, asgi.close, asgi), asgi


async def test_the_fallback_sends_a_frame_at_a_time_and_never_at_once() -> None:
    wire, asgi = an_asgi_wire()
    left = FRAMES
    while left:
        assert wire.write_nowait(Page.of(left)) == 1
        assert wire.write_nowait(Page.of(left)) == 0
        assert wire.holding
        assert (wire.held_bytes, wire.unsent_bytes, wire.taken_bytes) == (len(left[0]), 5, 7)
        left = left[1:]
        await wire.flush()
        assert (wire.holding, wire.held_bytes) == (False, 0)
    assert asgi.sent == [payload_of(frame).decode() for frame in FRAMES]


async def test_with_the_fallback_too_words_come_in_their_turn() -> None:
    wire, asgi = an_asgi_wire()
    asgi.stop_reading()
    wire.write_nowait(PAGE)
    async with trio.open_nursery() as nursery:
        for write in (wire.flush, lambda: wire.say(b"pong"), lambda: wire.close(CloseReason.SHUTTING_DOWN)):
            nursery.start_soon(write)
            await wait_all_tasks_blocked()
        assert asgi.sent == []
        asgi.reading.set()
    assert asgi.sent == ["a", "pong", (1001, "Server shutting down for maintenance")]
    with pytest.raises(WireClosed):
        wire.write_nowait(PAGE)


async def test_with_the_fallback_what_is_held_comes_before_the_close() -> None:
    wire, asgi = an_asgi_wire()
    wire.write_nowait(PAGE)
    await wire.close(CloseReason.TOKEN_EXPIRED)
    assert asgi.sent == ["a", (1008, "Token expired")]


async def test_with_the_fallback_too_the_last_word_comes_after_what_is_held() -> None:
    wire, asgi = an_asgi_wire()
    wire.write_nowait(PAGE)
    await wire.close(CloseReason.SHUTTING_DOWN, LAST)
    assert asgi.sent == ["a", LAST.decode(), (1001, "Server shutting down for maintenance")]


@pytest.mark.parametrize("word", ["flush", "say", "close"])
async def test_with_the_fallback_the_server_says_that_a_peer_has_stalled(word: str) -> None:
    wire, asgi = an_asgi_wire()
    asgi.stalled = True
    if word == "flush":
        wire.write_nowait(PAGE)
    with pytest.raises(WireStalled):
        await last_word(wire, word)()


async def test_with_the_fallback_an_aborted_wire_takes_nothing() -> None:
    wire, asgi = an_asgi_wire()
    wire.abort()
    with pytest.raises(WireError):
        wire.write_nowait(PAGE)
    assert asgi.sent == []
    assert asgi.aborted


# TLS, where the fallback is what there is


class TlsServer(TestServer):
    """A node behind TLS."""

    def __init__(self, server: TestServer, authority: trustme.CA) -> None:
        super().__init__(server.url)
        self._context = ssl.create_default_context()
        authority.configure_trust(self._context)

    async def connect_by_tls(self) -> trio.SSLStream[trio.SocketStream]:
        stream = await trio.open_ssl_over_tcp_stream(
            self.host, self.port, ssl_context=self._context, https_compatible=True
        )
        await stream.do_handshake()
        return stream

    @asynccontextmanager
    async def subscribe_by_tls(self, **kwargs: Any) -> AsyncIterator[WebSocketConnection]:
        async with await self.connect_by_tls() as stream, trio.open_nursery() as nursery:
            path = f"/ws/user.u1?token={token()}"
            websocket = await wrap_client_stream(
                nursery, stream, self.host, path, message_queue_size=10_000, **kwargs
            )
            yield websocket
            with trio.move_on_after(1):
                await websocket.aclose()
            nursery.cancel_scope.cancel()

    async def publish_by_tls(self, *published: dict[str, object]) -> None:
        """Publish one after the other on one connection."""
        async with await self.connect_by_tls() as stream:
            for event in published:
                body = json.dumps(event).encode()
                await stream.send_all(PUBLISH % len(body) + body)
                answer = h11.Connection(h11.CLIENT)
                answer.send(
                    h11.Request(method="POST", target="/", headers=[("Host", "t"), ("Content-Length", "0")])
                )
                assert (await read_response(stream, answer)).status == 200


PUBLISH = (
    b"POST /publish/user.u1 HTTP/1.1\r\nHost: t\r\nX-Service-Name: tests\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)


@asynccontextmanager
async def a_tls_server(folder: Path, **overrides: object) -> AsyncIterator[TlsServer]:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certfile, keyfile = folder / "chain.pem", folder / "key.pem"
    certificate.private_key_pem.write_to_path(str(keyfile))
    for link in certificate.cert_chain_pems:
        link.write_to_path(str(certfile), append=True)
    async with a_server(certfile=str(certfile), keyfile=str(keyfile), **overrides) as server:
        yield TlsServer(server, authority)


async def test_by_tls_events_arrive_in_order_and_a_drain_says_goodbye(tmp_path: Path) -> None:
    goodbyes: list[tuple[int, str | None]] = []
    ready = trio.Event()

    async def follow(server: TlsServer) -> None:
        async with server.subscribe_by_tls() as websocket:
            await websocket.send_message("ping")
            assert await websocket.get_message() == "pong"
            ready.set()
            assert [event["title"] for event in await events(websocket, 20)] == list(map(str, range(20)))
            goodbyes.append(await closed(websocket))

    async with trio.open_nursery() as nursery, a_tls_server(tmp_path) as server:
        nursery.start_soon(follow, server)
        await ready.wait()
        await server.publish_by_tls(*(announcement(str(number)) for number in range(20)))
    assert goodbyes == [(1001, "Server shutting down for maintenance")]


async def test_by_tls_too_courier_v1_speaks_first_and_last(tmp_path: Path) -> None:
    types: list[str] = []
    joined = trio.Event()

    async def follow(server: TlsServer) -> None:
        async with server.subscribe_by_tls(subprotocols=["courier.v1"]) as websocket:
            for _ in range(22):
                types.extend(event["type"] for event in await events(websocket, 1))
                joined.set()
            assert await closed(websocket) == (1001, "Server shutting down for maintenance")

    async with trio.open_nursery() as nursery, a_tls_server(tmp_path) as server:
        nursery.start_soon(follow, server)
        await joined.wait()
        await server.publish_by_tls(*(announcement(str(number)) for number in range(20)))
    assert types == ["courier.joined", *["system.announcement"] * 20, "courier.drain"]


async def a_stuck_tls_subscriber(server: TlsServer) -> trio.SSLStream[trio.SocketStream]:
    """A subscriber that reads nothing any more, behind by more than all buffers hold."""
    stream = await server.connect_by_tls()
    key = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    head = (
        b"GET /ws/user.u1?token=%b HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n%b\r\n"
    )
    await stream.send_all(head % (token().encode(), key))
    assert b" 101 " in await stream.receive_some()
    await server.publish_by_tls(*[announcement("big", message="x" * 60_000)] * 80)
    return stream


async def test_by_tls_a_peer_that_takes_no_byte_is_closed_and_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_tls_server(tmp_path, stall_seconds=0.3) as server:
        await server.publish_by_tls(announcement())  # a channel is a task
        before = trio.lowlevel.current_statistics().tasks_living
        stream = await a_stuck_tls_subscriber(server)
        with trio.fail_after(10):
            while trio.lowlevel.current_statistics().tasks_living > before:
                await trio.sleep(0.01)
        await trio.aclose_forcefully(stream)


async def test_by_tls_a_peer_that_takes_no_byte_is_closed_within_the_limit_of_the_settings(
    tmp_path: Path,
) -> None:
    async with a_tls_server(tmp_path, stall_seconds=0.3) as server:
        await server.publish_by_tls(announcement())  # a channel is a task
        before = trio.lowlevel.current_statistics().tasks_living
        stream = await a_stuck_tls_subscriber(server)
        with trio.fail_after(5):
            while trio.lowlevel.current_statistics().tasks_living > before:
                await trio.sleep(0.01)
        await trio.aclose_forcefully(stream)


async def test_by_tls_a_peer_that_takes_no_byte_does_not_hold_up_a_drain(tmp_path: Path) -> None:
    async with a_tls_server(tmp_path, drain_seconds=0.3) as server:
        stream = await a_stuck_tls_subscriber(server)
        asked = trio.current_time()
    assert trio.current_time() - asked < 5.3
    await trio.aclose_forcefully(stream)
