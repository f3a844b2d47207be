"""Errors: one table that says which HTTP answer, and which close code, every error becomes."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from courier.actors.errors import ChannelFailed, Draining, NodeFull, Refused, TooManyChannels
from courier.backplane import BackplaneAway, BackplaneRefused, DiskRefused, InboxFull, KeyConflict
from courier.schemas.channels import UnknownChannelError
from courier.schemas.closing import CloseReason
from courier.schemas.errors import JsonError, SchemaError, TooManyEvents
from courier.web.access import AccessRefused, AccessUnknown
from courier.web.auth import (
    AuthError,
    ClaimInvalid,
    KeysUnavailable,
    TokenExpired,
    TokenMissing,
    TokenRevoked,
)

FIELDS_SHOWN = 5
"""How many of an event's wrong fields a cause tells."""

RETRY_AFTER = {"Retry-After": "1"}


class HttpError(Exception):
    """A refusal in HTTP's words, raised where only HTTP is spoken."""

    def __init__(
        self, status: int, error: str, headers: dict[str, str] | None = None, why: str = "", **facts: Any
    ) -> None:
        super().__init__(error)
        self.status = status
        self.why = why
        """For operators, beside what the caller is told."""
        self.error = error
        self.headers = headers or {}
        self.facts = facts


class JoinRefused(Exception):
    """A refusal in the WebSocket's words, raised where only a join is spoken of."""

    def __init__(self, reason: CloseReason, why: str = "") -> None:
        super().__init__(why)
        self.reason = reason


class ErrorAnswer(NamedTuple):
    """What an HTTP caller is told: goes into `{"detail": {"error": …, **facts}}`."""

    status: int
    error: str
    facts: Mapping[str, Any] = MappingProxyType({})
    headers: Mapping[str, str] = MappingProxyType({})


def nothing_here() -> HttpError:
    """The answer at a path that is none of ours."""
    return HttpError(404, "There is nothing at this path")


def another_method() -> HttpError:
    """The answer to a method that a path does not take."""
    return HttpError(405, "This path takes another method")


REVOKED = "Token revoked"


def http_answer(error: Exception) -> ErrorAnswer:
    """The HTTP answer for an error; one that the table does not know is a fault of ours, 500."""
    match error:
        case HttpError():
            return ErrorAnswer(error.status, error.error, error.facts, error.headers)
        case Draining():
            return ErrorAnswer(503, "Node is draining; publish to another one", headers=RETRY_AFTER)
        case TokenMissing():
            return ErrorAnswer(401, "Service token required", headers={"WWW-Authenticate": "Bearer"})
        case KeysUnavailable():
            return ErrorAnswer(503, "Verification keys are temporarily unavailable", headers=RETRY_AFTER)
        case TokenRevoked():
            return ErrorAnswer(401, REVOKED, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        case AuthError():
            expired = isinstance(error, TokenExpired)
            return ErrorAnswer(
                401,
                "Service token expired" if expired else "Invalid service token",
                cause_for_bearer(error),
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
            )
        case TooManyEvents():
            return ErrorAnswer(413, str(error))
        case JsonError() | UnknownChannelError():
            return ErrorAnswer(400, str(error))
        case SchemaError():
            return ErrorAnswer(400, "Invalid event schema", {"validation_errors": error.errors})
        case KeyConflict():
            return ErrorAnswer(409, "Idempotency-Key was used for another event of this channel")
        case DiskRefused():
            return ErrorAnswer(503, f"Log cannot be used: {error}; try again later", headers=RETRY_AFTER)
        case BackplaneRefused():
            return ErrorAnswer(503, f"Redis refused {error}; try again later", headers=RETRY_AFTER)
        case BackplaneAway():
            return ErrorAnswer(503, "Redis unreachable; try again later", headers=RETRY_AFTER)
        case InboxFull():
            return ErrorAnswer(503, "Channel's inbox is full; try again later", headers=RETRY_AFTER)
        case TooManyChannels():
            return ErrorAnswer(
                503, "Node has no room for another channel; try again later", headers=RETRY_AFTER
            )
        case NodeFull():
            return ErrorAnswer(
                503, "Node has no room for another connection; try again later", headers=RETRY_AFTER
            )
        case ChannelFailed():
            return ErrorAnswer(500, "Channel failed before the event was in its log; publish it again")
        case _:
            return ErrorAnswer(500, "Internal error")


def close_reason(error: Exception) -> CloseReason:
    """The close for an error at a join; one that the table does not know is a fault of ours."""
    match error:
        case JoinRefused():
            return error.reason
        case TokenMissing():
            return CloseReason.TOKEN_REQUIRED
        case TokenExpired():
            return CloseReason.TOKEN_EXPIRED
        case TokenRevoked():
            return CloseReason.TOKEN_REVOKED
        case KeysUnavailable() | AccessUnknown() | BackplaneAway() | Refused():
            return CloseReason.TRY_AGAIN_LATER
        case AuthError():
            return CloseReason.INVALID_TOKEN
        case UnknownChannelError():
            return CloseReason.UNKNOWN_CHANNEL
        case AccessRefused():
            return CloseReason.UNAUTHORIZED
        case _:
            return CloseReason.CHANNEL_FAILED


def cause_for_bearer(error: AuthError) -> dict[str, str]:
    """The fact `cause` of a 401, where it gives nothing away: the token was well signed."""
    return {"cause": str(error)} if isinstance(error, ClaimInvalid | TokenExpired) and str(error) else {}


def cause_of(error: Exception) -> str:
    """What exactly was wrong or at its limit, in the words of where it was found; empty where the answer's
    sentence says all. For the log and for operators: a caller may know less."""
    match error:
        case HttpError():
            numbers = (
                f"{name} {fact}" for name, fact in error.facts.items() if isinstance(fact, int | float)
            )
            return error.why or ", ".join(numbers) or _beyond(error.error)
        case SchemaError():
            shown = error.errors[:FIELDS_SHOWN]
            return "; ".join(f"{'.'.join(map(str, each['loc'])) or 'event'}: {each['msg']}" for each in shown)
        case JsonError() | UnknownChannelError() | TooManyEvents():
            return _beyond(str(error))
        case Draining():
            return "node is draining"
        case KeysUnavailable():
            return "verification keys cannot be fetched"
        case AccessUnknown():
            return str(error)
        case BackplaneAway():
            return str(error) or "Redis unreachable"
        case AuthError() | AccessRefused() | Refused() | InboxFull() | JoinRefused():
            return str(error)
        case _:
            return ""


def short(sentence: str) -> str:
    """The sentence up to its first comma, colon or bracket, behind which it tells of this one request."""
    return re.split(r"[,;:({]", sentence, maxsplit=1)[0].strip()


def _beyond(sentence: str) -> str:
    """The sentence, when it tells more than its short form, by which lines are counted."""
    return "" if short(sentence) == sentence else sentence
