"""Floods: which of many similar lines are written, and how many were left out. No clock, no I/O."""

import logging
from typing import NamedTuple

WINDOW_SECONDS = 5.0
"""How long similar lines are counted together."""

KEYS = 256
"""How many kinds of lines are counted apart; the others are counted as one kind."""


def allowance(level: int) -> int:
    """How many similar lines a window may have. It is a rate, however long a flood lasts: a node that is busy
    all day still writes as many as a quiet one. `level` is one of `logging`'s; errors are what somebody must
    look at."""
    return 200 if level >= logging.ERROR else 50


class Kind(NamedTuple):
    """What makes lines similar."""

    logger: str
    message: str
    reason: str = ""


OTHERS = Kind("courier", "Lines of other kinds")


class LeftOut(NamedTuple):
    """So many lines of one kind were not written."""

    kind: Kind
    level: int
    """The highest among them."""
    lines: int


class _Window:
    __slots__ = ("allowed", "ends", "left_out", "level")

    def __init__(self, ends: float, allowed: int) -> None:
        self.ends = ends
        self.allowed = allowed
        self.left_out = 0
        self.level = 0


class Floods:
    """Counts lines by kind in windows of some seconds. `due` is to be asked now and then: it ends windows."""

    def __init__(self) -> None:
        self._windows: dict[Kind, _Window] = {}

    def admit(self, kind: Kind, level: int, now: float) -> bool:
        """Whether the line is to be written; if not, it is counted."""
        window = self._windows.get(kind)
        if window is None:
            if len(self._windows) >= KEYS and kind != OTHERS:
                return self.admit(OTHERS, level, now)
            window = self._windows[kind] = _Window(now + WINDOW_SECONDS, allowance(level))
        if window.allowed > 0:
            window.allowed -= 1
            return True
        window.left_out += 1
        window.level = max(window.level, level)
        return False

    def due(self, now: float) -> list[LeftOut]:
        """What was left out in the windows that are over by now; `math.inf` ends all."""
        found = []
        for kind, window in list(self._windows.items()):
            if window.ends > now:
                continue
            if window.left_out:
                found.append(LeftOut(kind, window.level, window.left_out))
            del self._windows[kind]
        return found
