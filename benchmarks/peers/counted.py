"""Counted: a Python program in a process that also counts its objects and times its garbage collector.

`python counted.py COMMAND …`, where COMMAND is a script, or `-m` and a module. It runs as it would by itself.
SIGUSR1 appends a line to the file COUNTS of the directory in which it was started; SIGUSR2 collects all
garbage first. It imports nothing of this repository, so that it can count any checkout and any environment.
"""

import gc
import json
import runpy
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

COUNTS = "counts"


class Pauses:
    """How long the collector stopped the program, by generation, since it was asked the last time.

    In processor time of its thread: what other processes take meanwhile is not the collector's.
    """

    def __init__(self) -> None:
        self._started = 0
        self._of: dict[int, tuple[int, float, float]] = {}

    def __call__(self, phase: str, info: dict[str, Any]) -> None:
        """What `gc.callbacks` calls before and after each collection."""
        now = time.thread_time_ns()
        if phase == "start":
            self._started = now
            return
        milliseconds = (now - self._started) / 1e6
        count, total, longest = self._of.get(info["generation"], (0, 0.0, 0.0))
        self._of[info["generation"]] = count + 1, total + milliseconds, max(longest, milliseconds)

    def take(self) -> dict[int, tuple[int, float, float]]:
        """For each generation: how many, their milliseconds in all, and those of the longest."""
        taken, self._of = self._of, {}
        return taken


def _collect() -> float:
    """Milliseconds that one collection of everything takes; it is no pause of the program's own."""
    gc.callbacks.remove(_pauses)
    started = time.thread_time_ns()
    gc.collect()
    milliseconds = (time.thread_time_ns() - started) / 1e6
    gc.callbacks.append(_pauses)
    return milliseconds


def _answer(number: int, frame: FrameType | None) -> None:
    line = {
        "full": _collect() if number == signal.SIGUSR2 else None,
        "pauses": _pauses.take(),
        "objects": len(gc.get_objects()),
        "blocks": sys.getallocatedblocks(),
    }
    with _file.open("a") as file:
        file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    _pauses = Pauses()
    _file = Path.cwd() / COUNTS
    gc.callbacks.append(_pauses)
    signal.signal(signal.SIGUSR1, _answer)
    signal.signal(signal.SIGUSR2, _answer)
    del sys.path[0]  # this file's folder, which the program would not have
    if sys.argv[1] == "-m":
        del sys.argv[:2]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        del sys.argv[0]
        runpy.run_path(sys.argv[0], run_name="__main__")
