"""Failures: what an answer says of the events of a batch that failed, within a size."""

import json

from courier.web.errors import http_answer

DETAIL_BYTES = 256 * 1024
"""How much of `validation_errors` one answer lists; failures beyond have a status and a sentence only."""


class Failures:
    """Writes the failures of one answer as JSON."""

    def __init__(self) -> None:
        self._left = DETAIL_BYTES

    def tell(self, error: Exception, **place: int) -> bytes:
        """One event's failure, as it would have been answered alone; `place` says which it is."""
        status, sentence, facts, _ = http_answer(error)
        told = {**place, "status": "failed", "code": status, "error": sentence}
        if "validation_errors" not in facts:
            return json.dumps({**told, **facts}).encode()
        if self._left > 0:
            whole = json.dumps({**told, **facts}).encode()
            self._left -= len(whole)
            if self._left >= 0:
                return whole
        return json.dumps(told).encode()
