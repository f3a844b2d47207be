"""Writer: the thread that changes the file. What waits is one transaction, and its answers come together."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from time import perf_counter
from typing import Any, NamedTuple

from courier.backplane.sqlite.requests import Request
from courier.backplane.sqlite.store import Store
from courier.backplane.sqlite.trimmer import Trimmer

REQUESTS_AT_ONCE = 1000
"""How many requests are one transaction."""

TIDY_SECONDS = 0.5
"""How often the trimmer has its turn; between two transactions when there are many."""

TIDY_STEPS = 20
"""How many steps it takes at a time, while nothing waits."""


class Commit(NamedTuple):
    """One transaction."""

    requests: Sequence[Request]
    answers: Sequence[Any]
    error: Exception | None
    """Why it was taken back; then there are no answers."""
    seconds: float
    used_bytes: int


class Writer:
    """Answers what is `put`, in order. `tell` is called in the thread, after each transaction."""

    def __init__(
        self, connection: sqlite3.Connection, store: Store, trimmer: Trimmer, tell: Callable[[Commit], None]
    ) -> None:
        self._connection = connection
        self._store = store
        self._trimmer = trimmer
        self._tell = tell
        self._queue: SimpleQueue[Request | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="courier-writer", daemon=True)
        self._tidy_at = 0.0
        self._used_bytes = trimmer.used_bytes

    def start(self) -> None:
        self._thread.start()

    def put(self, request: Request) -> None:
        """Never waits."""
        self._queue.put(request)

    def end(self) -> None:
        """Answer all that was put, and return when the thread has ended."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        over = False
        while not over:
            waiting: list[Request | None] = []
            with suppress(Empty):
                waiting.append(self._queue.get(timeout=TIDY_SECONDS))
                while len(waiting) < REQUESTS_AT_ONCE:
                    waiting.append(self._queue.get_nowait())
            over = None in waiting
            requests = [each for each in waiting if each is not None]
            if requests:
                self._tell(self._commit(requests))
            if not over:
                self._tidy()

    def _commit(self, requests: Sequence[Request]) -> Commit:
        start = perf_counter()
        answers: Sequence[Any] = ()
        error: Exception | None = None
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            answers = self._store.answer(requests)
            self._connection.execute("COMMIT")
        except Exception as problem:  # noqa: BLE001 - it is for those who asked
            error = problem
            self._store.clear()
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        return Commit(requests, answers, error, perf_counter() - start, self._used_bytes)

    def _tidy(self) -> None:
        """Let the trimmer delete: a step between two transactions, or more while nothing waits."""
        now = perf_counter()
        if now < self._tidy_at:
            return
        try:
            for _ in range(TIDY_STEPS):
                more = self._trimmer.step()
                if not more or not self._queue.empty():
                    break
            self._used_bytes = self._trimmer.used_bytes
        except sqlite3.Error:
            more = False  # a disk that takes nothing: those who publish say so
        self._tidy_at = 0.0 if more else perf_counter() + TIDY_SECONDS
