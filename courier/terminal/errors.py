"""What can go wrong at a terminal, and the exit code that a script sees.

| exit code | |
|---|---|
| 0 | all that was asked for was done |
| 1 | the node refused it, or ended the subscription |
| 2 | the command, a file or an event could not be read |
| 3 | there was no node, or it could not take the events in time |
| 4 | standard output could not be written |
| 130 | Ctrl-C |
"""

from typing import Any, ClassVar

import httpx


class Failed(Exception):
    """The command ends with `exit_code`; the text is one sentence for standard error."""

    exit_code: ClassVar[int] = 1


class Refused(Failed):
    """The node said no."""


class Unreadable(Failed):
    """What came in is not what was expected."""

    exit_code = 2


class Unreachable(Failed):
    """There is no node, or none that could do it now."""

    exit_code = 3


class Closed(Failed):
    """The node ended the subscription: `code` and `reason` as in the table of close codes. `channel`: that of
    one of several, where it was not the connection."""

    def __init__(
        self, code: int, reason: str, slot_seconds: float | None = None, channel: str | None = None
    ) -> None:
        what = "Closed" if channel is None else f"{channel} has ended"
        super().__init__(f"{what}: {code} {reason}".rstrip())
        self.code = code
        self.reason = reason
        self.slot_seconds = slot_seconds
        """After a drain: how long to wait before coming back."""


def refused(answer: httpx.Response) -> Refused | Unreachable:
    """The error for an answer that is none of the good ones: what the node said, in one line."""
    detail = detail_of(answer)
    sentence = describe(detail) if detail else "the answer is not one of Courier's"
    kind = Unreachable if answer.status_code in (429, 502, 503, 504) else Refused
    return kind(f"{answer.status_code} {sentence}")


_NO_FACTS = frozenset({"error", "status", "code", "validation_errors"})


def detail_of(answer: httpx.Response) -> dict[str, Any] | None:
    """What a refusal of Courier's says; None when it is somebody else's."""
    try:
        detail = answer.json()["detail"]
        describe(detail)
    except (ValueError, KeyError, TypeError):
        return None
    return dict(detail)


def describe(detail: dict[str, Any]) -> str:
    """An error's sentence with the facts beside it, and each fault of a schema as `field: what is wrong`."""
    faults = "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'event'}: {fault['msg']}"
        for fault in detail.get("validation_errors", ())
    )
    facts = ", ".join(f"{name} {value}" for name, value in detail.items() if name not in _NO_FACTS)
    sentence = f"{detail['error']} ({facts})" if facts else str(detail["error"])
    return f"{sentence}: {faults}" if faults else sentence
