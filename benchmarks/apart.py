"""Apart: a crowd in a process of its own, so that what is timed meanwhile does not wait for it."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from time import sleep

from benchmarks.crowd import ATTEND_SECONDS, Crowd, Joined, require_descriptors
from benchmarks.errors import LoadError

NICENESS = 10
"""Of the crowd's process: what shares its core, and is timed, goes first."""


class Apart:
    """A crowd in another process, which does one thing at a time."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.answer = 0.0
        """Of the last thing done: its seconds, or what `leave` says."""

    def join(self, in_flight: int, rate: float) -> None:
        """Begin `Crowd.join`; `done` says when it is over."""
        self._pipe.send((Crowd.join, in_flight, rate))

    def replace(self, in_flight: int, rate: float) -> None:
        """Begin `Crowd.replace`; `done` says when it is over."""
        self._pipe.send((Crowd.replace, in_flight, rate))

    def leave(self, rate: float) -> None:
        """Begin `Crowd.leave`; `done` says when it is over."""
        self._pipe.send((Crowd.leave, rate))

    def done(self) -> bool:
        """Whether it has done what it was asked; LoadError when it could not."""
        try:
            told = self._pipe.recv() if self._pipe.poll() else None
        except EOFError:
            raise LoadError("the crowd's process ended") from None
        if isinstance(told, str):
            raise LoadError(told)
        self.answer = self.answer if told is None else told
        return told is not None


@contextmanager
def apart(
    port: int, secret: str, connections: int, channels: Sequence[str], replacements: int = 0
) -> Iterator[Apart]:
    """A crowd that is ready to join, in a process that ends with the block."""
    require_descriptors(connections)
    context = get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(
        target=_serve, args=(its, port, secret, connections, channels, replacements), daemon=True
    )
    process.start()
    its.close()
    crowd = Apart(mine)
    try:
        while not crowd.done():
            sleep(0.01)
        yield crowd
    finally:
        mine.close()
        process.terminate()
        process.join()


def _serve(
    pipe: Connection, port: int, secret: str, connections: int, channels: Sequence[str], replacements: int
) -> None:
    os.nice(NICENESS)
    try:
        with Crowd(port, secret, connections, channels, replacements) as crowd:
            pipe.send(0.0)
            while True:
                while not pipe.poll(ATTEND_SECONDS):
                    crowd.attend()
                step, *words = pipe.recv()
                done = step(crowd, *words)
                pipe.send(done.seconds if isinstance(done, Joined) else float(done))
    except EOFError:
        return
    except (LoadError, OSError) as error:
        pipe.send(str(error))
