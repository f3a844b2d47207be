"""WebSocket: the server's side of RFC 6455 as plain functions: bytes in, messages out, and back."""

import codecs
import re
from binascii import b2a_base64
from collections.abc import Iterator
from enum import IntEnum
from hashlib import sha1
from typing import NamedTuple

from courier.serving.requests import Head

MAX_CONTROL_BYTES = 125
"""The longest payload of a ping, a pong or a close (RFC 6455, 5.5)."""

FRAMES_AT_ONCE = 16
"""So many frames are taken of a peer at a time: one read may bring thousands, and others want their turn."""

_FIN, _RESERVED, _OPCODE = 0x80, 0x70, 0x0F
_MASKED, _LENGTH = 0x80, 0x7F
_LENGTH_16, _LENGTH_64 = 126, 127
_MASK_BYTES = 4

_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")
_ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Opcode(IntEnum):
    """What a frame carries (RFC 6455, 5.2)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Ping(NamedTuple):
    """A question whether this side is there: answered by a pong with the same payload (5.5.2)."""

    payload: bytes


class Close(NamedTuple):
    """The peer's last word; `code` is None when it gave none (5.5.1)."""

    code: int | None
    reason: str


Received = str | bytes | Ping | Close
"""A text, a binary message, or one of the two control frames that an endpoint acts on."""


class Violation(Exception):
    """The peer broke the protocol: the connection is closed with `code` (RFC 6455, 7.4.1)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def accept_of(key: str) -> str | None:
    """The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key` (RFC 6455, 4.2.2); None for a key that
    is not 16 bytes in base64."""
    if _KEY.fullmatch(key) is None:
        return None
    digest = sha1(key.encode() + _ACCEPT_GUID, usedforsecurity=False).digest()
    return b2a_base64(digest, newline=False).decode()


def wants_websocket(head: Head) -> bool:
    """Whether a request asks for a WebSocket of version 13 (RFC 6455, 4.2.1)."""
    headers = head.headers
    options = [option.strip().lower() for option in headers.get("connection", "").split(",")]
    return (
        head.method == "GET"
        and not head.body_bytes
        and headers.get("upgrade", "").lower() == "websocket"
        and "upgrade" in options
        and headers.get("sec-websocket-version") == "13"
    )


def frame(opcode: Opcode, payload: bytes) -> bytes:
    """One whole, unmasked frame, as a server sends it (RFC 6455, 5.1 and 5.2)."""
    size = len(payload)
    if size < _LENGTH_16:
        return b"%c%c%b" % (_FIN | opcode, size, payload)
    if size < 1 << 16:
        return b"%c%c%b%b" % (_FIN | opcode, _LENGTH_16, size.to_bytes(2, "big"), payload)
    return b"%c%c%b%b" % (_FIN | opcode, _LENGTH_64, size.to_bytes(8, "big"), payload)


def close_frame(code: int | None, reason: str) -> bytes:
    """A close with its code, and as much of the reason as fits, cut between characters; empty without one."""
    if code is None:
        return frame(Opcode.CLOSE, b"")
    text = reason.encode()[: MAX_CONTROL_BYTES - 2].decode(errors="ignore")
    return frame(Opcode.CLOSE, code.to_bytes(2, "big") + text.encode())


class _Fragments:
    """A message of which the last frame has not come: its bytes alone, however many frames they came in."""

    __slots__ = ("_data", "_decoder")

    def __init__(self, opcode: int) -> None:
        self._data = bytearray()
        self._decoder = codecs.getincrementaldecoder("utf-8")() if opcode == Opcode.TEXT else None

    def __len__(self) -> int:
        return len(self._data)

    def add(self, payload: bytes, *, last: bool) -> str | bytes | None:
        """Take one frame's payload; the message once that was the last one."""
        self._data += payload
        if self._decoder is not None:
            self._decoder.decode(payload, last)  # raises as soon as it cannot become UTF-8
        if not last:
            return None
        return bytes(self._data) if self._decoder is None else self._data.decode()


class MessageReader:
    """What has come of a peer's messages, and is not a whole one yet.

    A connection that is between two messages needs none: `pending` says so.
    """

    __slots__ = ("_fragments", "_limit", "_unread", "behind")

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._unread = b""
        self._fragments: _Fragments | None = None
        self.behind = False
        """`feed` has left something unread, and goes on with it when it is called again, with nothing."""

    @property
    def pending(self) -> bool:
        """Whether a message, or a frame, is unfinished."""
        return bool(self._unread) or self._fragments is not None

    def feed(self, data: bytes) -> Iterator[Received]:
        """What is whole with `data`, in order, of as many as `FRAMES_AT_ONCE` frames. A pong is nothing that
        one acts on, and is left out.

        Raises Violation at the first frame that breaks the protocol, makes a message longer than the limit
        (1009), or is text that is not UTF-8 (1007). Nothing after a close is looked at.
        """
        data, at = self._unread + data, 0
        self._unread = b""
        for _ in range(FRAMES_AT_ONCE):
            found = self._frame(data, at)
            if found is None:
                self.behind = False
                break
            opcode, last, payload, at = found
            try:
                received = self._take(opcode, payload, last=last)
            except UnicodeDecodeError:
                raise Violation(1007, "Text is not UTF-8") from None
            if received is not None:
                yield received
            if isinstance(received, Close):
                return
        else:
            self.behind = at < len(data)
        self._unread = data[at:]

    def _frame(self, data: bytes, at: int) -> tuple[int, bool, bytes, int] | None:
        """The frame at `at`: opcode, whether it ends its message, payload, and where the next one begins;
        None when it is not whole. What can be refused by its first two bytes is not waited for."""
        if len(data) - at < 2:
            return None
        first, second = data[at], data[at + 1]
        opcode, last, length = first & _OPCODE, bool(first & _FIN), second & _LENGTH
        self._judge(first, second)
        begin = at + 2
        if length >= _LENGTH_16:
            size = 2 if length == _LENGTH_16 else 8
            if len(data) - begin < size:
                return None
            length = int.from_bytes(data[begin : begin + size], "big")
            if length < (_LENGTH_16 if size == 2 else 1 << 16) or length >= 1 << 63:
                raise Violation(1002, "Frame's length is not in its shortest form")
            begin += size
        held = 0 if self._fragments is None or opcode >= Opcode.CLOSE else len(self._fragments)
        if held + length > self._limit and opcode < Opcode.CLOSE:
            raise Violation(1009, "Message too big")
        end = begin + _MASK_BYTES + length
        if len(data) < end:
            return None
        return opcode, last, _unmask(data[begin + _MASK_BYTES : end], data[begin : begin + _MASK_BYTES]), end

    def _judge(self, first: int, second: int) -> None:
        """Refuse a frame by its first two bytes (RFC 6455, 5.2, 5.4 and 5.5)."""
        opcode = first & _OPCODE
        if first & _RESERVED:
            raise Violation(1002, "Frame uses an extension that was not agreed on")
        if not second & _MASKED:
            raise Violation(1002, "Frame is not masked")
        if opcode >= Opcode.CLOSE:
            if opcode > Opcode.PONG or not first & _FIN or second & _LENGTH > MAX_CONTROL_BYTES:
                raise Violation(1002, "Control frame is unknown, fragmented or too long")
        elif opcode > Opcode.BINARY:
            raise Violation(1002, "Frame's opcode is unknown")
        elif (opcode == Opcode.CONTINUATION) == (self._fragments is None):
            raise Violation(1002, "Frame does not continue its message")

    def _take(self, opcode: int, payload: bytes, *, last: bool) -> Received | None:
        match opcode:
            case Opcode.PING:
                return Ping(payload)
            case Opcode.PONG:
                return None
            case Opcode.CLOSE:
                return _close_of(payload)
        if self._fragments is None:
            if last:
                return payload.decode() if opcode == Opcode.TEXT else payload
            self._fragments = _Fragments(opcode)
        message = self._fragments.add(payload, last=last)
        if last:
            self._fragments = None
        return message


def _unmask(payload: bytes, mask: bytes) -> bytes:
    """The payload that was masked with four bytes, again and again (RFC 6455, 5.3)."""
    size = len(payload)
    key = (mask * (size // _MASK_BYTES + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")


def _close_of(payload: bytes) -> Close:
    """What a close says (RFC 6455, 5.5.1 and 7.4); UnicodeDecodeError for a reason that is not UTF-8."""
    if not payload:
        return Close(None, "")
    code = int.from_bytes(payload[:2], "big")
    given = 1000 <= code <= 1014 and code not in (1004, 1005, 1006)  # IANA's registry, as of 2026
    if len(payload) < 2 or not (given or 3000 <= code <= 4999):
        raise Violation(1002, "Close code is not one that a peer may send")
    return Close(code, payload[2:].decode())
