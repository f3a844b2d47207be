"""Encoding: an event as the JSON that is sent."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_GIVEN_OTHERWISE = frozenset({"type", "source", "trace_id"})


def encode(event_type: str, source: str, data: Mapping[str, Any], trace_id: str | None) -> bytes:
    """The event as compact JSON in UTF-8; a datetime anywhere in it in ISO 8601.

    ValueError for a number that is not finite, a text that is not Unicode, a datetime without a zone, data
    that is nested too deeply, or a field in `data` that is given otherwise; TypeError for what JSON does not
    know.
    """
    if not _GIVEN_OTHERWISE.isdisjoint(data):
        raise ValueError("data has a field that is given otherwise: type, source or trace_id")
    event = {"type": event_type, "source": source, "timestamp": datetime.now(UTC), **data}
    if trace_id is not None:
        event["trace_id"] = trace_id
    try:
        return _encode(event).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"a text has the surrogate {error.object[error.start]!a}, which is no character"
        ) from None
    except RecursionError:
        raise ValueError("it is nested too deeply: Courier takes JSON of 200 levels") from None


def _iso(value: object) -> str:
    if not isinstance(value, datetime):
        raise TypeError(f"{type(value).__name__} is nothing that JSON knows")
    if value.tzinfo is None:
        raise ValueError("a datetime needs a zone")
    return value.isoformat()


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_iso).encode
