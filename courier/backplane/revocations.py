"""Revocations: tokens that count no more, as all nodes know them. No clock and no I/O."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

from pydantic import TypeAdapter

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
    def from_json(cls, text: str | bytes) -> "Revocation":
        """ValueError for what is no revocation; what a later version says beside is passed over."""
        said = _OBJECT.validate_json(text)
        return _SHAPE.validate_python({name: said[name] for name in cls._fields if name in said}, strict=True)


_OBJECT = TypeAdapter(dict[str, object])
_SHAPE = TypeAdapter(Revocation)


class Revocations:
    """What a node holds of them. To look one up costs the same however many there are."""

    def __init__(self, *, known: bool) -> None:
        """`known`: nobody else has any, so that there is nothing to be read first."""
        self.known = known
        """Whether they have been read; before that nobody may be let in."""
        self.heard: Callable[[Sequence[Revocation]], None] = lambda revocations: None
        """Called with those that are new, and count."""
        self.disconnect: Callable[[str], None] = lambda user_id: None
        """Called with each user whose connections are to be closed."""
        self._by_id: dict[str, Revocation] = {}
        self._by_name: dict[tuple[Subject, str], list[Revocation]] = {}
        """Those that count, less what another covers: few, however often a name was revoked."""

    def __len__(self) -> int:
        return len(self._by_id)

    def merge(self, entries: Iterable[Revocation], now: float) -> None:
        """Take what came, in any order and as often as it likes: one that was taken back stays so."""
        new = []
        for entry in entries:
            held = self._by_id.get(entry.id)
            if entry.expires_at <= now or held == entry or (held is not None and held.taken_back):
                continue
            self._by_id[entry.id] = entry
            name = entry.subject, entry.name
            if held is None and not entry.taken_back:
                self._put(name, [*self._by_name.get(name, ()), entry])
            else:
                self._put(name, [each for each in self._by_id.values() if (each.subject, each.name) == name])
            if not entry.taken_back:
                new.append(entry)
        if new:
            self.heard(new)

    def _put(self, name: tuple[Subject, str], entries: Iterable[Revocation]) -> None:
        """Let these of one name count, as far as they do, and no others."""
        kept: list[Revocation] = []
        for each in entries:
            if not each.taken_back and not any(_covers(other, each) for other in kept):
                kept = [other for other in kept if not _covers(each, other)]
                kept.append(each)
        if kept:
            self._by_name[name] = kept
        else:
            self._by_name.pop(name, None)

    def revokes(self, subject: Subject, name: str, issued_at: int, now: float) -> bool:
        """Whether a token counts no more that was made at `issued_at`, by what it says of that subject."""
        alike = self._by_name.get((subject, name)) if self._by_name else None
        return alike is not None and any(
            now < each.expires_at and (each.issued_before is None or issued_at <= each.issued_before)
            for each in alike
        )

    def expire(self, now: float) -> None:
        """Let go of those whose time is over."""
        for entry in [each for each in self._by_id.values() if each.expires_at <= now]:
            del self._by_id[entry.id]
            name = entry.subject, entry.name
            self._put(name, [each for each in self._by_name.get(name, ()) if each.id != entry.id])

    def held(self, now: float) -> list[Revocation]:
        """All that are remembered, those that were taken back included."""
        return [each for each in self._by_id.values() if now < each.expires_at]

    def get(self, id: str) -> Revocation | None:
        """That one, if it counts."""
        found = self._by_id.get(id)
        return None if found is None or found.taken_back else found


def _covers(one: Revocation, other: Revocation) -> bool:
    """Whether the other adds nothing to the one, of the same name."""
    return one.expires_at >= other.expires_at and (
        one.issued_before is None
        or (other.issued_before is not None and one.issued_before >= other.issued_before)
    )
