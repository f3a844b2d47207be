"""Connection: one plain socket as a row: what came, what waits to go out, what speaks on it, and when."""

import math
import select
import socket
import struct
from typing import Protocol

from courier.serving.desk.websocket import MessageReader
from courier.serving.patience import Patience, taken_bytes, unsent_bytes
from courier.serving.peer import MAX_REPLIES_BYTES, Endpoint, Loss

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 seconds (socket(7)): a close drops what is unsent, and the peer sees a reset."""


class Speaker(Protocol):
    """What is done with connections at one stage of their life: one object for all of them."""

    def heard(self, row: "Connection", data: bytes) -> None:
        """The peer has sent this; nothing: it will send no more."""

    def writable(self, row: "Connection") -> None:
        """Nothing is held, and the socket takes more."""

    def due(self, row: "Connection", now: float) -> None:
        """The moment of `Connection.call_at` has come."""

    def over(self, row: "Connection") -> None:
        """The socket is about to be closed."""

    def close(self, row: "Connection", code: int, reason: str, by: float) -> None:
        """The endpoint wants it closed, as `Peer.close` says."""


class Newcomers(Speaker, Protocol):
    """The first stage of a connection."""

    def begin(self, row: "Connection") -> None:
        """The connection is new here."""

    def go_on(self, row: "Connection") -> None:
        """Take up what has come already, as `Connection.unread`."""

    def dismiss(self, row: "Connection") -> None:
        """The server ends: let the connection end, too, and soon."""


class Keeper(Protocol):
    """What a connection asks of the desk that keeps it."""

    def now(self) -> float: ...

    def watch(self, row: "Connection") -> None:
        """What the connection waits for has changed."""

    def schedule(self, row: "Connection", deadline: float) -> None:
        """Look at the connection at `deadline`."""

    def close_soon(self, row: "Connection") -> None:
        """Close the connection, once nobody is in the middle of something."""


class Connection:
    """A row of the desk, and the `courier.serving.peer.Peer` of the endpoint that speaks on it.

    Anybody may write to it at any time. Only the desk closes it: a write that fails marks it as lost.
    """

    __slots__ = (
        "_corked",
        "_keeper",
        "_look_at",
        "_patience",
        "_replies_bytes",
        "_unsent",
        "address",
        "closing",
        "deadline",
        "due_at",
        "endpoint",
        "loss",
        "owed",
        "queued",
        "reader",
        "reading",
        "sock",
        "speaker",
        "unread",
        "used_at",
        "wanted",
        "wants_room",
        "watched",
    )

    def __init__(self, sock: socket.socket, address: str | None, keeper: Keeper, speaker: Speaker) -> None:
        self.sock = sock
        self.address = address
        self.speaker = speaker
        self.endpoint: Endpoint | None = None
        self.reading = True
        """Whether the speaker takes what comes. What the peer sends meanwhile waits in the kernel."""
        self.owed = False
        """An answer is waited for, or a turn in which to give the next one."""
        self.unread: bytes | bytearray = b""
        """What has come of a request that is not whole."""
        self.wanted = 0
        """How much of that request there must be before it is looked at again; 0 when none has begun."""
        self.used_at = keeper.now()
        """When it began, a request began on it, or it was last given an answer."""
        self.reader: MessageReader | None = None
        """What has come of a message that is not whole; None between two messages."""
        self.closing = False
        """Our close has been put: nothing may follow it."""
        self.loss: Loss | None = None
        """Why it is about to be closed without a word; None while it lives."""
        self.wants_room = False
        """The socket has taken less than it was given."""
        self.watched = 0
        """What epoll watches for."""
        self.due_at = math.inf
        self.deadline = self.queued = math.inf
        self._keeper = keeper
        self._corked: list[bytes] | None = None
        """What is written, while it is gathered."""
        self._unsent = b""
        self._replies_bytes = 0
        """How much of what is held was `put`."""
        self._patience: Patience | None = None
        """With a peer that does not take what was written to it."""
        self._look_at = math.inf

    # What anybody does with it

    @property
    def holding(self) -> bool:
        return bool(self._unsent)

    @property
    def held_bytes(self) -> int:
        return len(self._unsent)

    def write(self, data: bytes) -> int:
        return 0 if self._unsent or self.closing or self.loss is not None else self._send(data)

    def hold(self, rest: bytes) -> None:
        if rest and self.loss is None:
            self._unsent += rest
            self.await_room()

    def put(self, data: bytes) -> None:
        """Write all of it, behind what is held. A peer for which too much waits is cut off as stalled."""
        if self.closing:
            return
        if self._unsent and self._replies_bytes + len(data) > MAX_REPLIES_BYTES:
            self.lose(Loss.STALLED)
        else:
            self.give(data)

    def give(self, data: bytes) -> None:
        """The same for answers, of which there is no more than what was asked before any was held."""
        rest = data[self.write(data) :]
        self._replies_bytes += len(rest)
        self.hold(rest)

    def await_room(self) -> None:
        if not self.wants_room and self.loss is None:
            self.wants_room = True
            self._look_at = self._keeper.now()  # the first look begins to count
            self._keeper.schedule(self, min(self.due_at, self._look_at))
            self._keeper.watch(self)

    def taken_bytes(self) -> int | None:
        return taken_bytes(self.sock)

    def unsent_bytes(self) -> int | None:
        return unsent_bytes(self.sock)

    def call_at(self, deadline: float) -> None:
        self.due_at = deadline
        self._keeper.schedule(self, min(deadline, self._look_at))

    def close(self, code: int, reason: str, by: float) -> None:
        self.speaker.close(self, code, reason, by)

    def abort(self) -> None:
        self.lose(Loss.ABORTED)

    def lose(self, loss: Loss) -> None:
        """Have it closed by force: what is unsent is dropped, and the peer sees a reset."""
        if self.loss is None:
            self.loss = loss
            if loss is not Loss.BROKEN:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._keeper.close_soon(self)

    # What the desk does with it

    def pass_to(self, speaker: Speaker) -> None:
        """Go on to another stage."""
        self.speaker = speaker
        self.reading = True
        self._keeper.watch(self)

    def pause(self) -> None:
        """Leave in the kernel what the peer sends from now on. Epoll hears of it only when something comes:
        most pauses are shorter."""
        self.reading = False

    def resume(self) -> None:
        """Take what the peer sends again."""
        self.reading = True
        self._keeper.watch(self)

    def end(self) -> None:
        """All has been said: close it."""
        self._keeper.close_soon(self)

    @property
    def interest(self) -> int:
        """What epoll is to watch for. Nothing is read while replies wait to be sent: a peer that does not
        read cannot have us answer without end."""
        reading = self.reading and not self._replies_bytes
        return (select.EPOLLIN if reading else 0) | (select.EPOLLOUT if self.wants_room else 0)

    def flush(self) -> None:
        """The socket takes more: write what is held, and let the speaker write what it has."""
        self.wants_room = False
        self._patience, self._look_at = None, math.inf
        if self._unsent:
            held, self._unsent = self._unsent, b""
            self.hold(held[self._send(held) :])
            if not self._unsent:
                self._replies_bytes = 0
        if not self._unsent and self.loss is None:
            self.speaker.writable(self)
        self._keeper.watch(self)

    def look(self, now: float, stall_seconds: float) -> None:
        """Do what is due."""
        if now >= self._look_at:
            self._look_for_progress(now, stall_seconds)
        if now >= self.due_at and self.loss is None:
            self.due_at = math.inf
            self.speaker.due(self, now)
        if self.loss is None:
            self._keeper.schedule(self, min(self.due_at, self._look_at))

    def _look_for_progress(self, now: float, stall_seconds: float) -> None:
        """Cut off a peer that takes nothing for too long."""
        if self._patience is None:
            self._patience = Patience(self.taken_bytes(), now, stall_seconds)
        elif self._patience.is_over(self.taken_bytes(), now):
            self.lose(Loss.STALLED)
        self._look_at = self._patience.look_at

    def cork(self) -> bool:
        if self._corked is not None:
            return False
        self._corked = []
        return True

    def uncork(self) -> None:
        gathered, self._corked = self._corked, None
        data = b"".join(gathered or ())
        if self.loss is None:
            self.hold(data[self._send(data) :])

    def _send(self, data: bytes) -> int:
        if self._corked is not None:
            self._corked.append(data)
            return len(data)
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.lose(Loss.BROKEN)
            return 0
        if sent < len(data):
            self.await_room()
        return sent
