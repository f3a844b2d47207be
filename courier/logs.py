"""Logs: one line an event on standard error, as JSON for machines or as text for people."""

import logging
import math
import re
import sys
import time
from collections.abc import Mapping
from typing import Any, Literal

import structlog
import trio
from structlog.typing import EventDict, Processor, WrappedLogger

from courier.floods import Floods, Kind
from courier.stderr import StandardError
from courier.visible import visible

SERVICE = "courier"
MASK = "**********"

ACCESS = "hypercorn.access"

_OWN_HANDLERS = ("hypercorn.error", ACCESS, "quart.app", "quart.serving")
"""Loggers whose libraries bring handlers along, which would write each line a second time."""

_QUIET = ("httpx", "httpcore")
"""Libraries that log, at info, every request they make with its URL."""

SWEEP_SECONDS = 1.0
LEFT_OUT = "Similar lines left out"
_ADMITTED = "courier_admitted"

_TOKEN = re.compile(
    r"""(?<=[?&]token=)[^&\s"']+
    | (?<=courier\.bearer\.)[\w.~+/=-]+
    | \bey[\w-]{8,}\.[\w-]+\.[\w-]*""",
    re.VERBOSE,
)
"""A token where one may come in a request, and a JWT wherever it stands (RFC 7519 section 3.1)."""

_TOKEN_MARKS = ("ey", "token=", "courier.bearer.")


def masked(text: str) -> str:
    """The text without the tokens in it."""
    # To look for what each of them has costs a hundredth of the expression, which tries every character.
    return _TOKEN.sub(MASK, text) if any(mark in text for mark in _TOKEN_MARKS) else text


class Logger(structlog.stdlib.BoundLogger):
    """structlog's, but that it asks first whether the line is to be written: one that is not costs little."""

    def _proxy_to_logger(self, method_name: str, event: str | None = None, *args: Any, **facts: Any) -> None:
        level = _LEVELS[method_name]
        if self._logger.isEnabledFor(level) and _is_admitted(self._logger.name, event or "", level, facts):
            super()._proxy_to_logger(method_name, event, *args, **facts)


def get_logger(name: str) -> Logger:
    """A logger that takes a constant sentence and its facts: `logger.info("Drained", closed=3)`."""
    logger: Logger = structlog.get_logger(name)
    return logger


def configure_logging(level: str, log_format: Literal["json", "console"]) -> None:
    """Send all that this process logs at `level` and above to standard error, each line once, tokens masked.

    A line of JSON has `timestamp`, `level`, `service`, `logger`, `message` and the facts as fields of their
    own; a traceback is the fact `exception`. Calling it again replaces what was. Hypercorn gives its loggers
    new handlers when it starts, unless its `errorlog` and `accesslog` are `logging.Logger` objects.
    """
    global _floods, _handler
    _floods = Floods()
    _handler = handler = StandardError()
    handler.addFilter(admits)
    rendering = _json() if log_format == "json" else _console()
    handler.setFormatter(_Formatter(foreign_pre_chain=_GATHERING, processors=rendering))
    logging.getLogger().handlers = [handler]
    for name in _OWN_HANDLERS:
        library = logging.getLogger(name)
        library.handlers = []
        library.propagate = True
        library.setLevel(logging.NOTSET)
    set_level(level)
    logging.captureWarnings(capture=True)


def set_level(level: str) -> None:
    """Log at `level` and above from now on."""
    root = logging.getLogger()
    # At debug libraries tell what passes through them, payloads and tokens too: that level is ours alone.
    root.setLevel("INFO" if level == "debug" else level.upper())
    logging.getLogger(SERVICE).setLevel(level.upper() if level == "debug" else logging.NOTSET)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


async def tell_of_floods() -> None:
    """Look every second, for ever, for what `tell_what_was_left_out` has to tell."""
    while True:
        await trio.sleep(SWEEP_SECONDS)
        tell_what_was_left_out(time.monotonic())


def tell_what_was_left_out(now: float = math.inf) -> None:
    """Say how many lines floods had beyond those that were written, in the windows that are over by now (at
    the end: in all), and how many standard error did not take."""
    for (name, message, reason), level, lines in _floods.due(now):
        facts = {"reason": reason} if reason else {}
        structlog.stdlib.get_logger(name).log(level, LEFT_OUT, of=message, **facts, lines=lines)
    lost = _handler.lost
    if lost:
        logger.warning("Lines lost", lines=lost)
        if _handler.lost == lost:  # it has taken this one
            _handler.lost = 0


def _is_admitted(name: str, message: str, level: int, facts: Mapping[str, Any]) -> bool:
    """Whether a flood lets one of our own lines through."""
    kind = Kind(name, message, str(facts.get("reason", "")))
    return message == LEFT_OUT or _floods.admit(kind, level, time.monotonic())


def admits(record: logging.LogRecord) -> bool:
    """Whether a flood lets the line through. One of a library is judged here, when the first handler asks, by
    what it is before its facts are put in."""
    if isinstance(record.msg, dict) or record.name == ACCESS:
        return True  # one of ours, and so admitted already; or a line a request, which was asked for
    if not hasattr(record, _ADMITTED):
        kind = Kind(record.name, str(record.msg))
        setattr(record, _ADMITTED, _floods.admit(kind, record.levelno, time.monotonic()))
    admitted: bool = getattr(record, _ADMITTED)
    return admitted


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """The last place that a line passes, and so the one that can promise that no token leaves."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


def _arrange(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """What every line has comes first, in one order; a fact of the same name is kept with a `_` behind it."""
    first = {
        "timestamp": line.pop("timestamp"),
        "level": line.pop("level"),
        "service": SERVICE,
        "logger": line.pop("logger"),
        "message": line.pop("event"),
    }
    return first | {f"{key}_" if key in first else key: value for key, value in line.items()}


def _show(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """Facts are texts of others: none may move a terminal's cursor. JSON escapes them by itself."""
    for key, value in line.items():
        if isinstance(value, str):
            line[key] = visible(value, keep="\n\t" if key == "exception" else "")
    return line


def _json() -> list[Processor]:
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        _arrange,
        structlog.processors.JSONRenderer(),
    ]


def _console() -> list[Processor]:
    # Not the default traceback: it shows local variables, and one of them may be a secret.
    plain = structlog.dev.plain_traceback
    return [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.format_exc_info,
        _show,
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain),
    ]


_GATHERING: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

_LEVELS = {name.lower(): level for name, level in logging.getLevelNamesMapping().items()}

_floods = Floods()
_handler = StandardError()

# Neither level nor format changes this, so loggers may keep what they were made with.
structlog.configure(
    processors=[
        *_GATHERING,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=Logger,
    cache_logger_on_first_use=True,
)

logger = get_logger(__name__)
