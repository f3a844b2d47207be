"""Frame: what crosses the WebSocket, made once an event and written as it is to every subscriber."""

from collections.abc import Iterable
from typing import NamedTuple, Self

_TEXT = 0x81  # FIN and opcode 1 (RFC 6455, 5.2); a server does not mask (5.1)
_LENGTH_16 = 126
_LENGTH_64 = 127


def text_frame(payload: bytes) -> bytes:
    """One unfragmented, unmasked text frame round `payload`, which must be UTF-8 (RFC 6455, 5.2 and 5.6)."""
    size = len(payload)
    if size < _LENGTH_16:
        return b"%c%c%b" % (_TEXT, size, payload)
    if size < 1 << 16:
        return b"%c%c%b%b" % (_TEXT, _LENGTH_16, size.to_bytes(2, "big"), payload)
    return b"%c%c%b%b" % (_TEXT, _LENGTH_64, size.to_bytes(8, "big"), payload)


def payload_of(frame: bytes) -> bytes:
    """What `text_frame` was given."""
    return frame[{_LENGTH_16: 4, _LENGTH_64: 10}.get(frame[1], 2) :]


class Page(NamedTuple):
    """Consecutive frames, and the same bytes joined, so that many can go out in one write."""

    data: bytes
    frames: list[bytes]

    @classmethod
    def of(cls, frames: Iterable[bytes]) -> Self:
        held = list(frames)
        return cls(held[0] if len(held) == 1 else b"".join(held), held)
