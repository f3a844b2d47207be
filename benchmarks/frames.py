"""Frames: just enough of WebSocket (RFC 6455) for a client that reads a great many of them."""

import base64
import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from benchmarks.errors import LoadError

TEXT, CLOSE, PING = 0x1, 0x8, 0x9
PONG_TEXT = b"\x81\x84\0\0\0\0pong"
"""Masked, as a client must, with the key that changes nothing (5.3); so is what `pong` makes."""

KEY = base64.b64encode(b"courier.loadtest")
"""The `Sec-WebSocket-Key` of a handshake for which nothing else is said."""


class Frame(NamedTuple):
    """Where in the data a frame and its payload start, and where both end."""

    opcode: int
    start: int
    payload: int
    end: int


def key_of(number: int) -> bytes:
    """A `Sec-WebSocket-Key` for the handshake of that number, 16 bytes in base64 (4.1)."""
    return base64.b64encode(b"courier.%08d" % number)


def accept_of(key: bytes) -> bytes:
    """The `Sec-WebSocket-Accept` that shows that a server has read `key` (4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


_ACCEPT = accept_of(KEY)


def upgrade(port: int, path: str, key: bytes = KEY) -> bytes:
    """The request that opens a WebSocket at `path` (4.1), offering neither extension nor subprotocol."""
    return (
        b"GET %b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ) % (path.encode(), port, key)


def upgraded(key: bytes = KEY) -> bytes:
    """The answer to `upgrade`."""
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept_of(key)
    )


def text(payload: bytes) -> bytes:
    """One text frame of a server, with a payload below 64 KiB (5.2)."""
    size = len(payload)
    return b"\x81%b%b" % (bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big"), payload)


def pong(opcode: int, payload: bytes) -> bytes | None:
    """The answer to a server's ping, by frame (with its payload, 5.5.3) or by text; None to all else."""
    if opcode == PING:
        return b"\x8a%b\0\0\0\0%b" % (bytes([0x80 | len(payload)]), payload)
    return PONG_TEXT if opcode == TEXT and payload == b"ping" else None


def after_upgrade(data: bytes, accept: bytes = _ACCEPT) -> bytes | None:
    """What follows the server's 101, or None while that has not wholly come; LoadError if it is no 101."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None
    if not head.startswith(b"HTTP/1.1 101") or accept not in head:
        raise LoadError("the WebSocket was refused: " + data[:200].decode("latin-1"))
    return rest


def split(data: bytes) -> Iterator[Frame]:
    """The whole frames at the beginning of `data`; LoadError for what this client cannot read."""
    start = 0
    while len(data) - start >= 2:
        first, size = data[start], data[start + 1]
        payload = start + {126: 4, 127: 10}.get(size, 2)
        if size >= 126:
            if len(data) < payload:
                return
            size = int.from_bytes(data[start + 2 : payload], "big")
        if first & 0xF0 != 0x80 or data[start + 1] & 0x80:
            raise LoadError(
                f"a frame that begins {data[start : start + 2].hex()} is cut in parts, masked or extended"
            )
        if len(data) < payload + size:
            return
        yield Frame(first & 0x0F, start, payload, payload + size)
        start = payload + size
