"""Address: where a node is."""

import ssl
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Address:
    """A node's or a balancer's URL, taken apart."""

    url: str
    """`http://…` or `https://…`, without a slash at its end."""
    host: str
    port: int
    path: str
    """What stands before Courier's own paths, if it is not served at the root."""
    ssl_context: ssl.SSLContext | None = field(repr=False)
    """With https, whom to trust."""

    @classmethod
    def parse(cls, url: str, ssl_context: ssl.SSLContext | None = None) -> Self:
        """The address that `url` spells; ValueError when it is none."""
        parts = urlsplit(url.rstrip("/"))
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("expected the URL of a node, such as https://courier.example.org")
        try:
            parts.hostname.encode("idna")
        except UnicodeError:
            raise ValueError("the URL's host is no name that could be looked up") from None
        if parts.username is not None or parts.password is not None:
            raise ValueError("a node's URL holds no credentials: there is `token` for that")
        tls = parts.scheme == "https"
        context = (ssl_context or ssl.create_default_context()) if tls else None
        return cls(parts.geturl(), parts.hostname, parts.port or (443 if tls else 80), parts.path, context)

    @property
    def authority(self) -> str:
        """Host and port as the header `Host` has them (RFC 9110 section 7.2)."""
        return urlsplit(self.url).netloc
