"""Caller: who publishes, as the headers of the request have it."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from courier.schemas.names import SERVICE_NAME_PATTERN
from courier.web import request_ids

HEADERS = (
    "X-Service-Name",
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "X-Request-ID",
    "traceparent",
)
"""What a `Caller` is made of, in its order."""

_SERVICE_NAME = re.compile(SERVICE_NAME_PATTERN.replace("$", r"\Z"))


class Caller(NamedTuple):
    """Who publishes, unjudged; None is a header that is not there."""

    service: str | None
    authorization: str | None
    content_type: str | None
    idempotency_key: str | None = None
    request_id: str | None = None
    traceparent: str | None = None
    trusted: bool = False
    """No header: it has been judged already, and needs no token, as the admin."""
    address: str | None = None
    """No header: where the peer's packets come from, which may be a proxy; None where there are none."""

    @classmethod
    def of(cls, header: Callable[[str], str | None], address: str | None = None) -> "Caller":
        """`header` gives a header by its name."""
        return cls._make([*map(header, HEADERS), False, address])

    @property
    def is_named(self) -> bool:
        """Whether `service` is a service's name."""
        return self.service is not None and _SERVICE_NAME.match(self.service) is not None

    def facts(self) -> dict[str, Any]:
        """What a line may tell of it. A name that is none may be anything, even a token."""
        named = {"source": self.service} if self.is_named else {}
        return named | request_ids.facts(self.request_id, self.traceparent)
