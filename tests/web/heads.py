"""Heads: what may be odd or broken in the head of a request, one thing or two at a time."""

import random
from collections.abc import Iterator

TARGETS = [
    b"/publish/", b"/publish/nope", b"/publish/user.", b"/publish/%s?a=b", b"/publish/%s?", b"/publish/%s/",
    b"/publish/%s#a", b"//publish/%s", b"/publish//%s", b"http://t/publish/%s", b"/publish/%75ser.a", b"*",
    b"/publish/%s%00", b"/publish/..", b"/publish/.", b"/publish/batch/", b"/publish/batch?a", b"/publisher",
    b"/Publish/%s", b"/publish/user.a b", b"/publish/\xc3\xa9", b"t:80", b"/publish/%ff", b"/publish/batch.",
    b"/publish/user.a%7Cb", b"/publish/user.a@b:c+d|e~f", b"/publish/user.a%2Fb",
    b"/publish/user." + b"a" * 129, b"/publish/-", b"/", b"/publish/global.x", b"/health/live",
]  # fmt: skip
"""`%s` is the target that was."""
VERSIONS = [
    b"HTTP/1.0",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"HTTP/1.2",
    b"http/1.1",
    b"HTTP/1.1 ",
    b"",
    b"HTTP/11",
    b"HTTP/01.1",
]
METHODS = [b"GET", b"PUT", b"post", b"OPTIONS", b"POST ", b" POST", b"POSTPOST", b"P\0ST", b"DELETE", b"PRI"]
SPACES = [b"  ", b"\t", b"\x0c", b"\r", b"\n", b" \r\n "]
LENGTHS = [
    b"+%d", b"-%d", b"0x%x", b"%d, %d", b"%d,%d", b"%d_0", b"%d.0", b"0%d", b"00000000%d", b"", b" ", b"%d ",
    b"%d\t", b'"%d"', b"\xd9\xa5", b"%d;", b"99999999999999999999", b"x", b"%d a", b"\x0b%d", b"%d\0",
]  # fmt: skip
COMMON = [b"Connection: close", b"Expect: 100-continue", b"Transfer-Encoding: chunked", b"Content-Length: 5"]
FRAMING = [
    b"Connection: Close", b"Connection: keep-alive, close", b"Connection: X-A",
    b"Connection:", b"Connection: upgrade", b"expect: 100-Continue", b"Expect: x",
    b"Upgrade: h2c", b"Upgrade: websocket", b"HTTP2-Settings: AAMAAABk", b"TE: trailers", b"Trailer: A",
    b"Transfer-Encoding:", b"Transfer-Encoding: x", b"Transfer-Encoding : x",
    b"Transfer-Encoding : chunked", b"Transfer_Encoding: chunked", b"Keep-Alive: timeout=1",
    b"Proxy-Connection: close", b"Content-Length: 0", b"Content-Encoding: gzip",
]  # fmt: skip
OTHERS = [
    b"X-Service-Name: other", b"X_Service_Name: other", b"Host: other", b"Content-Type: application/x-ndjson",
    b"X-Forwarded-For: a", b"X-HTTP-Method-Override: GET", b"Cookie: a=b", b"Range: bytes=0-1", b"Date: x",
    b"A: \0", b"A: \xff", b"\xff: a", b"A: \x7f", b"A: a\tb", b"A: a\x01b", b"A:", b"A: ", b": a", b"a",
    b" a", b"A\0: b", b"A(b): c", b'"A": b', b"A\t: b", b"A: " + b"a" * 1100, b"A: " + b"a" * 8200,
    b"A: " + b"a" * 20_000,
]  # fmt: skip
VALUES = {
    b"X-Service-Name": [b"other", b"Tests", b"a b", b"a" * 65, b"\xc3\xa9", b"-", b"a,b", b"a\tb"],
    b"Content-Type": [
        b"application/x-ndjson", b"text/plain", b"Application/JSON", b"application/json; charset=utf-8",
        b"application/json;", b";", b"a,b",
    ],
    b"Authorization": [b"Bearer x", b"bearer x", b"Basic x", b"Bearer", b"Bearer  x", b"\xff", b"Bearer x y"],
}  # fmt: skip
COLONS = [b":", b":  ", b":\t", b" : ", b"\t: ", b" :", b":\r\n ", b": \r\n\t", b":\n ", b": \t "]
ENDS = [b"", b"", b" ", b"\t", b"\r", b"\r\n ", b"\r\n \r\n\t", b"\0"]
LINE_ENDS = [
    b"\n",
    b"\r",
    b"\r\r\n",
    b"\n\r",
    b"\r\n\n",
    b"\r\n\r\n",
    b"",
    b"\0\r\n",
    b"\x0b\r\n",
    b"\x85\r\n",
]


def _first(dice: random.Random, lines: list[bytes]) -> None:
    if not lines or not lines[0].startswith(b"POST /publish"):
        return
    method, target, version = lines[0].split(b" ", 2)
    match dice.randrange(5):
        case 0 | 1:
            target = dice.choice(TARGETS).replace(b"%s", target.removeprefix(b"/publish/"))
        case 2:
            version = dice.choice(VERSIONS)
        case 3:
            method = dice.choice(METHODS)
        case _:
            lines[0] = dice.choice(SPACES).join((method, target, version))
            return
    lines[0] = b" ".join((method, target, version))


def _length(dice: random.Random, lines: list[bytes]) -> None:
    for place, line in enumerate(lines):
        name, _, value = line.partition(b": ")
        if name == b"Content-Length" and value.isdigit():
            text = dice.choice(LENGTHS)
            lines[place] = name + b": " + text % ((int(value),) * text.count(b"%"))
            if dice.random() < 0.3:
                lines.insert(place, line)
            return


def _value(dice: random.Random, lines: list[bytes]) -> None:
    name = dice.choice(sorted(VALUES))
    value = dice.choice(VALUES[name])
    lines[:] = [name + b": " + value if line.startswith(name) else line for line in lines]


def _other(dice: random.Random, lines: list[bytes]) -> None:
    lines.insert(dice.randint(1, len(lines) or 1), dice.choice(dice.choice([COMMON, FRAMING, OTHERS])))


def _without(dice: random.Random, lines: list[bytes]) -> None:
    if lines:
        del lines[dice.randrange(len(lines))]


def _twice(dice: random.Random, lines: list[bytes]) -> None:
    line = dice.choice(lines[1:] or [b"A: b"])
    again = dice.choice([line, line.lower(), line.upper(), line + b"0"])
    lines.insert(dice.randint(1, len(lines) or 1), again)


def _spelled(dice: random.Random, lines: list[bytes]) -> None:
    place = dice.randrange(len(lines) or 1)
    if not lines or b": " not in lines[place]:
        return
    name, _, value = lines[place].partition(b": ")
    name = dice.choice([name, name.lower(), name.upper(), name.swapcase()])
    lines[place] = name + dice.choice(COLONS) + value + dice.choice(ENDS)


CHANGES = [_first, _length, _value, _other, _spelled] * 2 + [_other, _without, _twice]


def bent(dice: random.Random, lines: list[bytes]) -> bytes:
    """The whole head, changed in up to two of its lines, and perhaps in a line end or a byte."""
    for change in dice.choices(CHANGES, k=dice.choice([0, 1, 1, 1, 1, 2])):
        change(dice, lines)
    head = b"\r\n".join(lines) + b"\r\n\r\n"
    place = dice.randrange(len(head))
    end = head.find(b"\r\n", place)
    match dice.randrange(14):
        case 0 | 1 if end >= 0:
            return head[:end] + dice.choice(LINE_ENDS) + head[end + 2 :]
        case 2:
            return head.replace(b"\r\n", dice.choice([b"\n", b"\r", b"\r\r\n"]))
        case 3:
            return (
                head[:place] + dice.choice([b"", dice.randbytes(1), b"\0", b"\n", b" "]) + head[place + 1 :]
            )
        case _:
            return head


def one_by_one(lines: list[bytes]) -> Iterator[bytes]:
    """Every way to be odd that there is above, each alone, in a head that is plain otherwise."""
    method, target, version = lines[0].split(b" ", 2)
    firsts = [b" ".join((method, odd.replace(b"%s", target[9:]), version)) for odd in TARGETS]
    firsts += [b" ".join((method, target, odd)) for odd in VERSIONS]
    firsts += [b" ".join((odd, target, version)) for odd in METHODS]
    firsts += [space.join((method, target, version)) for space in SPACES]
    heads = [[first, *lines[1:]] for first in firsts]
    heads += [[*lines, line] for line in COMMON + FRAMING + OTHERS]
    for place, line in enumerate(lines[1:], 1):
        before, after = lines[:place], lines[place + 1 :]
        name, _, value = line.partition(b": ")
        lengths = [text % ((int(value),) * text.count(b"%")) for text in LENGTHS if value.isdigit()]
        odd = [name + b": " + other for other in VALUES.get(name, lengths)]
        odd += [name + colon + value for colon in COLONS] + [line + end for end in ENDS]
        heads += [before + after, *([*before, one, *after] for one in odd)]
        heads += [[*before, line, again, *after] for again in (line, line.lower(), line + b"0")]
    yield from (b"\r\n".join(head) + b"\r\n\r\n" for head in heads)
    head = b"\r\n".join(lines) + b"\r\n\r\n"
    for place in range(len(head)):
        if head.startswith(b"\r\n", place):
            yield from (head[:place] + end + head[place + 2 :] for end in LINE_ENDS)
