"""Revocations: tokens that count no more, as all nodes know them. No clock and no I/O."""

import json
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple, Self

Subject = Literal["user_id", "token_id", "service"]

MOST = 100_000
"""How many revocations there may be; then no more are made."""


class TooManyRevocations(Exception):
    """There are `MOST` already; some end by themselves."""


class Revocation(NamedTuple):
    """The tokens of a user or a service that were made up to a moment, or the one token of that id."""

    id: str
    subject: Subject
    name: str
    """Of the user or the service, or the token's id."""
    issued_before: int | None
    """Unix seconds; a token that was made then, or before, counts no more. None for a token's id."""
    expires_at: int
    """Unix seconds: until when it is remembered."""
    taken_back: bool = False
    """It counts no more, and is remembered only so that no node brings it back."""

    def to_json(self) -> str:
        return json.dumps(self._asdict(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """ValueError for what is no revocation."""
        try:
            return cls(**json.loads(text))
        except TypeError as error:
            raise ValueError("no revocation") from error


class Revocations:
    """What a node holds of them. To look one up costs the same however many there are."""

    def __init__(self, *, known: bool) -> None:
        """`known`: nobody else has any, so that there is nothing to be read first."""
        self.known = known
        """Whether they have been read; before that nobody may be let in."""
        self.heard: Callable[[Revocation], None] = lambda revocation: None
        """Called with each that is new, and counts."""
        self.disconnect: Callable[[str], None] = lambda user_id: None
        """Called with each user whose connections are to be closed."""
        self._by_id: dict[str, Revocation] = {}
        self._by_name: dict[tuple[Subject, str], dict[str, Revocation]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def merge(self, entries: Iterable[Revocation], now: float) -> None:
        """Take what came, in any order and as often as it likes: one that was taken back stays so."""
        for entry in entries:
            held = self._by_id.get(entry.id)
            if entry.expires_at <= now or held == entry or (held is not None and held.taken_back):
                continue
            self._by_id[entry.id] = entry
            alike = self._by_name.setdefault((entry.subject, entry.name), {})
            if entry.taken_back:
                alike.pop(entry.id, None)
                if not alike:
                    del self._by_name[entry.subject, entry.name]
            else:
                alike[entry.id] = entry
                self.heard(entry)

    def revokes(self, subject: Subject, name: str, issued_at: int, now: float) -> bool:
        """Whether a token counts no more that was made at `issued_at`, by what it says of that subject."""
        alike = self._by_name.get((subject, name)) if self._by_name else None
        return alike is not None and any(
            now < each.expires_at and (each.issued_before is None or issued_at <= each.issued_before)
            for each in alike.values()
        )

    def expire(self, now: float) -> None:
        """Let go of those whose time is over."""
        for entry in [each for each in self._by_id.values() if each.expires_at <= now]:
            del self._by_id[entry.id]
            alike = self._by_name.get((entry.subject, entry.name), {})
            alike.pop(entry.id, None)
            if not alike:
                self._by_name.pop((entry.subject, entry.name), None)

    def held(self, now: float) -> list[Revocation]:
        """All that are remembered, those that were taken back included."""
        return [each for each in self._by_id.values() if now < each.expires_at]

    def get(self, id: str) -> Revocation | None:
        """That one, if it counts."""
        found = self._by_id.get(id)
        return None if found is None or found.taken_back else found
