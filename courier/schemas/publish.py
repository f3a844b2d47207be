"""Receipt: proof that an event is in its channel's log."""

import json
from functools import lru_cache
from typing import NamedTuple

_TYPES_KEPT = 1024


class Receipt(NamedTuple):
    """What a service gets for a publish; `id` is the event's position, `timestamp` an ISO 8601 time.

    The repeated publish of one idempotency key gets the first receipt, `_replace`d to say `deduplicated`.
    """

    channel: str
    event_type: str
    clients_reached: int
    timestamp: str
    id: str
    deduplicated: bool = False

    @property
    def status(self) -> str:
        return "published"

    def to_json(self) -> bytes:
        """The receipt as compact JSON; `deduplicated` is in it only when true.

        Only the event's type may hold what JSON escapes: the other texts are Courier's own, of characters
        that it leaves alone (RFC 8259 section 7).
        """
        text = (
            f'{{"status":"published","channel":"{self.channel}","event_type":{_quoted(self.event_type)},'
            f'"clients_reached":{self.clients_reached},"timestamp":"{self.timestamp}","id":"{self.id}"'
        )
        return (text + (',"deduplicated":true}' if self.deduplicated else "}")).encode()


@lru_cache(maxsize=_TYPES_KEPT)
def _quoted(text: str) -> str:
    return json.dumps(text)
