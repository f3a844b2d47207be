"""Lines: what comes from a file or a pipe, cut into events."""

import re
from typing import NamedTuple

from pydantic_core import from_json

from courier.schemas.names import SERVICE_NAME_PATTERN

LINE_BYTES = 16 * 1024 * 1024
"""How long a line may be, and a document of many lines. No node takes a larger event."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SOURCE = re.compile(SERVICE_NAME_PATTERN)


class Line(NamedTuple):
    """One event as it was written, and the line that it begins at, counted from 1."""

    number: int
    event: bytes
    source: str = ""
    error: str = ""
    """Why it cannot be sent."""


class Reader:
    """Cuts what comes into events: one JSON object a line, or all of it as one object over many lines.

    A line that cannot be read is a Line with an error, and changes nothing for the lines around it.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._number = 0
        self._skipping = False
        """The rest of a line that is too long."""
        self._judged = False
        """Whether a first line has said how events are written."""
        self._document: list[bytes] | None = None
        """The lines so far of an object that ends on another line than it began."""
        self._document_bytes = 0

    def feed(self, chunk: bytes) -> list[Line]:
        """The events that are whole now."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        lines = [line for text in whole for line in self._take(text)]
        if len(self._rest) > LINE_BYTES:
            if not self._skipping:
                lines.append(Line(self._number + 1, b"", error=f"Line is longer than {LINE_BYTES:,} bytes"))
            self._rest, self._skipping = b"", True
        return lines

    def rest(self) -> list[Line]:
        """At the end: the last line, or the document."""
        lines = self._take(self._rest) if self._rest or self._skipping else []
        if self._document is None:
            return lines
        document = b"\n".join(self._document)
        if _fault(document) and any(map(_is_object, self._document)):
            return self._by_line()
        return [_line(self._number - len(self._document) + 1, document)]

    def _take(self, text: bytes) -> list[Line]:
        """The events that end with this line."""
        self._number += 1
        if self._skipping:
            self._skipping = False
            return []
        if self._number == 1:
            text = text.removeprefix(_BYTE_ORDER_MARK)
        if self._document is not None:
            return self._go_on(self._document, text)
        if not text.strip():
            return []
        if not self._judged and _begins(text):
            self._document, self._document_bytes = [text], len(text)
            return []
        self._judged = True
        return [_line(self._number, text)]

    def _go_on(self, document: list[bytes], text: bytes) -> list[Line]:
        """Another line of the document. Where an object stands alone that cannot be a part of it, the first
        line was a broken one, and no document."""
        document.append(text)
        self._document_bytes += len(text) + 1
        if self._document_bytes > LINE_BYTES or (_is_object(text) and not _begins(b"\n".join(document))):
            return self._by_line()
        return []

    def _by_line(self) -> list[Line]:
        """What was taken for a document, each line by itself."""
        texts, self._document, self._judged = self._document or [], None, True
        first = self._number - len(texts) + 1
        return [_line(number, text) for number, text in enumerate(texts, first) if text.strip()]


def _fault(text: bytes) -> str:
    """Why this is no JSON, in the words of the parser that nodes have; nothing when it is."""
    try:
        from_json(text, allow_inf_nan=False)
    except ValueError as error:
        return str(error)
    return ""


def _begins(text: bytes) -> bool:
    """Whether an object begins here that may end on a later line; within a text none can end a line."""
    return text.lstrip().startswith(b"{") and _fault(text + b"\n").startswith("EOF ")


def _is_object(text: bytes) -> bool:
    return text.lstrip().startswith(b"{") and not _fault(text)


def _line(number: int, text: bytes) -> Line:
    text = text.strip()
    try:
        event = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        return Line(number, text, error=f"Event is no JSON: {_explain(text, str(error))}")
    if not isinstance(event, dict):
        return Line(number, text, error="Event is no JSON object")
    source = event.get("source")
    if not isinstance(source, str) or not _SOURCE.fullmatch(source):
        return Line(number, text, error='Event has no "source", the name of the service that publishes it')
    return Line(number, text, source)


def _explain(text: bytes, fault: str) -> str:
    if b"\0" in text:
        return "expected UTF-8, and this looks like UTF-16"
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return f"expected UTF-8, and byte {error.start + 1} is not"
    return fault.replace("recursion limit exceeded", "it is nested too deeply")
