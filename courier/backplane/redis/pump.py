"""Pump: the long-lived task that asks Redis, so that no caller who may be cancelled touches a connection."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import trio
from coredis.exceptions import (
    BusyLoadingError,
    ConnectionError,
    NoScriptError,
    ReadOnlyError,
    RedisClusterError,
)

from courier.backplane.errors import BackplaneAway, BackplaneRefused
from courier.backplane.redis.calls import Call, Calls
from courier.backplane.redis.connection import Client, first_error
from courier.backplane.redis.options import RedisOptions
from courier.backplane.redis.pipeline import Pipeline, open_pipeline
from courier.backplane.redis.queue import Queue
from courier.backplane.redis.refusals import is_about_the_login, refusal
from courier.backplane.redis.requests import Request
from courier.logs import get_logger

logger = get_logger(__name__)

GATHER_TURNS = 3
"""How many turns other tasks get before a pipeline leaves: who has just been answered or read comes along.
A pipeline costs as much as a dozen of the requests in it, and a lone request waits some microseconds."""

RETRY_SECONDS = 0.2
REFUSED_SECONDS = 0.5
"""How long after a refusal Redis is asked again."""
PATIENCE_SECONDS = 1.0
"""How long Redis is away until those who wait get an error. A later call waits for the next attempt only."""

UNREACHABLE = "Redis unreachable"

_ELSEWHERE = (BusyLoadingError, ConnectionError, ReadOnlyError, RedisClusterError, TimeoutError)
"""Answers that mean: not here, or not now. A new connection may find the right server."""
_OF_ALL = ("MISCONF", "NOPERM", "NOREPLICAS", "OOM")
"""Refusals of no single log's. After another one the probe shows whether it is."""


class Pump:
    """Sends all that waits as one pipeline, waits for the answers, and then sends what has come meanwhile.

    While Redis cannot be reached, or refuses what `probe` makes, it tries again and again. A call that was
    sent and got no answer goes out once more over the next connection; then its callers get `BackplaneAway`.
    One that Redis refuses fails at once with `BackplaneRefused`, and the probe shows whether Redis would
    refuse any other; `deed` is the word for what it refuses. `watch` is called when trouble begins or ends,
    `fault` with the error of an answer that cannot be read.
    """

    def __init__(
        self,
        open_client: Callable[[], AbstractAsyncContextManager[Client]],
        calls: Calls,
        options: RedisOptions,
        *,
        calls_at_once: int,
        probe: Callable[[], Sequence[Call]],
        deed: str = "write",
        watch: Callable[[bool], None] = lambda up: None,
        fault: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._open_client = open_client
        self._options = options
        self._watch = watch
        self._fault = fault
        self._probe = probe
        self._deed = deed
        self._queue = Queue(calls, calls_at_once)
        self._unanswered: list[Call] = []
        self._wake = trio.Event()
        self._failed_since: float | None = None
        self.trouble: str | None = UNREACHABLE
        """Why calls do not succeed now, as a short sentence; None while they do."""
        self.refused = False
        """Whether the trouble is that Redis answers and refuses."""
        self._tried = trio.Event()
        self.pipelines = 0
        """How many were sent."""

    def put(self, request: Request) -> None:
        self._queue.put(request)
        self._wake.set()

    async def tried(self) -> None:
        """Wait until the first attempt to use Redis has succeeded or failed."""
        await self._tried.wait()

    async def run(self) -> None:
        """Until cancelled; then every caller that still waits gets an error."""
        try:
            while True:
                try:
                    async with self._open_client() as client, open_pipeline(client) as pipeline:
                        await self._serve(pipeline)
                except Exception as error:  # noqa: BLE001 - whatever it was, only a new connection helps
                    pause = self._failed(first_error(error))
                    await trio.sleep(pause)
        finally:
            self._give_up(BackplaneAway("This node has left Redis"))

    async def _serve(self, pipeline: Pipeline) -> None:
        await self._ping(pipeline)
        # A ping is answered by a replica, too, by a full Redis, and by one that lets this user do too little.
        if (refused := await self._try(pipeline)) is not None:
            raise refused
        self._say_well()
        while True:
            self._wake = trio.Event()
            if not self._unanswered:
                for _ in range(GATHER_TURNS):
                    await trio.lowlevel.checkpoint()
                self._unanswered = self._queue.take()
            if self._unanswered:
                await self._exchange(pipeline)
                self._failed_since = None
            else:
                self._failed_since = None
                with trio.move_on_after(self._options.ping_seconds) as waited:
                    await self._wake.wait()
                if waited.cancelled_caught:
                    await self._ping(pipeline)

    async def _ping(self, pipeline: Pipeline) -> None:
        with trio.fail_after(self._options.answer_seconds - self._options.ping_seconds):
            await pipeline.ping()

    async def _exchange(self, pipeline: Pipeline) -> None:
        """Have everything in `_unanswered` answered; raises when this connection is of no more use."""
        calls = self._unanswered
        for call in calls:
            call.sent += 1
        self.pipelines += 1
        useless: Exception | None = None
        refused: list[tuple[Call, Exception]] = []
        left = []
        for call, answer in zip(calls, await self._answers(pipeline, calls), strict=True):
            if isinstance(answer, _ELSEWHERE) or _unloaded(answer):
                left.append(call)
                useless = answer
            elif isinstance(answer, Exception):
                refused.append((call, answer))
            else:
                self._settle(call, answer)
        self._unanswered = left + [call for call, _ in refused]
        if refused:
            ill = next((error for _, error in refused if refusal(error) in _OF_ALL), None)
            useless = useless or ill or await self._try(pipeline)
            if useless is not None:
                self._say_trouble(self._away(useless), useless)  # before a caller knows
            for call, error in refused:
                logger.warning("Redis refused a call", reason=refusal(error), error=_told(error))
                call.fail(self._away(error))
            self._unanswered = left
        if useless is not None:
            raise useless

    async def _try(self, pipeline: Pipeline) -> Exception | None:
        """What Redis says against the probe; None when it does what it is asked."""
        answers = await self._answers(pipeline, self._probe())
        return next((answer for answer in answers if isinstance(answer, Exception)), None)

    async def _answers(self, pipeline: Pipeline, calls: Sequence[Call]) -> Sequence[Any]:
        """An answer or an error for each call; scripts that Redis does not have are loaded on the way."""
        with trio.fail_after(self._options.answer_seconds):
            answers = await pipeline.exchange(calls)
            unknown = [call for call, answer in zip(calls, answers, strict=True) if _unloaded(answer)]
            if not unknown:
                return answers
            for script in {call.script for call in unknown}:
                await pipeline.load(script)
            again = dict(zip(unknown, await pipeline.exchange(unknown), strict=True))
            return [again.get(call, answer) for call, answer in zip(calls, answers, strict=True)]

    def _failed(self, error: Exception) -> float:
        """Note that a connection was not made, or is of no more use; returns how long to wait then."""
        now = trio.current_time()
        first = self._failed_since is None and self.trouble is None
        hangs = isinstance(error, TimeoutError | trio.TooSlowError)
        away = self._away(error)
        refused = isinstance(away, BackplaneRefused)
        self._failed_since = self._failed_since or now
        tired = now - self._failed_since >= PATIENCE_SECONDS
        self._unanswered, spent = _partition(self._unanswered, lambda call: call.repeatable and call.sent < 2)
        for call in spent:
            call.fail(away)
        if refused or hangs or not first:  # a connection that breaks is no trouble when the next one works
            self._say_trouble(away, error)
        if tired:
            self._give_up(away)
        if first and (isinstance(error, _ELSEWHERE) or not refused):
            return 0.0
        return REFUSED_SECONDS if refused else RETRY_SECONDS

    def _away(self, error: Exception) -> BackplaneAway:
        """What callers get for what went wrong with Redis."""
        word = refusal(error)
        if word is None:
            return BackplaneAway("no answer")
        deed = "login" if is_about_the_login(error) else self._deed
        return BackplaneRefused(f"the {deed}: {word}")

    def _give_up(self, away: BackplaneAway) -> None:
        for call in self._unanswered:
            call.fail(away)
        self._unanswered = []
        for request in self._queue.take_all():
            request.reply.fail(type(away)(*away.args))

    def _say_well(self) -> None:
        if self.trouble is not None:
            logger.info("Redis connected")
            self._say(None, refused=False)

    def _say_trouble(self, away: BackplaneAway, error: Exception) -> None:
        refused = isinstance(away, BackplaneRefused)
        trouble = f"Redis refused {away}" if refused else UNREACHABLE
        if trouble == self.trouble and self._tried.is_set():
            return
        if refused:
            logger.warning("Redis refuses", what=str(away), error=_told(error))
        else:
            logger.warning("Redis unreachable", error=_told(error))
        self._say(trouble, refused=refused)

    def _say(self, trouble: str | None, *, refused: bool) -> None:
        changed = (trouble is None) is not (self.trouble is None) or not self._tried.is_set()
        self.trouble, self.refused = trouble, refused
        self._tried.set()
        if changed:
            self._watch(trouble is None)

    def _settle(self, call: Call, answer: Any) -> None:
        try:
            call.settle(answer)
        except Exception as error:
            self._fault(error)
            logger.error("Unreadable answer from Redis", exc_info=error)
            call.fail(BackplaneAway("Redis gave an unreadable answer"))


def _unloaded(answer: object) -> bool:
    return isinstance(answer, NoScriptError)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _partition(calls: Sequence[Call], chosen: Callable[[Call], bool]) -> tuple[list[Call], list[Call]]:
    return [call for call in calls if chosen(call)], [call for call in calls if not chosen(call)]
