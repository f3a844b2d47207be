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
