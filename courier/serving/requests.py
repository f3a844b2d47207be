"""Requests: the strict reading of plain HTTP/1.1 requests, and answers as bytes.

A request is plain when it can be read in one way only. Whatever is not plain is left to a full HTTP
implementation, as the bytes that came.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

MAX_HEAD_BYTES = 8192
"""A longer head is not plain; a browser's head with a token in its path is shorter than that."""

REQUEST_SECONDS = 30.0
"""How long a request, or its body, may take to come."""

END_OF_HEAD = b"\r\n\r\n"

# RFC 9112, 3 and 5, less what is allowed and never sent: absolute targets, folded lines, space before the
# colon, control characters and bytes beyond ASCII. The target is RFC 3986's path and query (3.3 and 3.4).
_REQUEST_LINE = re.compile(
    r"([A-Z]{1,16}) (/[A-Za-z0-9._~!$&'()*+,;=:@%/|-]*)(?:\?([A-Za-z0-9._~!$&'()*+,;=:@%/?|-]*))?"
    r" HTTP/1\.1(?=\r\n|\Z)"
)
_HEADER = re.compile(
    r"\r\n([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?|)(?=\r\n|\Z)"
)

_CHANGES_FRAMING = frozenset({"transfer-encoding", "expect", "te", "trailer", "http2-settings"})
"""Headers that would change how the request is to be read."""


class Head(NamedTuple):
    """A plain request, but for its body."""

    method: str
    path: str
    """As it was sent, escapes included."""
    query: str
    """Without the question mark; empty where there is none."""
    headers: Mapping[str, str]
    """By lower-case name; none came twice."""
    body_bytes: int


def parse_head(raw: bytes) -> Head | None:
    """The head from its first byte to its last header's, without `END_OF_HEAD`; None when it is not plain.

    Connections that are to be closed after the answer are not plain, so that a plain one always stays open.
    """
    if not raw.isascii():
        return None
    text = raw.decode("ascii")
    line = _REQUEST_LINE.match(text)
    if line is None:
        return None
    found = _HEADER.findall(text, line.end())
    headers = {name.lower(): value for name, value in found}
    if not text.count("\r\n") == len(found) == len(headers) or not headers.keys().isdisjoint(
        _CHANGES_FRAMING
    ):
        return None
    length = headers.get("content-length", "0")
    options = {option.strip().lower() for option in headers.get("connection", "").split(",")}
    upgrade = "upgrade" in headers
    if (
        not headers.get("host")
        or not (0 < len(length) < 8 and length.isdigit())
        or not options <= ({"", "keep-alive", "upgrade"} if upgrade else {"", "keep-alive"})
    ):
        return None
    return Head(line[1], line[2], line[3] or "", headers, int(length))


def may_become_plain(begun: bytes) -> bool:
    """Whether a plain head may begin so, of which the end has not come. A full implementation answers some
    of the others before they end."""
    if not begun[:1].isupper():
        return begun == b"\r"  # of an empty line before it (RFC 9112, 2.2)
    return len(begun) < MAX_HEAD_BYTES and begun.count(b"\n") == begun.count(b"\r\n")
