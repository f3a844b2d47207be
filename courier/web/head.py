"""Head: refuses a request whose head can be read in two ways.

A proxy in front of Courier decides by the path and the headers that it reads, and Courier acts on its own
reading. Where the two could differ, the proxy's rules can be passed, and one message be taken for two. Pure:
bytes in, an error out.
"""

import re
from urllib.parse import unquote_plus

from courier.web.errors import HttpError

ONCE_HEADERS = frozenset(
    {
        b"authorization",
        b"content-type",
        b"idempotency-key",
        b"last-event-id",
        b"origin",
        b"traceparent",
        b"x-request-id",
        b"x-service-name",
    }
)
"""Headers that Courier reads and that hold one value. The server refuses two of one
(`courier.serving.headers`)."""

ONCE_PARAMETERS = frozenset(
    {"before", "events", "limit", "offset", "order", "search", "since", "sort", "token", "wait"}
)
"""Query parameters that Courier reads; others may come as often as they like."""

# "//", a dot segment, "%" that begins no escape, and an escape of "/" or of an unreserved character: one that
# stands for a character that needs none (RFC 3986, 2.3). `encodeURIComponent` writes none of these.
_TWO_WAYS = re.compile(
    rb"//|/\.\.?(?:/|\Z)|%(?![0-9A-Fa-f]{2})"
    rb"|%(?:2[DEFdef]|3[0-9]|[46][1-9A-Fa-f]|[57][0-9Aa]|5[Ff]|7[Ee])"
)

PATH_SENTENCE = (
    "Path must be in its plain form (RFC 3986 section 6.2.2): without //, without a segment . or .., and with"
    " escapes only where a character needs one, never for /"
)


def is_plain(path: bytes) -> bool:
    """Whether every reader takes the path, as it came and without its query, for the same one."""
    return _TWO_WAYS.search(path) is None


def check_path(path: bytes) -> None:
    """Raise 400 for a path, as it came, that is not plain."""
    if not is_plain(path):
        raise HttpError(400, PATH_SENTENCE)


def repeated_parameters(query: bytes) -> set[str]:
    """Which of `ONCE_PARAMETERS` came more than once."""
    if query.count(b"=") < 2:
        return set()
    names = [unquote_plus(part.partition("=")[0]) for part in query.decode("latin-1").split("&")]
    return {name for name in ONCE_PARAMETERS if names.count(name) > 1}


def check_query(query: bytes) -> None:
    """Raise 400 for a parameter that Courier reads and that came more than once."""
    if repeated := repeated_parameters(query):
        raise HttpError(400, f"Query parameter {min(repeated)} came more than once")
