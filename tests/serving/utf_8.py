"""Texts that are UTF-8 and texts that are not, family by family: Autobahn's cases 6.5 to 6.23.

Most are of Markus Kuhn's UTF-8 stress test (https://www.cl.cam.ac.uk/~mgk25/ucs/examples/UTF-8-test.txt).
"""

Sequence = tuple[bool, bytes]
"""Whether it is UTF-8 (RFC 3629), and the bytes."""


def good(*payloads: bytes) -> list[Sequence]:
    return [(True, payload) for payload in payloads]


def bad(*payloads: bytes) -> list[Sequence]:
    return [(False, payload) for payload in payloads]


KOSME = "κ\u1f79σμε".encode()
SURROGATE, BEYOND, EDITED = b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"edited"

_ENDS = (2, 5, 7, 9, 11)
"""Where a character of KOSME ends."""
_INCOMPLETE = (
    *(b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xf8\x80\x80\x80", b"\xfc\x80\x80\x80\x80"),
    *(b"\xdf", b"\xef\xbf", b"\xf7\xbf\xbf", b"\xfb\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf"),
)
_LEADS = ((0xC0, 0xDF), (0xE0, 0xEF), (0xF0, 0xF7), (0xF8, 0xFB), (0xFC, 0xFD))
_HIGH = (b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf")
_LOW = (b"\xed\xb0\x80", b"\xed\xbe\x80", b"\xed\xbf\xbf")

SEQUENCES: list[list[Sequence]] = [
    # 6.5: some valid sequences
    good(b"hello$world", *(f"hello{sign}world".encode() for sign in "¢€\U00024b62"), KOSME),
    # 6.6: all beginnings of a text
    [(end in _ENDS, KOSME[:end]) for end in range(1, len(KOSME) + 1)],
    # 6.7, 6.8: first possible sequence of a length; of 5 and 6 bytes
    good(b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"),
    bad(b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"),
    # 6.9, 6.10: last possible sequence of a length; of 4, 5 and 6 bytes
    good(b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"),
    bad(b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"),
    # 6.11: other boundaries
    good(b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xf4\x8f\xbf\xbf") + bad(BEYOND),
    # 6.12: continuation bytes that continue nothing
    bad(b"\x80", b"\xbf", *((b"\x80\xbf" * 3)[:end] for end in range(2, 7)), bytes(range(0x80, 0xBF))),
    # 6.13: first bytes alone
    bad(*(b"".join(b"%c " % lead for lead in range(begin, end)) for begin, end in _LEADS)),
    # 6.14, 6.15: the last byte is missing; several of these
    bad(*_INCOMPLETE),
    bad(b"".join(_INCOMPLETE)),
    # 6.16: impossible bytes
    bad(b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"),
    # 6.17, 6.18, 6.19: longer than they need be
    bad(
        b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf",
        b"\xf8\x80\x80\x80\xaf", b"\xfc\x80\x80\x80\x80\xaf",
    ),
    bad(
        b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf",
        b"\xf8\x87\xbf\xbf\xbf", b"\xfc\x83\xbf\xbf\xbf\xbf",
    ),
    bad(
        b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80",
        b"\xf8\x80\x80\x80\x80", b"\xfc\x80\x80\x80\x80\x80",
    ),
    # 6.20, 6.21: UTF-16's surrogates, single and in pairs
    bad(*_HIGH, *_LOW),
    bad(*(high + low for high in _HIGH for low in (_LOW[0], _LOW[-1]))),
    # 6.22: characters that stand for no text, and are valid all the same
    good(*(chr(plane << 16 | last).encode() for plane in range(17) for last in (0xFFFE, 0xFFFF))),
    # 6.23: the specials
    good(*(chr(code).encode() for code in range(0xFFF9, 0x10000))),
]  # fmt: skip
