"""Origins: web pages by the place that they come from, as a browser names it (RFC 6454)."""

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

_PORTS = {"http": 80, "https": 443}
_EXAMPLE = "origins such as https://app.example.com, without a path"


def parse_origin(value: str) -> str:
    """`value`, when a browser could send it; else ValueError that says what it must be, and how."""
    if "*" in value:
        raise ValueError("origins one by one, since * stands for nothing here")
    try:
        right = _as_sent(urlsplit(value))
    except ValueError:
        right = None
    if right is None:
        raise ValueError(_EXAMPLE)
    if right != value:
        raise ValueError(f"origins as a browser sends them, {right}")
    return value


def _as_sent(parts: SplitResult) -> str | None:
    """The origin of a URL (RFC 6454 section 6.2): lower case, ASCII, no implied port."""
    host = parts.hostname
    if not parts.scheme or not host or parts.username is not None or re.search(r"[\s,]", host):
        return None
    if parts.scheme not in _PORTS:  # of an app or an extension, which is as it says it is
        return f"{parts.scheme}://{parts.netloc}"
    port = parts.port
    written = "" if port in (None, _PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{_host(host)}{written}"


def _host(host: str) -> str:
    if ":" in host:
        return f"[{ipaddress.IPv6Address(host).compressed}]"
    if host.isascii():
        return host
    import idna  # only few have such a name

    return idna.encode(host, uts46=True).decode()
