"""Subscriber: one WebSocket of the load client, read as fast as Python can."""

import socket
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from time import perf_counter_ns
from typing import NamedTuple

from benchmarks.tape import Faults, Mark, Tape

_BUFFER = memoryview(bytearray(256 * 1024))
"""One for all: what it holds is judged before the next read."""

_KEY = b"Y291cmllciBiZW5jaG1hcms="
_ACCEPT = b"4WDVEsmq4nwWwVKdSbh4hLnsmR0="
"""What a server makes of `_KEY` (RFC 6455, 4.2.2)."""

_TEXT, _CLOSE, _PING = 0x1, 0x8, 0x9


class LoadError(Exception):
    """The server did something with which a measurement makes no sense."""


class Frame(NamedTuple):
    """A whole frame: where it and its payload start, and where both end."""

    opcode: int
    start: int
    payload: int
    end: int


def handshake(port: int, path: str) -> bytes:
    """The request that opens a WebSocket at `path` (RFC 6455, 4.1), offering no extension."""
    return (
        b"GET %b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: %b\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ) % (path.encode(), port, _KEY)


def after_handshake(head: bytes) -> bytes | None:
    """What follows the server's 101, or None as long as it is not all there."""
    answer, end, rest = head.partition(b"\r\n\r\n")
    if not end:
        return None
    if not answer.startswith(b"HTTP/1.1 101") or _ACCEPT not in answer:
        raise LoadError(f"the WebSocket was refused: {answer.partition(b'\r\n')[0].decode('latin-1')}")
    return rest
