"""Frame: what crosses the WebSocket, made once an event and written as it is to every subscriber."""

from collections.abc import Iterable
from typing import NamedTuple, Self

from courier.schemas.control import Gap, GapReason
from courier.schemas.position import Position

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


def first_frame(data: bytes) -> bytes:
    """The first of the frames in `data`, which begins with a whole one."""
    return data[: _end_of_frame(data, 0)]


def frames_of(data: bytes) -> list[bytes]:
    """The whole frames that `data` is made of."""
    frames, at = [], 0
    while at < len(data):
        end = _end_of_frame(data, at)
        frames.append(data[at:end])
        at = end
    return frames


def _end_of_frame(data: bytes, at: int) -> int:
    """Where the frame that begins at `at` ends."""
    length = data[at + 1]
    begin = at + {_LENGTH_16: 4, _LENGTH_64: 10}.get(length, 2)
    return begin + (length if begin == at + 2 else int.from_bytes(data[at + 2 : begin], "big"))


def event_json(position: Position, channel: str, event: bytes) -> bytes:
    """What subscribers get: the event's JSON object with `id` and `channel` in front of its own fields."""
    return _head(position, channel) + event[1:]


def event_frame(position: Position, channel: str, event: bytes) -> bytes:
    """The frame that delivers an event."""
    return text_frame(event_json(position, channel, event))


def event_of(frame: bytes, position: Position, channel: str) -> bytes:
    """The event that `event_frame` was given."""
    return b"{" + payload_of(frame)[len(_head(position, channel)) :]


def gap_frame(channel: str, requested: str, resumed_from: Position, reason: GapReason) -> bytes:
    """The frame that tells a subscriber what is missing before its next event."""
    gap = Gap(channel=channel, requested=requested, resumed_from=str(resumed_from), reason=reason)
    return text_frame(gap.to_json())


def _head(position: Position, channel: str) -> bytes:
    return b'{"id":"%b-%d","channel":"%b",' % (position.epoch.encode(), position.offset, channel.encode())


class Page(NamedTuple):
    """Consecutive frames, and the same bytes joined, so that many can go out in one write."""

    data: bytes
    frames: list[bytes]

    @classmethod
    def of(cls, frames: Iterable[bytes]) -> Self:
        held = list(frames)
        return cls(held[0] if len(held) == 1 else b"".join(held), held)

    def cut(self, sent: int) -> tuple[int, bytes]:
        """How many frames the first `sent` bytes reach into, and what is left of the last of those."""
        end = count = 0
        for frame in self.frames:
            if end >= sent:
                break
            end += len(frame)
            count += 1
        return count, self.data[sent:end]
