"""Headers: finds in a request's headers what two readers could take for two different requests."""

from collections.abc import Iterable

ONCE_HEADERS = frozenset(
    {b"content-length", b"host", b"sec-websocket-key", b"sec-websocket-version", b"transfer-encoding"}
)
"""Headers that a server reads and that hold one value: of two, each reader would take another one (RFC 9110,
5.3)."""


def fault_of(headers: Iterable[tuple[bytes, bytes]], once: frozenset[bytes]) -> str | None:
    """A sentence about headers of `once` that came twice, or about two framings of one body; None when
    nothing is wrong. All names are in lower case.

    A request with both Content-Length and Transfer-Encoding is how a message is smuggled past a proxy: its
    connection must not go on (RFC 9112, 6.1).
    """
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in once:
            if name in seen:
                return f"Header {name.decode().title()} came more than once"
            seen.add(name)
    if b"content-length" in seen and b"transfer-encoding" in seen:
        return "Request has both Content-Length and Transfer-Encoding"
    return None
