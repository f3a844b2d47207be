"""Error reports: crashes, as Sentry gets them when `COURIER_SENTRY_DSN` is set.

A report is what a line at error or critical tells with its traceback, less all that could hold what is not
ours to give away: of the exceptions their types and where they were raised, never their texts, which may
quote an event; of the facts the channel's kind and the connection's id. The log has the rest.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any

import trio
from pydantic import SecretStr

from courier.logs import admits, get_logger
from courier.schemas.channels import Kinds, UnknownChannelError
from courier.version import VERSION

if TYPE_CHECKING:
    import sentry_sdk

FLUSH_SECONDS = 2.0
"""How long, at the end, what has not been sent yet may take."""

QUEUED = 100
"""How many reports wait to be sent; more are dropped."""

FRAMES = 100
EXCEPTIONS = 20
"""How much of a traceback, and of a group of exceptions, is told."""

logger = get_logger(__name__)


class ReportsUnavailable(Exception):
    """`COURIER_SENTRY_DSN` is set, and what it takes is not installed. The text is one sentence."""


def check_reports(dsn: SecretStr | None) -> None:
    """Raise `ReportsUnavailable` when reports are wanted and cannot be made."""
    if dsn is not None and find_spec("sentry_sdk") is None:
        raise ReportsUnavailable("COURIER_SENTRY_DSN needs Sentry's client: pip install sentry-sdk")


@asynccontextmanager
async def open_error_reports(dsn: SecretStr | None, environment: str, kinds: Kinds) -> AsyncIterator[None]:
    """For the length of a block, report what is logged at error and above with an exception; None: nothing.

    A thread of Sentry's client sends the reports. What it has not sent two seconds after the block's end is
    lost.
    """
    if dsn is None:
        yield
        return
    import sentry_sdk  # takes a fifth of a second

    client = sentry_sdk.Client(
        dsn.get_secret_value(),
        release=f"courier@{VERSION}",
        environment=environment,
        # Integrations patch libraries, and send requests, arguments and local variables along.
        default_integrations=False,
        auto_enabling_integrations=False,
        auto_session_tracking=False,
        max_breadcrumbs=0,
        include_local_variables=False,
        include_source_context=False,
        max_request_body_size="never",
        transport_queue_size=QUEUED,
    )
    handler = _Reports(client, kinds)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        with trio.CancelScope(shield=True):  # the client keeps to its time
            await trio.to_thread.run_sync(client.close, FLUSH_SECONDS)


class _Reports(logging.Handler):
    def __init__(self, client: "sentry_sdk.Client", kinds: Kinds) -> None:
        super().__init__(logging.ERROR)
        self._client = client
        self._kinds = kinds
        self.addFilter(admits)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line: dict[str, Any] = record.msg if isinstance(record.msg, dict) else {}
            error = line.get("exc_info") or (record.exc_info and record.exc_info[1])
            if isinstance(error, BaseException):
                self._client.capture_event(_report(record, line, error, self._kinds))
        except Exception as failure:  # noqa: BLE001 - a report that cannot be made stops nothing
            logger.warning("Error could not be reported", error=type(failure).__name__)


def _report(record: logging.LogRecord, line: dict[str, Any], error: BaseException, kinds: Kinds) -> Any:
    """What is sent of a line, of our own or of a library, whose facts `line` has."""
    connection = {"connection_id": line["connection_id"]} if "connection_id" in line else {}
    return {
        "level": "fatal" if record.levelno >= logging.CRITICAL else "error",
        "logger": record.name,
        "message": line.get("event", "A library has logged an error"),
        "tags": connection | _kind(line.get("channel"), kinds),
        "exception": {"values": list(_exceptions(error))},
    }


def _kind(channel: Any, kinds: Kinds) -> dict[str, str]:
    """What kind of channel it is: its id may be a user's."""
    try:
        return {"channel_kind": kinds.parse(channel).kind}
    except (UnknownChannelError, TypeError):
        return {}


def _exceptions(error: BaseException) -> Iterator[dict[str, Any]]:
    """The exception, last, after those that it came from or is made of (Sentry's exception interface)."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting and len(found) < EXCEPTIONS:
        one = waiting.pop()
        if one in found:
            continue
        found.append(one)
        inside = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        origin = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
        waiting += [*inside, *([] if origin is None else [origin])]
    for one in reversed(found):
        frames = list(_frames(one.__traceback__))
        yield {
            "type": type(one).__name__,
            "module": type(one).__module__,
            **({"stacktrace": {"frames": frames[-FRAMES:]}} if frames else {}),
        }


def _frames(traceback: TracebackType | None) -> Iterator[dict[str, Any]]:
    while traceback is not None:
        code, scope = traceback.tb_frame.f_code, traceback.tb_frame.f_globals
        module = str(scope.get("__name__", ""))
        yield {
            "module": module,
            "function": code.co_qualname,
            "filename": module.replace(".", "/") + ".py",
            "lineno": traceback.tb_lineno,
            "in_app": module.partition(".")[0] == "courier",
        }
        traceback = traceback.tb_next
