"""Keys: which idempotency keys were used, and for what. Pure: no clock, no trio."""

from collections import OrderedDict

from courier.backplane import Appended, KeyConflict, Outcome, Publication

KEPT_SECONDS = 300.0
"""How long a repeat is recognised."""


class Keys:
    """A table of keys, for all channels of a node together; beyond `limit` the oldest go.

    A key that has gone is new again. Who sets `limit` says how many keys five minutes may bring. `now` is in
    seconds of the monotonic clock.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = OrderedDict[tuple[str, str], tuple[float, bytes, Appended]]()

    def __len__(self) -> int:
        return len(self._used)

    def find(self, channel: str, publication: Publication, now: float) -> Outcome | None:
        """What became of the key's first publication, or a conflict; None when the key is new."""
        self._forget(now)
        used = self._used.get((channel, publication.key))
        if used is None:
            return None
        _, digest, appended = used
        if digest != publication.digest:
            return KeyConflict()
        return appended._replace(deduplicated=True)

    def keep(self, channel: str, publication: Publication, appended: Appended, now: float) -> None:
        """Remember a key that was new."""
        self._used[channel, publication.key] = now, publication.digest, appended
        self._forget(now)

    def _forget(self, now: float) -> None:
        while self._used and (
            len(self._used) > self._limit or next(iter(self._used.values()))[0] + KEPT_SECONDS <= now
        ):
            self._used.popitem(last=False)
