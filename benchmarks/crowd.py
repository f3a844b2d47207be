"""Crowd: many idle WebSockets that join as fast as a server answers, by a client that does little else.

Keys, tokens and users differ from one to the next. All are made beforehand: a join is `connect`, `send` and
`recv` on a socket that blocks, so that the server is the limit. `apart` has a crowd join and leave in a
process of its own.
"""

import os
import resource
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, sleep, time
from typing import NamedTuple

import jwt

from benchmarks import frames
from benchmarks.errors import LoadError
from benchmarks.process import usage_of
from benchmarks.quiet import no_collection
from benchmarks.sockets import ANSWER_SECONDS

SPARE = 300
"""Descriptors that the server and the load client need beside the crowd's."""

PORTS = 1000
"""Of the system's range, so many are left to others."""

ATTEND_SECONDS = 5.0
"""How often pings are answered: uvicorn waits 20 s for that, Courier longer."""

NICENESS = 10
"""Of a crowd that is apart: what shares its core, and is timed, goes first."""

_TIMEOUT = struct.pack("ll", int(ANSWER_SECONDS), 0)
"""For `recv` on a blocking socket; Python's own timeouts would cost a `poll` each."""


class _Handshake(NamedTuple):
    channel: str
    request: bytes
    accept: bytes


@dataclass(frozen=True)
class Joined:
    """What all joins together took."""

    seconds: float
    client_seconds: float
    client_waited: float


class Crowd:
    """`connections` WebSockets, spread over `channels`, all closed where its block ends."""

    def __init__(self, port: int, secret: str, connections: int, channels: Sequence[str]) -> None:
        require_descriptors(connections)
        self._port = port
        self._handshakes = [
            _handshake(port, secret, number, channels[number % len(channels)])
            for number in range(connections)
        ]
        self._sockets: list[socket.socket] = []
        self._room = _ports()

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._sockets:
            sock.close()

    def join(self, in_flight: int, rate: float | None = None) -> Joined:
        """All join, `in_flight` at a time; not sooner than at `rate` a second. LoadError unless all may."""
        waiting: deque[socket.socket] = deque()
        answers: list[bytes] = []
        with no_collection():
            before, start = usage_of(os.getpid()), perf_counter()
            attended = start
            for number, handshake in enumerate(self._handshakes):
                if rate is not None:
                    _until(start + number / rate)
                if perf_counter() - attended > ATTEND_SECONDS:
                    self.attend(len(answers))
                    attended = perf_counter()
                if len(waiting) == in_flight:
                    answers.append(_hear(waiting.popleft()))
                sock = self._connect(number)
                sock.send(handshake.request)
                waiting.append(sock)
            answers += map(_hear, waiting)
            seconds, after = perf_counter() - start, usage_of(os.getpid())
        self._rests = [
            frames.after_upgrade(answer, handshake.accept)
            for answer, handshake in zip(answers, self._handshakes, strict=True)
        ]
        return Joined(
            seconds, after.cpu_seconds - before.cpu_seconds, after.waited_seconds - before.waited_seconds
        )

    def members(self) -> Iterator[tuple[str, socket.socket, bytes]]:
        """For each, its channel, its socket and what followed its 101."""
        for handshake, sock, rest in zip(self._handshakes, self._sockets, self._rests, strict=True):
            yield handshake.channel, sock, rest or b""

    def leave(self, rate: float) -> int:
        """All leave, `rate` a second, as those whose connections break; how many the server had closed."""
        start, closed = perf_counter(), 0
        for number, sock in enumerate(self._sockets):
            _until(start + number / rate)
            closed += not answer_pings(sock)
            sock.close()
        self._sockets.clear()
        return closed

    def attend(self, count: int | None = None) -> None:
        """Answer the pings that have come, to the first `count` or to all."""
        for sock in self._sockets[:count]:
            answer_pings(sock)

    def _connect(self, number: int) -> socket.socket:
        sock = socket.socket()
        self._sockets.append(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEOUT)
        if number >= self._room:  # an address has only so many ports
            sock.bind((f"127.0.0.{1 + number // self._room}", 0))
        sock.connect(("127.0.0.1", self._port))
        return sock


def require_descriptors(connections: int) -> None:
    """LoadError when this system lets a process open fewer sockets."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most != resource.RLIM_INFINITY and most < connections + SPARE:
        raise LoadError(
            f"{connections:,} connections need {connections + SPARE:,} file descriptors in the client, and as"
            f" many in the server, but a process may open only {most:,} here: raise the hard limit"
            f" (ulimit -Hn), or ask for fewer with --connections {max(1, most - SPARE)}"
        )


def answer_pings(sock: socket.socket) -> bool:
    """Answer the pings that have come, and drop all else; whether the connection is still open."""
    try:
        while data := sock.recv(4096, socket.MSG_DONTWAIT):
            for frame in frames.split(data):
                pong = frames.pong(frame.opcode, data[frame.payload : frame.end])
                if pong is not None:
                    sock.send(pong)
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    return False


class Apart:
    """A crowd in another process, which does one thing at a time."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.answer = 0.0
        """Of the last thing done: the seconds of `join`, or how many `leave` found closed."""

    def join(self, in_flight: int, rate: float) -> None:
        """Begin `Crowd.join`; `done` says when it is over."""
        self._pipe.send((in_flight, rate))

    def leave(self, rate: float) -> None:
        """Begin `Crowd.leave`; `done` says when it is over."""
        self._pipe.send((None, rate))

    def done(self) -> bool:
        """Whether it has done what it was asked; LoadError when it could not."""
        try:
            told = self._pipe.recv() if self._pipe.poll() else None
        except EOFError:
            raise LoadError("the crowd's process ended") from None
        if isinstance(told, str):
            raise LoadError(told)
        self.answer = self.answer if told is None else told
        return told is not None


@contextmanager
def apart(port: int, secret: str, connections: int, channels: Sequence[str]) -> Iterator[Apart]:
    """A crowd that is ready to join, in a process that ends with the block."""
    require_descriptors(connections)
    context = get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(target=_serve, args=(its, port, secret, connections, channels), daemon=True)
    process.start()
    its.close()
    crowd = Apart(mine)
    try:
        while not crowd.done():
            sleep(0.01)
        yield crowd
    finally:
        mine.close()
        process.join()


def _serve(pipe: Connection, port: int, secret: str, connections: int, channels: Sequence[str]) -> None:
    os.nice(NICENESS)
    try:
        with Crowd(port, secret, connections, channels) as crowd:
            pipe.send(0.0)
            while True:
                while not pipe.poll(ATTEND_SECONDS):
                    crowd.attend()
                in_flight, rate = pipe.recv()
                pipe.send(
                    float(crowd.leave(rate)) if in_flight is None else crowd.join(in_flight, rate).seconds
                )
    except EOFError:
        return
    except (LoadError, OSError) as error:
        pipe.send(str(error))


def _handshake(port: int, secret: str, number: int, channel: str) -> _Handshake:
    now = int(time())
    claims = {"user_id": f"user-{number}", "wallet_address": f"wallet-{number}"}
    token = jwt.encode(claims | {"iat": now, "exp": now + 3600}, secret, "HS256")
    key = frames.key_of(number)
    request = frames.upgrade(port, f"/ws/{channel}?token={token}", key)
    return _Handshake(channel, request, frames.accept_of(key))


def _hear(sock: socket.socket) -> bytes:
    """The server's answer, as far as it has come, its head at least."""
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            more = sock.recv(4096)
        except BlockingIOError:
            raise LoadError(f"a join had no answer after {ANSWER_SECONDS:g} s") from None
        if not more:
            raise LoadError("the server closed a connection instead of a 101")
        data += more
    return data


def _until(then: float) -> None:
    while (left := then - perf_counter()) > 0:
        sleep(left)


def _ports() -> int:
    """How many connections one address can open to one port."""
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    return max(1, high - low - PORTS)
