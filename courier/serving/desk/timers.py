"""Timers: the deadlines of many things in one heap."""

from heapq import heapify, heappop, heappush
from math import inf
from typing import Generic, Protocol, TypeVar


class Timed(Protocol):
    """Something with at most one deadline at a time."""

    deadline: float
    """When it is due, by `trio.current_time`; `math.inf` for never. Set it by `Timers.set`."""
    queued: float
    """For `Timers` alone: the earliest moment at which it stands in the heap."""


T = TypeVar("T", bound=Timed)


class Timers(Generic[T]):
    """A deadline that moves later costs nothing: its entry stays where it is, and is looked at when its turn
    comes. So a peer that sends a message every millisecond moves its heartbeat, and pushes nothing.

    Entries that count no more are thrown out as soon as they are half of the heap.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._number = 0
        self._stale = 0
        """How many entries count no more."""

    def __len__(self) -> int:
        """How many entries the heap has."""
        return len(self._heap)

    def set(self, timed: T, deadline: float) -> None:
        """Let it be due at `deadline`, and not before; what was set earlier counts no more."""
        timed.deadline = deadline
        if deadline < timed.queued:
            self._take_out(timed)
            timed.queued = deadline
            self._number += 1
            heappush(self._heap, (deadline, self._number, timed))

    def forget(self, timed: T) -> None:
        """Let it be due never, and hold it no longer than the others need."""
        timed.deadline = inf
        self._take_out(timed)

    @property
    def next(self) -> float:
        """No deadline is nearer than this one."""
        return self._heap[0][0] if self._heap else inf

    def pop(self, now: float) -> T | None:
        """One that is due, taken out; None when nothing is due any more."""
        while self._heap and self._heap[0][0] <= now:
            at, _, timed = heappop(self._heap)
            if at != timed.queued:
                self._stale -= 1
                continue  # an entry that a nearer one has replaced
            timed.queued = inf
            if timed.deadline <= now:
                timed.deadline = inf
                return timed
            self.set(timed, timed.deadline)
        return None

    def _take_out(self, timed: T) -> None:
        """Let its entry count no more."""
        if timed.queued < inf:
            timed.queued = inf
            self._stale += 1
        if 2 * self._stale >= len(self._heap):
            # One for each: an old entry may stand at the very moment of a newer one.
            counting = {id(entry[2]): entry for entry in self._heap if entry[0] == entry[2].queued}
            self._heap = list(counting.values())
            heapify(self._heap)
            self._stale = 0
