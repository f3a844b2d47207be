"""WebSockets at the desk and on the general path: whatever bytes they get, all that can be seen is the same.

`COURIER_CASES=2000` opens more of them, and `COURIER_TEST_SEED=2` others.
"""

import json
import os
import random
import re
from collections.abc import Iterator

import pytest

from courier.serving.desk.websocket import Opcode
from courier.web import join as join_module
from tests.serving.desk.test_websocket import masked
from tests.web import ways
from tests.web.requests import Case
from tests.web.servers import announcement, token
from tests.web.test_join import expired
from tests.web.ways import SLOTS, Both, both_ways

SEED = os.environ.get("COURIER_TEST_SEED", "1")
CASES = int(os.environ.get("COURIER_CASES", "160"))

MASKED = re.compile(rb'("(?:connection_id|position|requested|resumed_from)":")\w+|("seconds_left":)\d+')
SAID_BY_THE_SERVER = {1002, 1007}
"""Close codes whose reason is the server's own sentence."""


def handshake(dice: random.Random, user: str) -> bytes:
    """Most are plain and good; of the others each has something that is odd or wrong."""
    bearer = token(user)
    channel = dice.choice(
        [f"user.{user}"] * 6 + ["global", "global", "user.other", "nonsense", "", "user..a"]
    )
    query = f"?token={bearer}"
    headers = ["Host: t", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    headers += ["Connection: " + dice.choice(["Upgrade", "keep-alive, Upgrade"])]
    headers += ["Sec-WebSocket-Key: " + dice.choice(["dGhlIHNhbXBsZSBub25jZQ=="] * 20 + ["short"])]
    offers = dice.choice(["courier.v1"] * 3 + ["", "courier.plain", "courier.plain, courier.v1", "chat"])
    match dice.randrange(12):
        case 0:
            query = dice.choice(["", f"?token={expired()}", "?token=junk", f"{query}&token=a"])
        case 1:
            query, headers = "", [*headers, f"Authorization: Bearer {bearer}"]
        case 2:
            query, offers = "", f"{offers or 'courier.v1'}, courier.bearer.{bearer}"
        case 3:
            since = dice.choice(["abcdefgh-3", "junk", "2020-01-01T00:00:00Z", "00000000-0", "", "1&since=2"])
            query += f"&since={since}"
        case 4:
            headers.append(
                dice.choice(["Origin: https://a.example", "X-Request-ID: r-1", "Cookie: a=b; c=d"])
            )
        case 5:
            headers.append("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
        case 6:
            headers.append(
                dice.choice(["Content-Length: 0", "X-Odd: \x7f", "Origin: a", "Sec-WebSocket-Key: b"])
            )
    if offers:
        headers.append(f"Sec-WebSocket-Protocol: {offers}")
    dice.shuffle(headers)
    return "\r\n".join([f"GET /ws/{channel}{query} HTTP/1.1", *headers, "\r\n"]).encode("latin-1")


def harmless(dice: random.Random) -> bytes:
    """What a peer may say, and say more: at most one answer is due."""
    texts = [b"ping"] * 4 + [b"hello", b"{}", b'{"type":"other"}', "grüße".encode(), b""]
    match dice.randrange(6):
        case 0 | 1 | 2:
            return masked(Opcode.TEXT, dice.choice(texts))
        case 3:
            return masked(Opcode.PONG, dice.randbytes(dice.choice([0, 5, 125])))
        case 4:
            return masked(Opcode.TEXT, b"pi", last=False) + masked(Opcode.CONTINUATION, b"ng")
        case _:
            return masked(Opcode.TEXT, b"x" * dice.choice([126, 60_000, 65_536])) + masked(Opcode.BINARY)


def consequential(dice: random.Random, user: str) -> bytes:
    """What is answered sooner or later than what stands beside it, or ends the connection."""
    refreshes = [token(user, exp=4_000_000_000)] * 3 + [token("other"), expired(), "junk", ""]
    codes = [code.to_bytes(2, "big") for code in (1000, 1001, 4000, 1005, 999, 2999)]
    match dice.randrange(5):
        case 0:
            return masked(Opcode.PING, dice.randbytes(dice.choice([0, 5, 125])))
        case 1 | 2:
            refresh = {"type": "courier.refresh", "token": dice.choice(refreshes)}
            return masked(dice.choice([Opcode.TEXT, Opcode.BINARY]), json.dumps(refresh).encode())
        case 3:
            closes = [b"", b"\x03", dice.choice(codes), dice.choice(codes) + b"their reason"]
            return masked(Opcode.CLOSE, dice.choice(closes))
        case _:
            unmasked, unknown, odd = b"\x81\x05hello", masked(3), masked(Opcode.TEXT, b"\xff")
            stray, long = masked(Opcode.CONTINUATION, b"more"), masked(Opcode.TEXT, b"x" * 65_537)
            return dice.choice([unmasked, unknown, odd, stray, long])


def a_websocket(seed: str, user: str) -> Case:
    """A handshake, and what is said on it, with nothing in the turns in which others publish."""
    dice = random.Random(seed)
    said = [handshake(dice, user)]
    for _ in range(dice.randint(0, 5)):
        if dice.random() < 0.4:
            said.append(consequential(dice, user))
            continue
        piece = b"".join(harmless(dice) for _ in range(dice.choice([1, 1, 1, 2, 3])))
        place = dice.choice([0, 0, 0, dice.randrange(len(piece))])
        said += [piece[:place], piece[place:]] if place else [piece]
    return Case(seed, tuple(piece for each in said for piece in (each, b"")), 1)


def a_publisher(seed: str, user: str, turns: int) -> Case:
    """Publishes what the WebSocket beside it may hear, in the turns in which that says nothing."""
    dice = random.Random(f"{seed} events")
    pieces: list[bytes] = []
    for turn in range(turns // 2):
        body = json.dumps(announcement(f"{seed} {turn}")).encode()
        shared = ["global"] * (user == "u0")  # of one publisher, so that it has one order
        channel = dice.choice([f"user.{user}"] * 2 + shared)
        head = f"POST /publish/{channel} HTTP/1.1\r\nHost: t\r\nX-Service-Name: tests\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        pieces += [b"", head.encode() + body if dice.random() < 0.7 else b""]
    return Case(seed, tuple(pieces), 1)


def frames(data: bytes) -> Iterator[bytes]:
    """The server's frames; of a close whose reason is the server's own, the code alone."""
    while data:
        size, begin = data[1], 2
        if size >= 126:
            begin = 4 if size == 126 else 10
            size = int.from_bytes(data[2:begin], "big")
        payload = data[begin : begin + size]
        if data[0] == 0x88 and int.from_bytes(payload[:2], "big") in SAID_BY_THE_SERVER:
            payload = payload[:2]
        yield data[:1] + masked_out(payload)
        data = data[begin + size :]


def told(heard: list[bytes]) -> list[bytes]:
    """The head, and the frames after a 101; how the end of a connection looks hangs on when it comes."""
    whole = re.sub(rb"(the end|ConnectionResetError)+\Z", b"", b"".join(heard))
    head, end, rest = whole.partition(b"\r\n\r\n")
    head = ways.MASKED.sub(b"*", head + end)
    return [head, *frames(rest)] if b" 101 " in head else [head + masked_out(rest)]


def masked_out(payload: bytes) -> bytes:
    """What is said, less what is another thing each time."""
    return ways.MASKED.sub(b"*", MASKED.sub(rb"\1\2*", payload))


async def compare(both: Both, cases: list[Case]) -> None:
    both.capsys.readouterr()
    for start in range(0, len(cases), SLOTS):
        some = cases[start : start + SLOTS]
        seen = []
        for way in (both.short, both.long):
            heard = await way.talk(some, mask=False)
            way.count(both.capsys.readouterr().err)
            seen.append([told(each) for each in heard])
        for case, one, other in zip(some, *seen, strict=True):
            both.differ(one, other, f"seed {case.seed!r}, pieces {case.pieces!r}")
        if both.difference:
            return
    for name, one in both.short.figures().items():
        other = both.long.figures()[name]
        if isinstance(one, dict):
            same = one.items() & other.items()
            one, other = (
                {key: each[key] for key in each if (key, each[key]) not in same} for each in (one, other)
            )
        both.differ(one, other, name)


@pytest.mark.parametrize("origins", ["", "https://a.example"], ids=["any origin", "one origin"])
async def test_whatever_a_websocket_says_it_hears_what_it_would_on_the_general_path(
    origins: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = 0
    join = join_module.join_at_desk

    def count(*args: object) -> bool:
        nonlocal taken
        took: bool = join(*args)  # type: ignore[arg-type]
        taken += took
        return took

    monkeypatch.setattr("courier.web.application.join_at_desk", count)
    cases: list[Case] = []
    for number in range(CASES // 2):
        user, seed = f"u{number % SLOTS}", f"{SEED}-{origins}-{number}"
        websocket = a_websocket(seed, user)
        cases += [websocket, a_publisher(seed, user, len(websocket.pieces))]
    async with both_ways(monkeypatch, capsys, allowed_origins=origins) as both:
        await compare(both, cases)
    assert taken > CASES // 4, "little was compared"
