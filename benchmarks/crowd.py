"""Crowd: many idle WebSockets that join as fast as a server answers, by a client that does little else.

Keys, tokens and users differ from one to the next. All are made beforehand: a join is `connect`, `send` and
`recv` on a socket that blocks, so that the server is the limit.
"""

import os
import resource
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
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

_TIMEOUT = struct.pack("ll", int(ANSWER_SECONDS), 0)
"""For `recv` on a blocking socket; Python's own timeouts would cost a `poll` each."""


class _Handshake(NamedTuple):
    channel: str
    request: bytes
    accept: bytes


class _Member(NamedTuple):
    handshake: _Handshake
    sock: socket.socket
    answer: bytes
    """Of the server: its 101, and perhaps more."""


@dataclass(frozen=True)
class Joined:
    """What all joins together took."""

    seconds: float
    client_seconds: float
    client_waited: float


class Crowd:
    """`connections` WebSockets, spread over `channels`, all closed where its block ends.

    `replacements` more may take their places.
    """

    def __init__(
        self, port: int, secret: str, connections: int, channels: Sequence[str], replacements: int = 0
    ) -> None:
        require_descriptors(connections)
        self._port = port
        self._connections = connections
        self._to_come = deque(
            _handshake(port, secret, number, channels[number % len(channels)])
            for number in range(connections + replacements)
        )
        self._there: deque[_Member] = deque()
        self._waiting: deque[_Member] = deque()
        self._room = _ports()
        self._opened = self._closed = 0

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_: object) -> None:
        for member in (*self._there, *self._waiting):
            member.sock.close()

    def join(self, in_flight: int, rate: float | None = None) -> Joined:
        """All join, `in_flight` at a time; not sooner than at `rate` a second. LoadError unless all may."""
        return self._come(self._connections, in_flight, rate, replacing=False)

    def replace(self, in_flight: int, rate: float | None = None) -> Joined:
        """All replacements join, as in `join`; for each, whoever has been there longest leaves."""
        return self._come(len(self._to_come), in_flight, rate, replacing=True)

    def members(self) -> Iterator[tuple[str, socket.socket, bytes]]:
        """For each, its channel, its socket and what followed its 101."""
        for handshake, sock, answer in self._there:
            yield handshake.channel, sock, frames.after_upgrade(answer, handshake.accept) or b""

    def attend(self) -> None:
        """Answer the pings that have come."""
        for member in self._there:
            answer_pings(member.sock)

    def leave(self, rate: float) -> int:
        """All leave, `rate` a second, as those whose connections break.

        How many the server had closed of all who have left.
        """
        start = perf_counter()
        for number in range(len(self._there)):
            _until(start + number / rate)
            self._leave()
        return self._closed

    def _come(self, count: int, in_flight: int, rate: float | None, *, replacing: bool) -> Joined:
        waiting = self._waiting
        with no_collection():
            before, start = usage_of(os.getpid()), perf_counter()
            attended = start
            for number in range(count):
                if rate is not None:
                    _until(start + number / rate)
                if perf_counter() - attended > ATTEND_SECONDS:
                    self.attend()
                    attended = perf_counter()
                if len(waiting) == in_flight:
                    self._hear()
                if replacing:
                    self._leave()
                handshake = self._to_come.popleft()
                waiting.append(_Member(handshake, self._connect(), b""))
                waiting[-1].sock.send(handshake.request)
            while waiting:
                self._hear()
            seconds, after = perf_counter() - start, usage_of(os.getpid())
        for handshake, _, answer in islice(reversed(self._there), count):
            frames.after_upgrade(answer, handshake.accept)
        return Joined(
            seconds, after.cpu_seconds - before.cpu_seconds, after.waited_seconds - before.waited_seconds
        )

    def _hear(self) -> None:
        """Wait for the server's answer to the one that has waited longest."""
        self._there.append(_heard(self._waiting[0]))
        self._waiting.popleft()

    def _leave(self) -> None:
        sock = self._there.popleft().sock
        self._closed += not answer_pings(sock)
        sock.close()

    def _connect(self) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _TIMEOUT)
        if self._opened >= self._room:  # an address has only so many ports
            sock.bind((f"127.0.0.{1 + self._opened // self._room}", 0))
        self._opened += 1
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


def _handshake(port: int, secret: str, number: int, channel: str) -> _Handshake:
    now = int(time())
    claims = {"user_id": f"user-{number}", "wallet_address": f"wallet-{number}"}
    token = jwt.encode(claims | {"iat": now, "exp": now + 3600}, secret, "HS256")
    key = frames.key_of(number)
    request = frames.upgrade(port, f"/ws/{channel}?token={token}", key)
    return _Handshake(channel, request, frames.accept_of(key))


def _heard(member: _Member) -> _Member:
    """`member` with the server's answer, as far as it has come, its head at least."""
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            more = member.sock.recv(4096)
        except BlockingIOError:
            raise LoadError(f"a join had no answer after {ANSWER_SECONDS:g} s") from None
        if not more:
            raise LoadError("the server closed a connection instead of a 101")
        data += more
    return member._replace(answer=data)


def _until(then: float) -> None:
    while (left := then - perf_counter()) > 0:
        sleep(left)


def _ports() -> int:
    """How many connections one address can open to one port."""
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    return max(1, high - low - PORTS)
