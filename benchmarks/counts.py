"""Counts: what a Python server holds and how long its garbage collector stopped it, as it says itself."""

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, sleep

from benchmarks.errors import LoadError
from benchmarks.peers import counted as launcher
from benchmarks.process import Running
from benchmarks.servers import Server

ANSWER_SECONDS = 30.0


@dataclass(frozen=True)
class Pauses:
    """Collections of one generation since the count before, in milliseconds of processor time."""

    count: int
    total_ms: float
    longest_ms: float


@dataclass(frozen=True)
class Count:
    """One answer."""

    objects: int
    """What the collector tracks, without what was frozen at the start."""
    blocks: int
    """All objects, as the allocator has them."""
    pauses: Mapping[int, Pauses]
    """By generation."""
    full_ms: float | None
    """How long the collection took that was asked for, as the pauses are; None when none was."""

    @property
    def longest(self) -> tuple[float, int]:
        """The longest pause in milliseconds, and the generation that was collected; zeros without any."""
        pauses = ((some.longest_ms, generation) for generation, some in self.pauses.items())
        return max(pauses, default=(0.0, 0))


def countable(server: Server) -> bool:
    """Whether `counted` makes a difference: only a Python program can be counted."""
    return server.interpreter is not None


def counted(server: Server) -> Server:
    """`server` so that its process answers `count`; as it is when it is no Python program."""
    if server.interpreter is None:
        return server
    words = server.command[1:] if server.command[0] == server.interpreter else server.command
    return replace(server, command=(server.interpreter, launcher.__file__, *words))


def count(process: Running, *, collect: bool = False) -> Count:
    """What `process`, which was started as `counted`, holds now; with `collect` after a full collection.

    LoadError when it does not answer within ANSWER_SECONDS.
    """
    before = len(lines(process.folder))
    os.kill(process.pid, signal.SIGUSR2 if collect else signal.SIGUSR1)
    end = monotonic() + ANSWER_SECONDS
    while len(answers := lines(process.folder)) == before:
        if monotonic() > end:
            raise LoadError(f"{process.server.name} does not count its objects any more")
        sleep(0.01)
    return read(answers[-1])


def lines(folder: Path) -> list[str]:
    """All answers so far of the process that was started in `folder`."""
    file = folder / launcher.COUNTS
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()


def read(line: str) -> Count:
    """The answer that `line` is."""
    told = json.loads(line)
    pauses = {int(generation): Pauses(*of) for generation, of in told["pauses"].items()}
    return Count(told["objects"], told["blocks"], pauses, told["full"])
