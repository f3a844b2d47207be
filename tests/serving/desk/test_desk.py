"""The desk: real sockets as rows, each served in its turn, each at fault for itself alone."""

import gc
import os
import resource
import socket
import struct
from contextlib import suppress

import pytest
import trio
import trio.testing

from courier.serving import room
from courier.serving.desk import desk, http, lingering
from courier.serving.desk.websocket import Opcode, close_frame, frame
from courier.serving.peer import Closed, Loss
from tests.serving.desk.desks import HANDSHAKE, STALL_SECONDS, TOO_LATE, an_echo_desk, answer, rest, until
from tests.serving.desk.test_websocket import masked


def post(body: bytes, path: bytes = b"/echo") -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n\r\n%b" % (path, len(body), body)


def text(payload: bytes) -> bytes:
    return frame(Opcode.TEXT, payload)


# Requests


async def test_requests_are_answered_in_their_order_however_they_come() -> None:
    async with an_echo_desk() as echo:
        stream = await echo.connect()
        data = post(b"1") + post(b"22") + b"\r\n" + post(b"333")
        await stream.send_all(data)
        assert await until(stream, b"333") == answer(b"1") + answer(b"22") + answer(b"333")
        for place in range(len(data)):
            await stream.send_all(data[place : place + 1])
        assert await until(stream, b"333") == answer(b"1") + answer(b"22") + answer(b"333")


async def test_an_answer_that_is_late_holds_up_its_own_connection_only() -> None:
    async with an_echo_desk() as echo:
        waiting, other = await echo.connect(), await echo.connect()
        await waiting.send_all(post(b"", b"/late") + post(b"next"))
        await trio.testing.wait_all_tasks_blocked(0.01)
        await other.send_all(post(b"quick"))
        assert await until(other, b"quick") == answer(b"quick")
        echo.late.waiting.pop()(answer(b"late"))
        assert await until(waiting, b"next") == answer(b"late") + answer(b"next")


async def test_a_peer_that_sends_ahead_and_reads_late_gets_every_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(desk, "TURN_SECONDS", 0)  # so that each answer is written by itself
    async with an_echo_desk() as echo, trio.open_nursery() as nursery:
        stream = await echo.connect()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)  # and no more, however it is filled
        sent = 0

        async def send() -> None:
            nonlocal sent
            for number in range(12_000):
                await stream.send_all(post(b"%900d" % number))
                sent += 1

        nursery.start_soon(send)
        while True:  # until neither kernel takes more
            before = sent
            await trio.sleep(0.1)
            if sent == before:
                break
        assert 0 < sent < 12_000
        for number in range(12_000):
            await gather(stream, answer(b"%900d" % number))


async def gather(stream: trio.SocketStream, expected: bytes) -> None:
    """What comes next is this."""
    came = b""
    while len(came) < len(expected):
        came += await stream.receive_some(len(expected) - len(came))
    assert came == expected


async def test_an_answer_may_be_later_than_the_rest_of_its_request_might_have_been(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "REQUEST_SECONDS", 0.05)
    monkeypatch.setattr(http, "IDLE_SECONDS", 0.05)
    async with an_echo_desk() as echo:
        stream = await echo.connect()
        request = post(b"12", b"/late")
        await stream.send_all(request[:-1])
        await trio.sleep(0.01)
        await stream.send_all(request[-1:] + post(b"next"))
        await trio.sleep(0.2)
        echo.late.waiting.pop()(answer(b"late"))
        assert await until(stream, b"next") == answer(b"late") + answer(b"next")


async def test_a_connection_is_handed_over_when_it_has_been_given_its_answers() -> None:
    odd = b"GET /elsewhere HTTP/1.1\r\nHost: t\r\n\r\n"
    async with an_echo_desk() as echo:
        stream = await echo.connect()
        await stream.send_all(post(b"", b"/late"))
        while not echo.late.waiting:
            await trio.sleep(0.001)
        large = b"x" * 20_000_000  # more than the kernels keep for one connection
        await stream.send_all(odd)
        echo.late.waiting.pop()(answer(large))
        await trio.sleep(0.05)
        assert not echo.handed_over
        got = bytearray()
        while len(got) < len(answer(large)):
            got += await stream.receive_some(1 << 20)
        assert got == answer(large)
        while not echo.handed_over:
            await trio.sleep(0.001)
        assert echo.handed_over[0][1] == odd


async def test_what_is_not_plain_is_handed_over_as_the_bytes_that_came() -> None:
    odd = b"GET /elsewhere HTTP/1.1\r\nHost: t\r\n\r\n"
    async with an_echo_desk() as echo:
        stream = await echo.connect()
        await stream.send_all(post(b"1") + odd + post(b"2"))
        assert await until(stream, b"1") == answer(b"1")
        await trio.testing.wait_all_tasks_blocked(0.01)
        [(sock, data)] = echo.handed_over
        assert data == odd + post(b"2")
        assert not len(echo.desk)
        sock.send(b"from elsewhere")
        assert await until(stream, b"elsewhere") == b"from elsewhere"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1001\r\n\r\n", id="a long body"),
        pytest.param(b"POST /echo HTTP/1.1\r\nA: " + b"a" * 9000, id="a long head"),
        pytest.param(b"POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n\r\n", id="an odd header"),
        pytest.param(HANDSHAKE.replace(b"echo", b"none"), id="a handshake that nobody takes"),
        pytest.param(HANDSHAKE.replace(b"13", b"8"), id="an old handshake"),
        pytest.param(HANDSHAKE.replace(b"ZQ==", b""), id="a bad key"),
        pytest.param(HANDSHAKE + b"x", id="a handshake with something behind it"),
    ],
)
async def test_whatever_else_comes_is_handed_over(data: bytes) -> None:
    async with an_echo_desk() as echo:
        stream = await echo.connect()
        await stream.send_all(data)
        while not echo.handed_over:
            await trio.sleep(0.001)
        assert data.startswith(echo.handed_over[0][1])


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        pytest.param(post(b"12345")[:-1], TOO_LATE, id="body"),
        pytest.param(post(b"12345")[:20], b"", id="head"),
        pytest.param(HANDSHAKE[:-1], b"", id="handshake"),
        pytest.param(post(b"1") + post(b"12345")[:-1], answer(b"1") + TOO_LATE, id="second"),
    ],
)
async def test_a_request_whose_rest_does_not_come_is_given_up(
    monkeypatch: pytest.MonkeyPatch, sent: bytes, answered: bytes
) -> None:
    monkeypatch.setattr(http, "REQUEST_SECONDS", 0.05)
    async with an_echo_desk() as echo:
        stream = await echo.connect()
        await stream.send_all(sent)
        assert await rest(stream) == answered
        assert not echo.handed_over


async def test_each_request_has_its_own_time_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "REQUEST_SECONDS", 0.2)
    async with an_echo_desk() as echo:
        stream = await echo.connect()
        for number in range(5):  # so that it is looked at in the middle of one
            request = post(b"%d" % number)
            await stream.send_all(request[:-1])
            await trio.sleep(0.07)
            await stream.send_all(request[-1:])
            await gather(stream, answer(b"%d" % number))
        await stream.aclose()


async def test_the_rest_of_a_request_is_not_waited_for_in_a_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "LAST_REQUEST_SECONDS", 0.05)
    async with an_echo_desk() as echo:
        stream = await echo.connect()
        await stream.send_all(post(b"12345")[:-1])
        while not any(row.unread for row in echo.desk):
            await trio.sleep(0.001)
        echo.closed = True
        echo.desk.end()
        while not echo.handed_over:
            await trio.sleep(0.001)
        assert echo.handed_over[0][1] == post(b"12345")[:-1]


async def test_a_connection_that_asks_for_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "IDLE_SECONDS", 0.05)
    async with an_echo_desk() as echo:
        silent, once = await echo.connect(), await echo.connect()
        await once.send_all(post(b"1"))
        assert await rest(once) == answer(b"1")
        assert await rest(silent) == b""
        await silent.aclose()
        await once.aclose()
        while len(echo.desk):
            await trio.sleep(0.001)


async def test_a_peer_that_closes_its_half_gets_its_answer() -> None:
    async with an_echo_desk() as echo:
        stream = await echo.connect()
        await stream.send_all(post(b"", b"/late"))
        await stream.send_eof()
        await trio.testing.wait_all_tasks_blocked(0.01)
        echo.late.waiting.pop()(answer(b"late"))
        assert await rest(stream) == answer(b"late")


async def test_while_the_service_is_closed_all_is_handed_over() -> None:
    async with an_echo_desk() as echo:
        echo.closed = True
        stream = await echo.connect()
        await stream.send_all(post(b"1"))
        while not echo.handed_over:
            await trio.sleep(0.001)


async def test_a_connection_comes_back_with_what_it_has_sent() -> None:
    async with an_echo_desk() as echo:
        stream = await echo.connect()
        await stream.send_all(b"GET /elsewhere HTTP/1.1\r\nHost: t\r\n\r\n")
        while not echo.handed_over:
            await trio.sleep(0.001)
        sock, _ = echo.handed_over.pop()
        echo.desk.take_back(sock, "127.0.0.1", post(b"1")[:10])
        await stream.send_all(post(b"1")[10:])
        assert await until(stream, b"1") == answer(b"1")
        assert len(echo.desk) == 1


# WebSockets


async def test_a_websocket_hears_and_speaks() -> None:
    async with an_echo_desk() as echo:
        stream = await echo.open()
        await stream.send_all(masked(Opcode.TEXT, b"a") + masked(Opcode.BINARY, b"b"))
        await stream.send_all(masked(Opcode.PING, b"c"))
        assert await until(stream, b"c") == text(b"a") + frame(Opcode.BINARY, b"b") + frame(Opcode.PONG, b"c")


async def test_the_peers_close_is_answered_and_told() -> None:
    async with an_echo_desk() as echo:
        stream = await echo.open()
        await stream.send_all(masked(Opcode.CLOSE, b"\x03\xe8bye"))
        assert await rest(stream) == close_frame(1000, "bye")
        assert await echo.ends.next() == (Closed.BY_PEER, 1000, "bye")


async def test_after_our_close_nothing_is_heard_and_what_comes_is_dropped() -> None:
    async with an_echo_desk() as echo:
        stream = await echo.open()
        await stream.send_all(masked(Opcode.TEXT, b"close") + masked(Opcode.TEXT, b"too late"))
        assert await rest(stream) == close_frame(4001, "As you wish")
        assert await echo.ends.next() == (Closed.BY_US, None, "")
        await stream.send_all(masked(Opcode.PING) + masked(Opcode.CLOSE, b"\x0f\xa1"))
        await stream.aclose()
        while len(echo.desk):
            await trio.sleep(0.001)


async def test_a_peer_that_does_not_answer_our_close_has_time_to_read_it() -> None:
    async with an_echo_desk() as echo:
        stream = await echo.open()
        await stream.send_all(masked(Opcode.TEXT, b"close"))
        assert await until(stream, b"wish")
        assert await echo.ends.next() == (Closed.BY_US, None, "")
        assert await rest(stream) == b"", "an end, and no reset"


async def test_a_peer_that_does_not_take_our_close_is_cut_off() -> None:
    async with an_echo_desk() as echo:
        stream = await echo.open()
        peer = echo.endpoints[0].peer
        event = frame(Opcode.TEXT, b"x" * 60_000)
        while (sent := peer.write(event)) == len(event):
            pass
        peer.hold(event[sent:])
        peer.close(4001, "As you wish", trio.current_time() + 0.1)
        assert await echo.ends.next() == (Loss.ABORTED, None, "")
        with pytest.raises(trio.BrokenResourceError):
            await rest(stream)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(masked(3), 1002, id="an unknown opcode"),
        pytest.param(masked(Opcode.TEXT, b"\xff"), 1007, id="text that is none"),
        pytest.param(masked(Opcode.TEXT, b"x" * 65_537), 1009, id="a message that is too long"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 1002, id="no frame"),
    ],
)
async def test_a_peer_that_breaks_the_protocol_is_told_and_closed(data: bytes, code: int) -> None:
    async with an_echo_desk() as echo:
        stream = await echo.open()
        await stream.send_all(data)
        told = await rest(stream)
        assert told[:1] == b"\x88"
        assert struct.unpack("!H", told[2:4])[0] == code
        how, said, _ = await echo.ends.next()
        assert (how, said) == (Closed.BY_VIOLATION, code)


async def test_a_peer_that_goes_without_a_word_is_lost() -> None:
    async with an_echo_desk() as echo:
        stream = await echo.open()
        await stream.aclose()
        assert await echo.ends.next() == (Loss.BROKEN, None, "")
        while len(echo.desk):
            await trio.sleep(0.001)


async def test_a_refusal_is_a_101_and_a_close() -> None:
    async with an_echo_desk() as echo:
        stream = await echo.connect()
        await stream.send_all(HANDSHAKE.replace(b"/echo", b"/refused", 1))
        data = await until(stream, b"No")
        assert data.startswith(b"HTTP/1.1 101 ")
        assert b"\r\nsec-websocket-protocol: plain\r\n" in data
        assert data.endswith(b"\r\n\r\n" + close_frame(1008, "No"))
        await stream.send_all(masked(Opcode.CLOSE, b"\x03\xf0"))
        assert await rest(stream) == b""


async def test_a_handshake_may_be_answered_later_and_by_another_task() -> None:
    async with an_echo_desk() as echo:
        stream = await echo.connect()
        await stream.send_all(HANDSHAKE.replace(b"/echo", b"/late", 1))
        while not echo.openings:
            await trio.sleep(0.001)
        echo.openings.pop().accept(None, echo.echo)
        await until(stream, b"\r\n\r\n")
        await stream.send_all(masked(Opcode.TEXT, b"a"))
        assert await until(stream, b"a") == text(b"a")


async def test_a_peer_that_leaves_before_its_handshake_is_answered_has_ended() -> None:
    async with an_echo_desk() as echo:
        stream = await echo.connect()
        await stream.send_all(HANDSHAKE.replace(b"/echo", b"/late", 1))
        while not echo.openings:
            await trio.sleep(0.001)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()
        while len(echo.desk):
            await trio.sleep(0.001)
        echo.openings.pop().accept(None, echo.echo)
        assert await echo.ends.next() == (Loss.BROKEN, None, "")


async def test_an_endpoint_is_called_when_it_asked_to_be() -> None:
    async with an_echo_desk() as echo:
        stream = await echo.open()
        peer = echo.endpoints[0].peer
        now = trio.current_time()
        peer.call_at(now + 60)
        peer.call_at(now + 0.05)
        assert await until(stream, b"due") == text(b"due")
        assert trio.current_time() >= now + 0.05


# Peers that take little or nothing


async def _fill(peer: object) -> int:
    """Write until the socket takes no more; how many bytes are held then."""
    chunk = text(b"x" * 60_000)
    sent = len(chunk)
    while sent == len(chunk):
        sent = peer.write(chunk)  # type: ignore[attr-defined]
    peer.hold(chunk[sent:])  # type: ignore[attr-defined]
    return len(chunk) - sent


async def test_a_peer_that_acknowledges_nothing_is_cut_off() -> None:
    async with an_echo_desk() as echo:
        stream = await echo.open()
        began = trio.current_time()
        await _fill(echo.endpoints[0].peer)
        assert await echo.ends.next() == (Loss.STALLED, None, "")
        assert 2.5 * STALL_SECONDS <= trio.current_time() - began < 4 * STALL_SECONDS  # `Patience`
        with pytest.raises(trio.BrokenResourceError):
            await rest(stream)


async def test_a_peer_that_reads_slowly_but_reads_stays() -> None:
    async with an_echo_desk() as echo:
        stream = await echo.open()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        await _fill(echo.endpoints[0].peer)
        began = trio.current_time()
        while trio.current_time() < began + 5 * STALL_SECONDS:
            assert await stream.receive_some(8192)
            await trio.sleep(0.1)
        assert not echo.ends.told


async def test_what_is_held_goes_first_and_the_endpoint_is_told_when_there_is_room() -> None:
    async with an_echo_desk() as echo:
        stream = await echo.open()
        peer = echo.endpoints[0].peer
        held = await _fill(peer)
        assert (peer.holding, peer.held_bytes) == (True, held)
        assert peer.write(b"nothing") == 0
        peer.put(text(b"last"))
        data = await until(stream, b"last")
        assert len(data) % len(text(b"x" * 60_000)) == len(text(b"last"))
        assert echo.ends.writable == 1
        assert not peer.holding


async def test_a_peer_that_reads_no_pongs_is_not_read_either() -> None:
    async with an_echo_desk() as echo:
        stream = await echo.open()
        await _fill(echo.endpoints[0].peer)
        before = echo.endpoints[0].peer.held_bytes
        with trio.move_on_after(0.3):
            while True:
                await stream.send_all(masked(Opcode.PING, b"p" * 100) * 100)
        assert echo.endpoints[0].peer.held_bytes <= before + 16 * 1024


# Faults


async def test_a_fault_ends_its_own_connection_and_is_told() -> None:
    async with an_echo_desk() as echo:
        bad, good, posting = await echo.open(), await echo.open(), await echo.connect()
        await bad.send_all(masked(Opcode.TEXT, b"fault"))
        await posting.send_all(post(b"fault"))
        for stream in (bad, posting):
            with pytest.raises(trio.BrokenResourceError):
                await rest(stream)
        await good.send_all(masked(Opcode.TEXT, b"a"))
        assert await until(good, b"a") == text(b"a")
        assert [str(fault) for fault in echo.faults] == ["A fault of the endpoint", "A fault of the route"]
        assert await echo.ends.next() == (Loss.ABORTED, None, "")


async def test_one_connection_more_than_there_may_be_is_closed_unheard() -> None:
    async with an_echo_desk(max_connections=2) as echo:
        first, second = await echo.open(), await echo.open()
        third = await echo.connect()
        assert await rest(third) == b""
        await first.aclose()
        await echo.ends.next()
        await (await echo.open()).aclose()
        await second.aclose()


async def test_a_process_without_descriptors_serves_on_and_accepts_again() -> None:
    async with an_echo_desk() as echo:
        there, late = await echo.open(), await echo.connect()
        while len(echo.desk) < 2:
            await trio.sleep(0.001)
        spare: list[int] = []
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        waiting = await echo.connect()  # accepted, or not, after the limit
        await trio.testing.wait_all_tasks_blocked(0.01)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (late.socket.fileno() + 60, limits[1]))
            with suppress(OSError):
                while True:
                    spare.append(os.dup(0))
            os.close(spare.pop())
            waiting = await echo.connect()
            await there.send_all(masked(Opcode.TEXT, b"a"))
            assert await until(there, b"a") == text(b"a")
            await trio.sleep(2 * room.AGAIN_SECONDS)
            assert len(echo.desk) == 3
        finally:
            for descriptor in spare:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        await waiting.send_all(post(b"1"))
        assert await until(waiting, b"1") == answer(b"1")


async def test_at_the_end_of_the_desk_all_its_connections_end() -> None:
    async with an_echo_desk() as echo:
        stream = await echo.open()
        echo.clients.clear()
    assert await rest(stream) == b""
    assert echo.ends.told == [(Loss.ABORTED, None, "")]
    await stream.aclose()


# Costs


async def test_an_idle_websocket_is_a_row_and_leaves_nothing_behind() -> None:
    async with an_echo_desk() as echo:

        async def open_many(count: int) -> list[socket.socket]:
            clients = []
            for _ in range(count):
                client = socket.create_connection(("127.0.0.1", echo.port))
                client.sendall(HANDSHAKE)
                clients.append(client)
            while len(echo.endpoints) < count:
                await trio.sleep(0.001)
            return clients

        for client in await open_many(10):
            client.close()
        while len(echo.desk):
            await trio.sleep(0.001)
        echo.endpoints.clear()
        gc.collect()
        before = len(gc.get_objects())
        clients = await open_many(200)
        gc.collect()
        each = (len(gc.get_objects()) - before) / 200 - 2  # the client's socket, and the test's endpoint
        assert each <= 5
        for client in clients:
            client.close()
        while len(echo.desk):
            await trio.sleep(0.001)
        echo.endpoints.clear()
        echo.ends.told.clear()
        clients.clear()
        assert gc.collect() <= 20


def test_the_times_are_what_the_documents_say() -> None:
    assert (http.IDLE_SECONDS, lingering.LINGER_SECONDS) == (75.0, 2.0)


async def test_a_peer_is_still_heard_while_the_rest_of_a_frame_waits_for_it() -> None:
    async with an_echo_desk() as echo:
        stream = await echo.open()
        peer = echo.endpoints[0].peer
        event = frame(Opcode.TEXT, b"x" * 60_000)
        while (sent := peer.write(event)) == len(event):
            pass
        peer.hold(event[sent:])
        assert peer.holding
        await stream.send_all(masked(Opcode.TEXT, b"abort"))
        assert await echo.ends.next() == (Loss.ABORTED, None, "")
