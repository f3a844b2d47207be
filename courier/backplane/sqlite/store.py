"""Store: what the writer's transactions do to the tables. No thread and no trio: it has one caller."""

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from courier.backplane import Appended, KeyConflict, Origin, Outcome, Publication, Record
from courier.backplane.sqlite.requests import Count, Follow, Probe, Publish, Request, Revoke
from courier.backplane.sqlite.schema import LOG_BITS
from courier.schemas.channels import ChannelName
from courier.schemas.position import UNBORN, Position, new_epoch

KEPT_MS = 300_000
"""How long a repeat under an idempotency key is recognised."""

HEADS = 20_000
"""Of so many channels the writer knows where they stand without a look."""

LAST_OFFSET = (1 << LOG_BITS) - 1
"""Of a log; behind it a new epoch begins."""


class Head:
    """Where a channel's log stands."""

    __slots__ = ("arrived_ms", "bytes", "epoch", "id", "offset")

    def __init__(self, id: int, epoch: str, offset: int, arrived_ms: int) -> None:
        self.id = id
        self.epoch = epoch
        self.offset = offset
        self.arrived_ms = arrived_ms
        self.bytes = 0
        """Of the events that are not in the tables yet."""


class Store:
    """Answers requests within a transaction; `clear` after one that was taken back."""

    def __init__(
        self, connection: sqlite3.Connection, clock: Callable[[], int], aging_clock: Callable[[], int]
    ) -> None:
        """`clock`: Unix milliseconds; `aging_clock`: the same, but never set back or ahead."""
        self._connection = connection
        self._clock = clock
        self._aging_clock = aging_clock
        self._heads = OrderedDict[str, Head]()
        self._changed: dict[int, Head] = {}
        self._events: list[tuple[int, int, int, bytes]] = []
        self._keys: dict[tuple[int, str], tuple[bytes, Appended]] = {}

    def clear(self) -> None:
        """Know nothing that is not in the file."""
        self._heads.clear()
        self._changed.clear()
        self._events.clear()
        self._keys.clear()

    def answer(self, requests: Sequence[Request]) -> list[Any]:
        """An answer for each request: outcomes and records, an origin, or None."""
        now_ms, at_ms = self._clock(), self._aging_clock()
        answers = [self._answer(request, now_ms, at_ms) for request in requests]
        self._write(at_ms)
        return answers

    def _answer(self, request: Request, now_ms: int, at_ms: int) -> Any:
        match request:
            case Publish(channel, publications, reached):
                return self._publish(channel, publications, reached, now_ms, at_ms)
            case Follow(channel):
                head = self._head(channel.name)
                if head is None:
                    return Origin(Position(UNBORN, now_ms - 1), now_ms - 1)
                return Origin(Position(head.epoch, head.offset), head.arrived_ms)
            case Revoke(entries):
                self._connection.executemany(
                    "INSERT OR REPLACE INTO revocations VALUES (?, ?, ?)",
                    [(each.id, each.to_json(), each.expires_at) for each in entries],
                )
            case Count(admitted):
                self._connection.executemany(
                    "INSERT INTO windows VALUES (?, ?, ?)"
                    " ON CONFLICT (service, second) DO UPDATE SET events = events + excluded.events",
                    admitted,
                )
            case Probe():
                self._connection.execute("INSERT OR REPLACE INTO facts VALUES ('probe', ?)", (now_ms,))
        return None

    def _publish(
        self, channel: ChannelName, publications: Sequence[Publication], reached: int, now_ms: int, at_ms: int
    ) -> tuple[list[Outcome], list[Record]]:
        head = self._head(channel.name) or self._begin(channel, now_ms, at_ms)
        arrived_ms = head.arrived_ms = max(now_ms, head.arrived_ms)
        outcomes: list[Outcome] = []
        records: list[Record] = []
        for publication in publications:
            outcome = self._find(head, publication, at_ms) if publication.key else None
            if outcome is None:
                if head.offset >= LAST_OFFSET:
                    self._renew(channel.name, head, now_ms, at_ms)
                head.offset += 1
                position = Position(head.epoch, head.offset)
                outcome = Appended(position, arrived_ms, reached)
                records.append(Record(position, arrived_ms, publication.event))
                self._events.append(
                    ((head.id << LOG_BITS) + head.offset, arrived_ms, at_ms, publication.event)
                )
                head.bytes += len(publication.event)
                self._changed[head.id] = head
                if publication.key:
                    self._keys[head.id, publication.key] = publication.digest, outcome
            outcomes.append(outcome)
        return outcomes, records

    def _find(self, head: Head, publication: Publication, at_ms: int) -> Outcome | None:
        """What became of the key's first publication, or a conflict; None when the key is new."""
        used = self._keys.get((head.id, publication.key))
        if used is None:
            row = self._connection.execute(
                "SELECT digest, epoch, offset, arrived_ms, reached FROM keys"
                " WHERE channel = ? AND key = ? AND at_ms > ?",
                (head.id, publication.key, at_ms - KEPT_MS),
            ).fetchone()
            if row is None:
                return None
            digest, epoch, offset, arrived_ms, reached = row
            used = digest, Appended(Position(epoch, offset), arrived_ms, reached)
        digest, appended = used
        return appended._replace(deduplicated=True) if digest == publication.digest else KeyConflict()

    def _head(self, name: str) -> Head | None:
        head = self._heads.get(name)
        if head is not None:
            self._heads.move_to_end(name)
            return head
        row = self._connection.execute(
            "SELECT id, epoch, head, arrived_ms FROM channels WHERE name = ?", (name,)
        ).fetchone()
        return None if row is None else self._keep(name, Head(*row))

    def _keep(self, name: str, head: Head) -> Head:
        self._heads[name] = head
        return head

    def _begin(self, channel: ChannelName, now_ms: int, at_ms: int) -> Head:
        epoch = new_epoch()
        done = self._connection.execute(
            "INSERT INTO channels (name, kind, epoch, head, tail, arrived_ms, floor_ms, born_ms, first,"
            " bytes, at_ms) VALUES (?, ?, ?, 0, 0, ?, ?, ?, 1, 0, ?)",
            (channel.name, channel.kind, epoch, now_ms, now_ms, now_ms, at_ms),
        )
        assert done.lastrowid is not None
        return self._keep(channel.name, Head(done.lastrowid, epoch, 0, now_ms))

    def _renew(self, name: str, head: Head, now_ms: int, at_ms: int) -> None:
        """Begin a new epoch of a log whose offsets have run out."""
        self._write(at_ms)
        self._connection.execute(
            "DELETE FROM events WHERE id > ? AND id <= ?", rows_of(head.id, 0, LAST_OFFSET)
        )
        head.epoch, head.offset = new_epoch(), 0
        self._connection.execute(
            "UPDATE channels SET epoch = ?, head = 0, tail = 0, first = 0, bytes = 0, floor_ms = arrived_ms,"
            " born_ms = ? WHERE name = ?",
            (head.epoch, now_ms, name),
        )

    def _write(self, at_ms: int) -> None:
        """Put into the tables what was gathered."""
        execute_many = self._connection.executemany
        if self._events:
            execute_many("INSERT INTO events VALUES (?, ?, ?, ?)", self._events)
            self._events.clear()
        if self._changed:
            execute_many(
                "UPDATE channels SET head = ?, arrived_ms = ?, bytes = bytes + ?, at_ms = ? WHERE id = ?",
                [
                    (head.offset, head.arrived_ms, head.bytes, at_ms, head.id)
                    for head in self._changed.values()
                ],
            )
            for head in self._changed.values():
                head.bytes = 0
            self._changed.clear()
        if self._keys:
            execute_many(
                "INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (channel, key, digest, *said.position, said.arrived_ms, said.clients_reached, at_ms)
                    for (channel, key), (digest, said) in self._keys.items()
                ],
            )
            self._keys.clear()
        while len(self._heads) > HEADS:
            self._heads.popitem(last=False)


def rows_of(channel: int, after: int, to: int) -> tuple[int, int]:
    """The row ids of a log between two offsets, for `id > ? AND id <= ?`."""
    return (channel << LOG_BITS) + after, (channel << LOG_BITS) + to
