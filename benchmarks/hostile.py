"""Hostile: peers that do to a server what none should, in a process of their own, until it is ended.

`python -m benchmarks.hostile KIND PORT`, with the request for a WebSocket on standard input.
"""

import os
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from time import sleep

from benchmarks.sockets import await_upgrade

NICENESS = 10
"""What shares its core, and is timed, goes first."""

DRIPPING = 100
"""So many send a byte a second."""

PAUSE_SECONDS = 0.002
"""Between two peers that come and go."""

_RESET = struct.pack("ii", 1, 0)


def _masked(opcode: int, payload: bytes) -> bytes:
    return bytes((0x80 | opcode, 0x80 | len(payload))) + bytes(4) + payload


class Attack:
    """Knows where the server is, and how a WebSocket is asked for."""

    def __init__(self, port: int, upgrade: bytes) -> None:
        self._port = port
        self._upgrade = upgrade

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port), timeout=30)

    def websocket(self) -> socket.socket:
        sock = self.connect()
        sock.sendall(self._upgrade)
        await_upgrade(sock)
        return sock

    def requests(self) -> None:
        """Requests that are refused, one behind the other, as fast as the answers are taken."""
        body = b'{"type":"none"}'
        head = b"POST /publish/global HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\n"
        self._flood(self.connect(), (head + b"Content-Length: %d\r\n\r\n" % len(body) + body) * 100)

    def pings(self) -> None:
        self._flood(self.websocket(), _masked(9, b"p") * 2000)

    def frames(self) -> None:
        """Texts of one byte, which mean nothing."""
        self._flood(self.websocket(), _masked(1, b"x") * 2000)

    def spin(self) -> None:
        """Nothing that any server could notice: what a flood takes of the core that it shares with those who
        are timed is no server's doing."""
        while True:
            pass

    def drip(self) -> None:
        """A byte a second of a request, and of a frame, from many."""
        dripping = [self.connect() for _ in range(DRIPPING // 2)]
        dripping += [self.websocket() for _ in range(DRIPPING // 2)]
        place = 0
        while True:
            for number, sock in enumerate(dripping):
                data = self._upgrade if number < DRIPPING // 2 else _masked(1, b"x" * 100)
                with suppress(OSError):
                    sock.send(data[place % len(data) :][:1])
            place += 1
            sleep(1)

    def halves(self) -> None:
        """Ask, close one half, take the answer, come again."""
        while True:
            with self.connect() as sock, suppress(OSError):
                sock.sendall(b"GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n")
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(4096):
                    pass
            sleep(PAUSE_SECONDS)

    def resets(self) -> None:
        """Send part of a handshake, all of it, or a frame too, and vanish."""
        whole = self._upgrade + _masked(1, b"x" * 50)
        turn = 0
        while True:
            turn += 1
            with self.connect() as sock, suppress(OSError):
                sock.sendall(whole[: turn * 37 % len(whole)])
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            sleep(PAUSE_SECONDS)

    @staticmethod
    def _flood(sock: socket.socket, data: bytes) -> None:
        """Send it again and again, and read what comes: a peer that reads is not cut off."""
        sock.setblocking(False)
        rest = data
        while True:
            with suppress(BlockingIOError):
                rest = rest[sock.send(rest) :] or data
            with suppress(BlockingIOError):
                while True:
                    if not sock.recv(65_536):
                        sys.exit("The server has closed the connection")


FLOODS: dict[str, Callable[[Attack], None]] = {
    "requests": Attack.requests,
    "pings": Attack.pings,
    "frames": Attack.frames,
}
KINDS = FLOODS | {
    "drip": Attack.drip,
    "halves": Attack.halves,
    "resets": Attack.resets,
}

SPIN = "spin"
"""In place of a flood, for comparison."""

if __name__ == "__main__":
    os.nice(NICENESS)
    (KINDS | {SPIN: Attack.spin})[sys.argv[1]](Attack(int(sys.argv[2]), sys.stdin.buffer.read()))
