"""Times: moments as text."""

from datetime import UTC, datetime
from functools import lru_cache


def iso(milliseconds: int) -> str:
    """ISO 8601 in UTC."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=8)
def _second(seconds: int) -> str:
    """Many events arrive in one second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
