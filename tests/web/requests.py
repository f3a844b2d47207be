"""Requests: what a peer may send to publish, plain, odd or broken, as the dice have it."""

import json
import random
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import quote

from tests.web.heads import bent, one_by_one

EVENT_BYTES = 1024
"""How large an event may be on the servers that these are for."""
BATCH_BYTES = 1024 * 1024

LIVE = b"GET /health/live HTTP/1.1\r\nHost: t\r\n\r\n"
LAST = b"GET /health/live HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"


class Who(NamedTuple):
    """Who publishes, and to which channels, so that no two connections share what is compared."""

    service: str
    channels: tuple[str, str]
    bearer: str


class Case(NamedTuple):
    """What one connection sends, piece by piece."""

    seed: str
    pieces: tuple[bytes, ...]
    requests: int


def a_case(seed: str, who: Who, *, plain: bool = False) -> Case:
    """A connection of one to six requests; what comes of the last may be left open."""
    dice = random.Random(seed)
    places = range(dice.choice([1, 1, 2, 3, 4, 6]))
    requests = [a_request(dice, who, f"{seed} {place}", plain=plain) for place in places]
    if dice.random() < 0.7:
        requests.append(LAST)
    count = len(requests)
    if dice.random() < 0.1:
        rests = [b"\r\n", b"garbage", b"\0" * 20, b"P", b"POST /publish", dice.randbytes(50)]
        requests.append(dice.choice(rests))
    return Case(seed, tuple(_cut(dice, requests)), count)


def _cut(dice: random.Random, requests: list[bytes]) -> list[bytes]:
    """Whole, in two to five pieces, or where heads, bodies and requests begin and end."""
    whole = b"".join(requests)
    match dice.randrange(4):
        case 0 | 1:
            return [whole]
        case 2:
            places = [dice.randrange(len(whole)) for _ in range(dice.randint(1, 4))]
        case _:
            places, start = [], 0
            for request in requests:
                head = request.find(b"\r\n\r\n") + 4
                inside = start + dice.randrange(len(request))
                places += dice.sample([start, start + head, start + head - 2, inside], dice.randint(0, 2))
                start += len(request)
    ends = [0, *sorted({place for place in places if 0 < place < len(whole)}), len(whole)]
    return [whole[begin:end] for begin, end in pairwise(ends)]


def a_request(dice: random.Random, who: Who, title: str, *, plain: bool) -> bytes:
    """One request: about half of them plain, so that pipelines are mixed."""
    if dice.random() < 0.12:
        return dice.choice([LIVE, LIVE, LAST, b"GET /nowhere HTTP/1.1\r\nHost: t\r\n\r\n", b"\r\n" + LIVE])
    first, second = (f"/publish/{quote(channel, safe=dice.choice(['', '@:+']))}" for channel in who.channels)
    path = dice.choice([first] * 5 + [second, "/publish"] * 2 + ["/publish/batch"] * 3)
    body = a_body(dice, who, path, title, odd=dice.random() < 0.3)
    lines = a_head(dice, who, path, body)
    if plain or dice.random() < 0.55:
        return b"\r\n".join(lines) + b"\r\n\r\n" + body
    if dice.random() < 0.15:
        body = chunked(dice, lines, body)
    if dice.random() < 0.1:
        body = dice.choice([body[:-1], body[:1], b"", body + b"x", body + b"\r\n", body + body])
    return dice.choice([b""] * 20 + [b"\r\n", b"\n", b"\r\n\r\n", b" ", b"\r"]) + bent(dice, lines) + body


def a_head(dice: random.Random, who: Who, path: str, body: bytes) -> list[bytes]:
    """The lines of a plain head, the request line first; of a stream's, when the body is lines."""
    lines = path == "/publish/batch" and body.endswith(b"}\n")
    headers = [
        b"Host: t",
        b"X-Service-Name: %b" % who.service.encode(),
        b"Content-Type: application/%b" % (b"x-ndjson" if lines else b"json"),
        b"Content-Length: %d" % len(body),
    ]
    if dice.random() < 0.9:
        headers.append(b"Authorization: Bearer %b" % who.bearer.encode())
    more = [b"Accept: */*", b"User-Agent: a (b; c)", b"Connection: keep-alive"]
    headers += dice.sample(more, dice.choice([0, 0, 1, 3]))
    if dice.random() < 0.3:
        headers.append(b"X-Request-ID: " + dice.choice([b"r-1", b"r 1", b"r" * 129, b'"r,1"']))
    if dice.random() < 0.2:
        headers.append(
            b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0" + dice.choice([b"1", b"x"])
        )
    dice.shuffle(headers)
    return [b"POST %b HTTP/1.1" % path.encode(), *headers]


def odd_requests(who: Who, title: str) -> list[bytes]:
    """A plain request with one thing that is odd, for each thing that is."""
    dice = random.Random(title)
    path = f"/publish/{who.channels[0]}"
    body = json.dumps(an_event(dice, who, title, odd=False)).encode()
    return [head + body for head in one_by_one(a_head(dice, who, path, body))]


def small_requests(who: Who) -> list[bytes]:
    """Ten of few bytes: plain ones, and one of each kind that is not."""
    channel, service = who.channels[0].encode(), who.service.encode()
    event = b'{"type":"system.service_status","source":"%b","service":"a","status":"down"}' % service
    envelope = b'{"channel":"%b","data":%b}' % (channel, event)
    head = b"Host: t\r\nX-Service-Name: %b\r\nContent-Type: application/json\r\n" % service

    def post(body: bytes, path: bytes = b"/publish/" + channel, more: bytes = b"") -> bytes:
        return b"POST %b HTTP/1.1\r\n%b%bContent-Length: %d\r\n\r\n%b" % (path, head, more, len(body), body)

    return [
        post(event),
        post(envelope, b"/publish"),
        post(b'{"events":[%b]}' % envelope, b"/publish/batch"),
        post(envelope, b"/publish") + post(b"{}"),
        LIVE + post(b"{}") + LIVE,
        post(b""),
        post(post(b"{}")),
        b"POST /publish HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
        % (head, len(envelope), envelope),
        post(event, more=b"Content-Length: 5\r\n"),
        post(event, more=b"Connection: close\r\n") + LIVE,
    ]


# Bodies


WRONG: list[dict[str, object]] = [
    {"source": "other"},
    {"severity": "odd"},
    {"type": "nope"},
    {"more": 1},
    {"title": None},
]
NOTHING = [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"NaN", b"\0", b"[" * 500, b'{"events":{}}']
CODINGS = [b"chunked"] * 5 + [b"Chunked", b"gzip, chunked", b"identity"]


def an_event(dice: random.Random, who: Who, title: str, *, odd: bool) -> dict[str, object]:
    event = {
        "type": "system.announcement",
        "source": who.service,
        "title": title,
        "message": dice.choice(["m", "é€", "a\r\n\r\nPOST /publish HTTP/1.1\r\n\r\n"]),
        "severity": "info",
    }
    return event | (dice.choice(WRONG) if odd and dice.random() < 0.3 else {})


def a_body(dice: random.Random, who: Who, path: str, title: str, *, odd: bool) -> bytes:
    """A body for the path; when odd, one that may be anything."""

    def item(number: int) -> object:
        channel = dice.choice([*who.channels, "nope"] if odd else who.channels)
        return {"channel": channel, "data": an_event(dice, who, f"{title}.{number}", odd=odd)}

    def as_json(value: object) -> bytes:
        return json.dumps(value, ensure_ascii=dice.random() < 0.5).encode()

    most = EVENT_BYTES
    if path == "/publish/batch":
        items = [item(number) for number in range(dice.choice([0, 1, 2, 5]))]
        text = as_json({"events": items})
        if odd and dice.random() < 0.3:
            return b"\n".join([*map(as_json, items), b""])
        if dice.random() < 0.05:
            most = BATCH_BYTES
    else:
        text = as_json(item(0) if path == "/publish" else an_event(dice, who, title, odd=odd))
    if not odd or dice.random() < 0.6:
        return text
    lines = [f"POST /publish/{who.channels[0]} HTTP/1.1", "Host: t", f"X-Service-Name: {who.service}"]
    lines += ["Content-Type: application/json", f"Content-Length: {len(text)}", "", ""]
    hidden = "\r\n".join(lines).encode() + text
    return dice.choice(
        [
            text.ljust(most),
            text.ljust(most + 1),
            b"\r\n\r\n" + text + b"\r\n\r\n",
            hidden,
            text + b"\r\n\r\n" + hidden,
            b"\r\n0\r\n\r\n" + hidden,
            text[: dice.randrange(len(text))],
            text + text,
            dice.choice(NOTHING),
        ]
    )


def chunked(dice: random.Random, lines: list[bytes], body: bytes) -> bytes:
    """The body in chunks, or said to be; the length may stay beside it."""
    if dice.random() < 0.7:
        lines[:] = [line for line in lines if not line.startswith(b"Content-Length")]
    lines.append(dice.choice([b"Transfer-Encoding: ", b"transfer-encoding:"]) + dice.choice(CODINGS))
    # In one: with more to read, an answer that needs no body may come first, and then ends the connection.
    sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    odd = [body, sent[:-2], sent.replace(b"\r\n", b"\n"), b"+" + sent, sent[:-2] + b"A: b\r\n\r\n"]
    return dice.choice([sent] * 5 + odd)
