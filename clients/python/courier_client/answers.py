"""Answers: what the body of an HTTP answer says of the events that were sent."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from courier_client.errors import Refused, kind_of_refusal
from courier_client.receipt import Receipt

_NO_ANSWER = "The answer is not one of Courier's"


@dataclass(frozen=True, slots=True)
class Failure:
    """A refusal, of one event or of a whole request, as it was answered."""

    status: int
    error: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    retry_after: float | None = None

    @property
    def passes(self) -> bool:
        """Whether the same event may be accepted later. Not 500: what crashed a channel would do so again."""
        return self.status in (408, 425, 429, 502, 503, 504)

    @property
    def unknown(self) -> bool:
        """Whether the event may be published in spite of it."""
        return self.status >= 500 or self.status < 300

    def error_for(self, channel: str, event_type: str, *, unknown: bool) -> Refused:
        """The error of one event that it concerns."""
        return kind_of_refusal(self.status, self.facts)(
            self.status,
            self.error,
            self.facts,
            channel=channel,
            event_type=event_type,
            unknown=unknown,
            retry_after=self.retry_after,
        )


Result = Receipt | Failure

_NOTHING: Mapping[str, Any] = {}


def read_single(status: int, headers: Mapping[str, str], body: bytes, now: float) -> Result:
    """What became of one event that was sent alone; `now` is the time of day, in Unix seconds."""
    said = _object(body)
    if status != 200:
        return _failure(status, headers, said, now)
    try:
        return Receipt.of(said)
    except (KeyError, TypeError, ValueError):
        return Failure(status, _NO_ANSWER)


def read_batch(
    status: int, headers: Mapping[str, str], body: bytes, now: float, events: int
) -> Sequence[Result] | Failure:
    """A result for each of so many events, in order; or the failure of all."""
    said = _object(body)
    if status != 200:
        return _failure(status, headers, said, now)
    results = said.get("results")
    if not isinstance(results, list) or len(results) != events:
        return Failure(status, _NO_ANSWER)
    try:
        return [_result(one) for one in results]
    except (KeyError, TypeError, ValueError, AttributeError):
        return Failure(status, _NO_ANSWER)


def _result(said: dict[str, Any]) -> Result:
    if said["status"] == "published":
        return Receipt.of(said)
    facts = {name: value for name, value in said.items() if name not in ("status", "code", "error")}
    return Failure(said["code"], said["error"], facts)


def _failure(status: int, headers: Mapping[str, str], said: Mapping[str, Any], now: float) -> Failure:
    detail = said.get("detail")
    facts = dict(detail) if isinstance(detail, dict) else {}
    error = str(facts.pop("error", _NO_ANSWER))
    return Failure(status, error, facts, _retry_after(status, headers, now))


def _retry_after(status: int, headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, by `Retry-After` (RFC 9110 section 10.2.3, as a number), else by the rate's window."""
    try:
        if "Retry-After" in headers:
            return max(0.0, float(headers["Retry-After"]))
        if status == 429:
            return max(0.0, float(headers["X-RateLimit-Reset"]) - now)
    except (KeyError, ValueError):
        pass  # a date, or what somebody else calls so
    return None


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        said = json.loads(body)
    except ValueError:
        return _NOTHING
    return said if isinstance(said, dict) else _NOTHING
