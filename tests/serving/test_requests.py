"""Requests: a head is plain when it can be read in one way only."""

import pytest

from courier.serving.requests import Head, parse_head


def head(*lines: str, first: str = "POST /publish/global HTTP/1.1", host: str = "Host: t") -> Head | None:
    return parse_head("\r\n".join((first, host, *lines)).encode("latin-1"))


def test_a_plain_head_is_taken_apart() -> None:
    found = head("Content-Length: 12", "X-Name:  a b ", first="POST /a/b%7Cc?x=1&y=%20 HTTP/1.1")
    assert found is None  # the space at the end of a value
    found = head("Content-Length: 12", "X-Name:\ta b", first="POST /a/b%7Cc?x=1&y=%20 HTTP/1.1")
    assert found == Head(
        "POST", "/a/b%7Cc", "x=1&y=%20", {"host": "t", "content-length": "12", "x-name": "a b"}, 12
    )


def test_a_head_without_a_length_has_no_body() -> None:
    found = head(first="GET /health/live HTTP/1.1")
    assert found is not None
    assert found.body_bytes == 0


@pytest.mark.parametrize(
    "line",
    [
        "Connection: keep-alive",
        "connection: Keep-Alive",
        "Accept:",
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0)",
        'If-None-Match: "abc"',
        "Cookie: a=b; c=d",
    ],
)
def test_what_clients_send_is_plain(line: str) -> None:
    assert head(line) is not None


@pytest.mark.parametrize(
    "line",
    [
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
        "TE: trailers",
        "Trailer: X",
        "HTTP2-Settings: AAMAAABk",
        "Connection: close",
        "Connection: upgrade",  # without an Upgrade
        "Connection: X-A",
        "Content-Length: +5",
        "Content-Length: 5, 5",
        "Content-Length: 0x5",
        "Content-Length:",
        "Content-Length: 99999999",
        "Host: other",
        "A : b",
        "A\t: b",
        " A: b",
        "A: b\x00",
        "A: \xff",
        "A: b\rc",
        "no colon",
        "",
    ],
)
def test_what_could_be_read_in_two_ways_is_not_plain(line: str) -> None:
    assert head(line) is None


@pytest.mark.parametrize(
    "first",
    [
        "POST /a HTTP/1.0",
        "POST /a HTTP/1.1 ",
        "POST  /a HTTP/1.1",
        "post /a HTTP/1.1",
        "POST http://t/a HTTP/1.1",
        "POST a HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "POST /a#b HTTP/1.1",
        "POST /a b HTTP/1.1",
        "POST /\xe9 HTTP/1.1",
        "POST /a\x00 HTTP/1.1",
        "",
    ],
)
def test_an_odd_first_line_is_not_plain(first: str) -> None:
    assert head(first=first) is None


def test_a_head_needs_a_host() -> None:
    assert parse_head(b"GET / HTTP/1.1") is None
    assert parse_head(b"GET / HTTP/1.1\r\nHost:") is None


@pytest.mark.parametrize("options", ["Upgrade", "keep-alive, Upgrade", "upgrade,keep-alive"])
def test_an_upgrade_is_plain(options: str) -> None:
    found = head("Upgrade: websocket", f"Connection: {options}", first="GET /ws/global HTTP/1.1")
    assert found is not None
