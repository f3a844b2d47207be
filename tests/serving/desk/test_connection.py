"""A row as a wire: whatever its socket takes, and whenever, the peer gets whole frames in their order."""

import random
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courier.actors.frames import Page, text_frame
from courier.serving.desk.connection import Connection
from courier.serving.desk.messages import Messages
from courier.serving.desk.websocket import close_frame
from courier.serving.peer import MAX_REPLIES_BYTES, Closed, Loss


class Desk:
    """What a row and its stage ask of the desk that keeps them."""

    def __init__(self) -> None:
        self.steps: list[tuple[Connection, object]] = []
        self.closing: list[Connection] = []

    def now(self) -> float:
        return 0.0

    def watch(self, row: Connection) -> None: ...

    def schedule(self, row: Connection, deadline: float) -> None: ...

    def close_soon(self, row: Connection) -> None:
        self.closing.append(row)

    def later(self, row: Connection, step: object) -> None:
        self.steps.append((row, step))


class Subscriber:
    """Writes frames as a subscriber does: a page at a time, and the rest of one that was cut first."""

    def __init__(self, row: Connection) -> None:
        self.row = row
        self.log: list[bytes] = []
        self.cursor = 0
        self.ends: list[Closed | Loss] = []

    def go_on(self) -> None:
        left = self.log[self.cursor : self.cursor + 5]
        if left and not self.row.holding:
            page = Page.of(left)
            count, rest = page.cut(self.row.write(page.data))
            self.row.hold(rest)
            self.cursor += count

    def heard(self, message: str | bytes) -> None: ...

    def writable(self) -> None:
        assert not self.row.holding
        self.go_on()

    def due(self, now: float) -> None: ...

    def ended(self, how: Closed | Loss, code: int | None, reason: str) -> None:
        self.ends.append(how)


class Lingering:
    """The last stage, which the test watches."""

    def __init__(self) -> None:
        self.taken = 0

    def take(self, row: Connection) -> None:
        self.taken += 1


def a_row() -> tuple[Connection, Subscriber, socket.socket, Desk, Lingering]:
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    desk, lingering = Desk(), Lingering()
    messages = Messages(desk, lingering, 65536)  # type: ignore[arg-type]
    row = Connection(ours, None, desk, messages)
    subscriber = row.endpoint = Subscriber(row)
    return row, subscriber, theirs, desk, lingering


def received(theirs: socket.socket, size: int) -> bytes:
    try:
        return theirs.recv(size)
    except BlockingIOError:
        return b""


@given(st.integers(0, 1 << 32))
def test_whatever_the_socket_takes_the_peer_gets_whole_frames_in_order(seed: int) -> None:
    dice = random.Random(seed)
    row, subscriber, theirs, _, lingering = a_row()
    expected: list[bytes] = []
    replies = 0
    got = b""
    with row.sock, theirs:
        for _ in range(60):
            match dice.randrange(5):
                case 0 | 1:
                    frame = text_frame(
                        b"event %d " % len(subscriber.log) + b"x" * dice.choice([0, 120, 5000])
                    )
                    subscriber.log.append(frame)
                    subscriber.go_on()
                case 2:
                    replies += 1
                    row.put(text_frame(b"reply %d" % replies))
                case 3:
                    got += received(theirs, dice.choice([1, 100, 5000]))
                case _:
                    row.flush()
        row.close(1001, "bye", 10)
        row.put(text_frame(b"too late"))
        while not lingering.taken:
            got += received(theirs, 100_000)
            row.flush()
        got += received(theirs, 100_000)
        assert subscriber.ends == [Closed.BY_US]
    expected = subscriber.log[: subscriber.cursor]
    words = [text_frame(b"reply %d" % number) for number in range(1, replies + 1)]
    while got != close_frame(1001, "bye"):
        queue = next(queue for queue in (expected, words) if queue and got.startswith(queue[0]))
        got = got.removeprefix(queue.pop(0))
    assert not expected
    assert not words


@pytest.mark.parametrize("cork", [True, False])
def test_what_is_gathered_leaves_as_one(cork: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    row, subscriber, theirs, _, _ = a_row()
    sends = 0
    send = socket.socket.send

    def count(self: socket.socket, data: bytes) -> int:
        nonlocal sends
        sends += 1
        return send(self, data)

    monkeypatch.setattr(socket.socket, "send", count)
    with row.sock, theirs:
        if cork:
            row.cork()
        row.put(b"101")
        subscriber.log = [text_frame(b"a"), text_frame(b"b")]
        subscriber.go_on()
        if cork:
            row.uncork()
        assert received(theirs, 100) == b"101" + b"".join(subscriber.log)
        assert sends == (1 if cork else 2)


def test_replies_that_nobody_takes_are_bounded_and_events_are_not_counted_with_them() -> None:
    row, subscriber, theirs, desk, _ = a_row()
    with row.sock, theirs:
        subscriber.log = [text_frame(b"x" * (2 * MAX_REPLIES_BYTES))]
        subscriber.go_on()
        assert row.held_bytes > MAX_REPLIES_BYTES
        row.put(b"x" * MAX_REPLIES_BYTES)
        assert not desk.closing
        row.put(b"x")
        assert row.loss is Loss.STALLED
        assert desk.closing == [row]
