"""Timers: the deadlines of many things in one heap."""

from heapq import heappop, heappush
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
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._number = 0

    def __len__(self) -> int:
        """How many entries the heap has."""
        return len(self._heap)

    def set(self, timed: T, deadline: float) -> None:
        """Let it be due at `deadline`, and not before; what was set earlier counts no more."""
        timed.deadline = deadline
        if deadline < timed.queued:
            timed.queued = deadline
            self._number += 1
            heappush(self._heap, (deadline, self._number, timed))

    @property
    def next(self) -> float:
        """No deadline is nearer than this one."""
        return self._heap[0][0] if self._heap else float("inf")

    def pop(self, now: float) -> T | None:
        """One that is due, taken out; None when nothing is due any more."""
        while self._heap and self._heap[0][0] <= now:
            at, _, timed = heappop(self._heap)
            if at != timed.queued:
                continue  # an entry that a nearer one has replaced
            timed.queued = float("inf")
            if timed.deadline <= now:
                timed.deadline = float("inf")
                return timed
            self.set(timed, timed.deadline)
        return None
