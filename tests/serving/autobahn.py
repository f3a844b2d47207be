"""The case list of the Autobahn test suite for servers, families 1 to 10, by Autobahn's own numbers.

Autobahn's own program needs Python 2; `python -m tests.serving.echoes` serves it the same two echoes. These
cases differ from its own in two ways. A server that breaks off must send a close with the right code, where
Autobahn accepts a bare end of the connection. And a message has at most 64 KiB: family 9 is scaled down to
that, as its comments say.
"""

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from tests.serving.utf_8 import BEYOND, EDITED, KOSME, SEQUENCES, SURROGATE

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NORMAL, PROTOCOL_ERROR, INVALID_PAYLOAD = 1000, 1002, 1007
MOST = 64 * 1024


class Verdict(Enum):
    """Autobahn's words for how a case came out; FAILED is an exception that says why."""

    OK = "OK"
    NON_STRICT = "NON-STRICT"
    """The server broke off as it must, but later, or without answers to what was right before."""
    INFORMATIONAL = "INFORMATIONAL"
    """RFC 6455 leaves it open."""


class Frame(NamedTuple):
    opcode: int
    payload: bytes


class Stage(NamedTuple):
    """What is sent, and what must have come back before the next stage."""

    chunks: tuple[bytes, ...]
    """Each is sent by itself."""
    heard: tuple[Frame, ...] = ()


class Case(NamedTuple):
    number: str
    stages: tuple[Stage, ...]
    closes: frozenset[int | None] = frozenset({NORMAL})
    """The codes of which the server's close must have one."""
    ours: bool = True
    """The driver closes with 1000, when it has heard all."""
    fails_at: int | None = None
    """The stage at which the server breaks off; None when it has no reason to."""
    informational: bool = False


def masked(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """A client's frame (RFC 6455, 5.2)."""
    size = len(payload)
    short = size if size < 126 else 126 if size < 1 << 16 else 127
    extended = b"" if size < 126 else size.to_bytes(2 if size < 1 << 16 else 8, "big")
    mask = b"\x37\xfa\x21\x3d"
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    data = (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")
    return bytes((fin << 7 | rsv << 4 | opcode, 0x80 | short)) + extended + mask + data


def chopped(data: bytes, size: int = 1) -> tuple[bytes, ...]:
    return tuple(data[at : at + size] for at in range(0, len(data), size))


def fragments(opcode: int, payload: bytes, size: int) -> tuple[bytes, ...]:
    pieces = chopped(payload, size)
    last = len(pieces) - 1
    return tuple(
        masked(CONTINUATION if place else opcode, piece, fin=place == last)
        for place, piece in enumerate(pieces)
    )


def echoed(number: str, opcode: int, payload: bytes, chunks: Sequence[bytes] = ()) -> Case:
    """A message that comes back; `chunks` are how it is sent, if not as one frame at once."""
    return Case(number, (Stage(tuple(chunks) or (masked(opcode, payload),), (Frame(opcode, payload),)),))


def ponged(number: str, payload: bytes, chunks: Sequence[bytes] = ()) -> Case:
    return Case(number, (Stage(tuple(chunks) or (masked(PING, payload),), (Frame(PONG, payload),)),))


def refused(
    number: str, *chunks: bytes, heard: Iterable[Frame] = (), closes: Iterable[int | None] = (PROTOCOL_ERROR,)
) -> Case:
    """Something that the server must break off for."""
    return Case(number, (Stage(chunks, tuple(heard)),), frozenset(closes), ours=False, fails_at=0)


def closed(
    number: str, *chunks: bytes, closes: Iterable[int | None] = (NORMAL,), informational: bool = False
) -> Case:
    """A close that the chunks hold, and its answer."""
    return Case(number, (Stage(chunks),), frozenset(closes), ours=False, informational=informational)


def close(code: int | None, reason: bytes = b"") -> bytes:
    return masked(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def framing() -> Iterator[Case]:
    """1: payloads of each length around those where the length's form changes."""
    for family, opcode, byte in (("1.1", TEXT, b"*"), ("1.2", BINARY, b"\xfe")):
        for number, size in enumerate((0, 125, 126, 127, 128, 65_535, 65_536), start=1):
            yield echoed(f"{family}.{number}", opcode, byte * size)
        yield echoed(f"{family}.8", opcode, byte * 65_536, chopped(masked(opcode, byte * 65_536), 997))


def pings() -> Iterator[Case]:
    """2: pings are answered, pongs that nobody asked for are not."""
    yield ponged("2.1", b"")
    yield ponged("2.2", HELLO)
    yield ponged("2.3", BYTES)
    yield ponged("2.4", b"\xfe" * 125)
    yield refused("2.5", masked(PING, b"\xfe" * 126))
    yield ponged("2.6", b"\xfe" * 125, chopped(masked(PING, b"\xfe" * 125)))
    yield Case("2.7", (Stage((masked(PONG),)),))
    yield Case("2.8", (Stage((masked(PONG, b"unsolicited pong payload"),)),))
    yield ponged(
        "2.9", b"ping payload", (masked(PONG, b"unsolicited pong payload"), masked(PING, b"ping payload"))
    )
    ten = [b"payload-%d" % number for number in range(10)]
    sent, pongs = [masked(PING, payload) for payload in ten], tuple(Frame(PONG, payload) for payload in ten)
    yield Case("2.10", (Stage(tuple(sent), pongs),))
    yield Case("2.11", (Stage(chopped(b"".join(sent)), pongs),))


HELLO, BYTES = b"Hello, world!", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
ECHO = (Frame(TEXT, HELLO),)


def reserved_bits() -> Iterator[Case]:
    """3: bits that no extension has given a meaning."""
    good, ping = masked(TEXT, HELLO), masked(PING)
    yield refused("3.1", masked(TEXT, HELLO, rsv=1))
    yield refused("3.2", good + masked(TEXT, HELLO, rsv=2) + ping, heard=ECHO)
    yield refused("3.3", good, masked(TEXT, HELLO, rsv=3), ping, heard=ECHO)
    yield refused("3.4", *chopped(good + masked(TEXT, HELLO, rsv=4) + ping), heard=ECHO)
    yield refused("3.5", masked(BINARY, BYTES, rsv=5))
    yield refused("3.6", masked(PING, HELLO, rsv=6))
    yield refused("3.7", masked(CLOSE, rsv=7))


def opcodes() -> Iterator[Case]:
    """4: opcodes that mean nothing yet."""
    good, ping = masked(TEXT, HELLO), masked(PING)
    for family, first in (("4.1", 3), ("4.2", 11)):
        yield refused(f"{family}.1", masked(first))
        yield refused(f"{family}.2", masked(first + 1, b"reserved opcode payload"))
        yield refused(f"{family}.3", good + masked(first + 2) + ping, heard=ECHO)
        yield refused(f"{family}.4", good + masked(first + 3, HELLO) + ping, heard=ECHO)
        yield refused(f"{family}.5", *chopped(good + masked(first + 4, HELLO) + ping), heard=ECHO)


def fragmentation() -> Iterator[Case]:
    """5: messages in fragments, and fragments of nothing."""
    one, two = masked(TEXT, b"fragment1", fin=False), masked(CONTINUATION, b"fragment2")
    ping, pong = masked(PING, b"ping payload"), Frame(PONG, b"ping payload")
    both = Frame(TEXT, b"fragment1fragment2")
    yield refused("5.1", masked(PING, b"fragment1", fin=False) + two)
    yield refused("5.2", masked(PONG, b"fragment1", fin=False) + two)
    for number, frames, heard in ((3, (one, two), (both,)), (6, (one, ping, two), (pong, both))):
        for place, chunks in enumerate(((b"".join(frames),), frames, chopped(b"".join(frames)))):
            yield Case(f"5.{number + place}", (Stage(chunks, heard),))
    for number, fin in ((9, True), (12, False)):
        odd, good = masked(CONTINUATION, b"non-continuation payload", fin=fin), masked(TEXT, HELLO)
        for place, chunks in enumerate(((odd + good,), (odd, good), chopped(odd + good))):
            yield refused(f"5.{number + place}", *chunks)
    odd = masked(CONTINUATION, b"fragment3", fin=False)
    yield refused("5.15", one + two + odd + masked(TEXT, b"fragment4"), heard=(both,))
    for number, fin in ((16, False), (17, True)):
        odd = masked(CONTINUATION, b"fragment1", fin=fin)
        message = masked(TEXT, b"fragment2", fin=False) + masked(CONTINUATION, b"fragment3")
        yield refused(f"5.{number}", (odd + message) * 2)
    yield refused("5.18", one + masked(TEXT, b"fragment2"))
    parts = fragments(TEXT, b"".join(b"fragment%d" % number for number in range(1, 6)), 9)
    first = (*parts[:2], masked(PING, b"pongme 1!"))
    second = (*parts[2:4], masked(PING, b"pongme 2!"), parts[4])
    for number, together in ((19, True), (20, False)):
        yield Case(
            f"5.{number}",
            (
                Stage((b"".join(first),) if together else first, (Frame(PONG, b"pongme 1!"),)),
                Stage(
                    (b"".join(second),) if together else second,
                    (
                        Frame(PONG, b"pongme 2!"),
                        Frame(TEXT, b"fragment1fragment2fragment3fragment4fragment5"),
                    ),
                ),
            ),
        )


def utf_8() -> Iterator[Case]:
    """6: text is UTF-8, and what is not is refused at once."""
    yield echoed("6.1.1", TEXT, b"")
    empty, ends = masked(TEXT, fin=False), masked(CONTINUATION)
    yield echoed("6.1.2", TEXT, b"", (empty, masked(CONTINUATION, fin=False), ends))
    middle = b"middle frame payload"
    yield echoed("6.1.3", TEXT, middle, (empty, masked(CONTINUATION, middle, fin=False), ends))
    umlauts = "Hello-µ@ßöäüàá-UTF-8!!".encode()
    yield echoed("6.2.1", TEXT, umlauts)
    yield echoed("6.2.2", TEXT, umlauts, fragments(TEXT, umlauts, len("Hello-µ@ßöä".encode())))
    yield echoed("6.2.3", TEXT, umlauts, fragments(TEXT, umlauts, 1))
    yield echoed("6.2.4", TEXT, KOSME, fragments(TEXT, KOSME, 1))
    broken = KOSME + SURROGATE + EDITED
    yield refused("6.3.1", masked(TEXT, broken), closes=(INVALID_PAYLOAD,))
    yield refused("6.3.2", *fragments(TEXT, broken, 1), closes=(INVALID_PAYLOAD,))
    broken = KOSME + BEYOND + EDITED
    for number, cuts in ((1, (len(KOSME), len(KOSME + BEYOND))), (2, (12, 13))):
        parts = broken[: cuts[0]], broken[cuts[0] : cuts[1]], broken[cuts[1] :]
        frames = (
            masked(TEXT, parts[0], fin=False),
            masked(CONTINUATION, parts[1], fin=False),
            masked(CONTINUATION, parts[2]),
        )
        whole = masked(TEXT, broken)
        head = len(whole) - len(broken)
        chops = whole[: head + cuts[0]], whole[head + cuts[0] : head + cuts[1]], whole[head + cuts[1] :]
        for place, pieces in ((number, frames), (number + 2, chops)):
            stages = tuple(Stage((piece,)) for piece in pieces)
            yield Case(f"6.4.{place}", stages, frozenset({INVALID_PAYLOAD}), ours=False, fails_at=1)
    for family, sequences in enumerate(SEQUENCES, start=5):
        for place, (valid, payload) in enumerate(sequences, start=1):
            if valid:
                yield echoed(f"6.{family}.{place}", TEXT, payload)
            else:
                yield refused(f"6.{family}.{place}", masked(TEXT, payload), closes=(INVALID_PAYLOAD,))


def closing() -> Iterator[Case]:
    """7: closes, good and bad, and what comes after them."""
    bye, hello = close(NORMAL), masked(TEXT, b"Hello World!")
    yield echoed("7.1.1", TEXT, b"Hello World!")
    yield closed("7.1.2", bye + masked(CLOSE))
    yield closed("7.1.3", bye + masked(PING))
    yield closed("7.1.4", bye + hello)
    yield closed("7.1.5", masked(TEXT, b"fragment1", fin=False) + bye + masked(CONTINUATION, b"fragment2"))
    large = masked(TEXT, (b"BAsd7&jh23" * MOST)[:MOST])  # 256 KiB in Autobahn
    yield closed("7.1.6", large + hello + bye + masked(PING), informational=True)
    yield closed("7.3.1", close(None), closes=(NORMAL, None))
    yield closed("7.3.2", masked(CLOSE, b"a"), closes=(PROTOCOL_ERROR,))
    yield closed("7.3.3", bye)
    yield closed("7.3.4", close(NORMAL, b"Hello World!"))
    yield closed("7.3.5", close(NORMAL, b"*" * 123))
    yield closed("7.3.6", close(NORMAL, b"*" * 124), closes=(PROTOCOL_ERROR,))
    broken = KOSME + SURROGATE + EDITED
    yield closed("7.5.1", close(NORMAL, broken), closes=(PROTOCOL_ERROR, INVALID_PAYLOAD))
    good = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    for number, code in enumerate(good, start=1):
        yield closed(f"7.7.{number}", close(code), closes=(NORMAL, code))
    for number, code in enumerate((0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999), start=1):
        yield closed(f"7.9.{number}", close(code), closes=(PROTOCOL_ERROR,))
    for number, code in ((1, 5000), (2, 65_535)):
        yield closed(f"7.13.{number}", close(code), closes=(PROTOCOL_ERROR,), informational=True)


def limits() -> Iterator[Case]:
    """9: large messages, in many fragments, in many chops, and many of them."""
    for family, opcode, pattern in (("9.1", TEXT, b"BAsd7&jh23"), ("9.2", BINARY, b"\x00\xfe\x23\xfa\xf0")):
        for number, size in enumerate((64, 256, 1024, 4096, 8192, 16_384), start=1):  # KiB: 1/256 of it
            yield echoed(f"{family}.{number}", opcode, (pattern * size * 4)[: size * 4])
    for family, opcode, byte in (("9.3", TEXT, b"*"), ("9.4", BINARY, b"\xfe")):
        for number in range(1, 10):  # 4 MiB in fragments of 64 B, 256 B … 4 MiB: 64 KiB, and 1/16 of each
            payload = byte * MOST
            sent = b"".join(fragments(opcode, payload, 4**number))
            yield echoed(f"{family}.{number}", opcode, payload, (sent,))
    for family, opcode, pattern in (("9.5", TEXT, b"BAsd7&jh23"), ("9.6", BINARY, b"\x00\xfe\x23\xfa\xf0")):
        for number in range(1, 7):  # 1 MiB in chops of 64 B, 128 B … 2 KiB: of 64 KiB here
            payload = (pattern * MOST)[:MOST]
            chops = chopped(masked(opcode, payload), 64 << number - 1)
            yield echoed(f"{family}.{number}", opcode, payload, chops)
    for family, opcode, byte in (("9.7", TEXT, b"*"), ("9.8", BINARY, b"\xfe")):
        for number, size in enumerate((0, 16, 64, 256, 1024, 4096), start=1):  # a thousand times in Autobahn
            stage = Stage((masked(opcode, byte * size),), (Frame(opcode, byte * size),))
            yield Case(f"{family}.{number}", (stage,) * 20)


def miscellaneous() -> Iterator[Case]:
    """10: a message that a client's library cuts into fragments by itself."""
    yield echoed("10.1.1", TEXT, b"*" * 65_536, fragments(TEXT, b"*" * 65_536, 1300))


FAMILIES = {
    "1": framing,
    "2": pings,
    "3": reserved_bits,
    "4": opcodes,
    "5": fragmentation,
    "6": utf_8,
    "7": closing,
    "9": limits,
    "10": miscellaneous,
}
