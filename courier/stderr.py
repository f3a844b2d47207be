"""Standard error, which is never waited for: who reads it may be slow, and the event loop must turn."""

import io
import logging
import select
import sys
from os import write

CHUNK_BYTES = select.PIPE_BUF
"""What a pipe that says it takes bytes takes without waiting (POSIX, write): 4096 on Linux."""

PATIENCE_MS = 50
"""How long an error, or the rest of a line that was begun, may wait; nothing does once a line was lost."""


class StandardError(logging.Handler):
    """Writes each line at once, or not at all: a line that standard error does not take is lost, and counted.

    A pipe or a journal's socket holds some 64 to 200 KiB for a reader that is slow. Beyond that a write
    waits, and everything waits with it: a node whose log nobody reads would stop.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lost = 0
        self._cut = False
        self._stream = sys.stderr
        self._descriptor = _descriptor_of(self._stream)
        self._poll = select.poll()
        if self._descriptor is not None:
            self._poll.register(self._descriptor, select.POLLOUT)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + "\n"
            if self._descriptor is None:
                self._stream.write(line)
                self._stream.flush()
            elif not self._write(self._descriptor, line, urgent=record.levelno >= logging.ERROR):
                self.lost += 1
        except Exception:  # noqa: BLE001 - a line that cannot be made stops nothing
            self.lost += 1

    def _write(self, descriptor: int, line: str, *, urgent: bool) -> bool:
        rest = line.encode(errors="backslashreplace")
        if self._cut:
            rest = b"\n" + rest  # what is left of the one before stays a line of its own
        begun = False
        while rest:
            if not self._takes(PATIENCE_MS if (urgent or begun) and not self.lost else 0):
                self._cut = self._cut or begun
                return False
            try:
                rest = rest[write(descriptor, rest[:CHUNK_BYTES]) :]
            except OSError:  # nobody reads it any more, or it was made non-blocking
                self._cut = self._cut or begun
                return False
            begun, self._cut = True, False
        return True

    def _takes(self, patience_ms: int) -> bool:
        return any(event & select.POLLOUT for _, event in self._poll.poll(patience_ms))


def _descriptor_of(stream: object) -> int | None:
    """Where a stream writes to; None for one in memory."""
    try:
        return stream.fileno()  # type: ignore[attr-defined,no-any-return]
    except (AttributeError, io.UnsupportedOperation):
        return None
