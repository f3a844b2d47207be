"""Errors: what can go wrong, by what the caller can do about it.

CourierError
├── PublishError            one event has no receipt: .channel, .event_type, .unknown
│   ├── Refused             what was answered: .status, .error, .facts
│   │   ├── InvalidEvent    400: .errors says where and why
│   │   ├── Unauthorized    401: the token is missing, wrong or expired
│   │   ├── Conflict        409: its idempotency key was used for another event
│   │   ├── RateLimited     429, and to wait as told takes longer than there is time: .retry_after
│   │   └── Unavailable     502, 503 or 504, likewise
│   ├── PublishTimeout      its time is up
│   └── Unsendable          it was never sent: data, type or channel cannot be; a ValueError, too
├── NotAllPublished         some events of `publish_many`; an ExceptionGroup of theirs: .results
├── SubscriptionRefused     a close that says not to come back: .code, .reason
├── TokenFailed             the callable that gives tokens raised; its error is the cause
└── ClientClosed            the client's block has ended
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from courier_client.receipt import Receipt


class CourierError(Exception):
    """The root of all errors of this package, except for the wrong use of it."""


class PublishError(CourierError):
    """One event has no receipt. `unknown`: it may be published all the same."""

    def __init__(self, sentence: str, *, channel: str, event_type: str, unknown: bool) -> None:
        super().__init__(sentence)
        self.channel = channel
        self.event_type = event_type
        self.unknown = unknown


class Refused(PublishError):
    """The answer was a refusal: its status, its sentence, and the facts that it gave beside that."""

    def __init__(
        self,
        status: int,
        error: str,
        facts: Mapping[str, Any] | None = None,
        *,
        channel: str = "",
        event_type: str = "",
        unknown: bool = False,
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.error = error
        self.facts = dict(facts or {})
        self.retry_after = retry_after
        """Seconds to wait, where the answer said so."""
        super().__init__(self._sentence(), channel=channel, event_type=event_type, unknown=unknown)

    def _sentence(self) -> str:
        told = ", ".join(f"{name} {value}" for name, value in self.facts.items())
        return f"{self.status} {self.error}" + (f" ({told})" if told else "")


class InvalidEvent(Refused):
    """The event does not fit its schema."""

    @property
    def errors(self) -> list[dict[str, Any]]:
        """Each fault: `loc`, the path to the field; `msg`, a sentence; `type`, a word for programs."""
        faults = self.facts.get("validation_errors")
        return [one for one in faults if isinstance(one, dict)] if isinstance(faults, list) else []

    def _sentence(self) -> str:
        lines = [f"{self.status} {self.error}"]
        for fault in self.errors:
            where = ".".join(str(step) for step in fault.get("loc", ()))
            lines.append(f"  {where or 'event'}: {fault.get('msg', '')}")
        return "\n".join(lines)


class Unauthorized(Refused):
    """The service's token is missing, wrong or expired; so was a fresh one, if there is a callable for it."""


class Conflict(Refused):
    """The idempotency key was used for another event of this channel."""


class RateLimited(Refused):
    """The service has published as much as it may; the event is not published."""


class Unavailable(Refused):
    """The server or what stands before it cannot publish at the moment."""


class PublishTimeout(PublishError):
    """The time for this event is up. The last fault, if there was one, is the cause.

    With `unknown` it was sent and may be published; without, it is not.
    """


class Unsendable(PublishError, ValueError):
    """The event was never sent: its data cannot be JSON, or its type or channel cannot be sent as text."""


class NotAllPublished(CourierError, ExceptionGroup[CourierError]):
    """Some events of a `publish_many` have no receipt.

    `results` has a receipt or an error for each, in order; `exceptions` are the errors alone.
    """

    results: "Sequence[Receipt | CourierError]"

    def __new__(cls, results: "Sequence[Receipt | CourierError]") -> Self:
        errors = [one for one in results if isinstance(one, CourierError)]
        self = super().__new__(cls, f"{len(errors)} of {len(results)} events have no receipt", errors)
        self.results = results
        return self

    def derive(self, excs: Sequence[Exception]) -> ExceptionGroup[Exception]:  # type: ignore[override]
        return ExceptionGroup(self.message, excs)


class SubscriptionRefused(CourierError):
    """The subscription was ended with a code that says not to come back; below 1000 it is an HTTP status."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class TokenFailed(CourierError):
    """The callable that gives tokens raised; its error is the cause."""


class ClientClosed(CourierError):
    """The client was closed before, or meanwhile."""


_BY_STATUS: dict[int, type[Refused]] = {
    401: Unauthorized,
    409: Conflict,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def kind_of_refusal(status: int, facts: Mapping[str, Any]) -> type[Refused]:
    """The class for an answer of this status."""
    if status == 400 and "validation_errors" in facts:
        return InvalidEvent
    return _BY_STATUS.get(status, Refused)
