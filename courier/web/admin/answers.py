"""Answers: how the admin's JSON goes out."""

import json
from datetime import UTC, datetime
from typing import Any

from courier.web.answer import Answer

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def answer(body: dict[str, Any]) -> Answer:
    """200, as JSON."""
    return Answer(200, json.dumps(body, separators=(",", ":")).encode(), HEADERS)


def at(unix_seconds: float) -> str:
    """A moment in ISO 8601, UTC, to the millisecond."""
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
