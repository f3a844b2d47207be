"""Answer: what HTTP answers, ready to be written."""

import json
from typing import NamedTuple

from courier.web.errors import http_answer


class Answer(NamedTuple):
    """An HTTP answer, ready to be written."""

    status: int
    body: bytes
    headers: dict[str, str]


def answer_to(error: Exception, headers: dict[str, str]) -> Answer:
    """What the table of errors answers, with `headers` beside its own."""
    status, sentence, facts, own = http_answer(error)
    body = json.dumps({"detail": {"error": sentence, **facts}}).encode()
    return Answer(status, body, {**headers, **own})


def response(answer: Answer, content_type: str = "application/json") -> bytes:
    """The answer as HTTP/1.1, to the byte as on the general path, but for the server's own headers."""
    return b"HTTP/1.1 %d \r\n%bcontent-type: %b\r\ncontent-length: %d\r\n\r\n%b" % (
        answer.status,
        header_lines(answer.headers),
        content_type.encode("ascii"),
        len(answer.body),
        answer.body,
    )


def header_lines(headers: dict[str, str]) -> bytes:
    """The headers as lines of a head."""
    return "".join([f"{name.lower()}: {value}\r\n" for name, value in headers.items()]).encode("ascii")
