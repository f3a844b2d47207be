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
    RedisError,
)

from courier.backplane.errors import BackplaneAway
from courier.backplane.redis.calls import Call, Calls
from courier.backplane.redis.connection import Client, first_error
from courier.backplane.redis.options import RedisOptions
from courier.backplane.redis.pipeline import Pipeline, open_pipeline
from courier.backplane.redis.queue import Queue
from courier.backplane.redis.requests import Request
from courier.logs import get_logger

logger = get_logger(__name__)

GATHER_TURNS = 3
"""How many turns other tasks get before a pipeline leaves: who has just been answered or read comes along.
A pipeline costs as much as a dozen of the requests in it, and whoever is alone waits some microseconds."""

RETRY_SECONDS = 0.2
PATIENCE_SECONDS = 1.0
"""How long Redis is away until those who wait are told. Who comes later waits for the next attempt only."""

CARD_SECONDS = 60

_UNABLE = ("OOM ", "MISCONF ", "NOREPLICAS ", "MASTERDOWN ")
_ELSEWHERE = (BusyLoadingError, ConnectionError, ReadOnlyError, RedisClusterError, TimeoutError)
"""Answers that mean: not here, or not now. A new connection may find the right server."""


class Pump:
    """Sends all that waits as one pipeline, waits for the answers, and then sends what has come meanwhile.

    While Redis cannot be reached it tries again and again. A call that was sent, and of which it is not known
    what became, goes out once more over the next connection; then `BackplaneAway` is what its callers get.
    `watch` is told whether Redis can be reached, whenever that changes; `fault` of an answer that cannot be
    read.
    """

    def __init__(
        self,
        open_client: Callable[[], AbstractAsyncContextManager[Client]],
        calls: Calls,
        options: RedisOptions,
        *,
        calls_at_once: int,
        watch: Callable[[bool], None] = lambda up: None,
        fault: Callable[[Exception], None] = lambda _: None,
    ) -> None:
        self._open_client = open_client
        self._options = options
        self._watch = watch
        self._fault = fault
        self._calls = calls
        self._queue = Queue(calls, calls_at_once)
        self._unanswered: list[Call] = []
        self._wake = trio.Event()
        self._failed_since: float | None = None
        self._up: bool | None = None
        self._tried = trio.Event()
        self.pipelines = 0
        """How many were sent."""

    def put(self, request: Request) -> None:
        self._queue.put(request)
        self._wake.set()

    async def tried(self) -> None:
        """Wait until Redis has been reached, or could not be, for the first time."""
        await self._tried.wait()

    async def run(self) -> None:
        """Until cancelled; then nobody is left waiting."""
        try:
            while True:
                try:
                    async with self._open_client() as client, open_pipeline(client) as pipeline:
                        await self._serve(pipeline)
                except Exception as error:  # noqa: BLE001 - whatever it was, only a new connection helps
                    pause = self._failed(first_error(error))
                    await trio.sleep(pause)
        finally:
            self._give_up("This node has left Redis")

    async def _serve(self, pipeline: Pipeline) -> None:
        await self._ping(pipeline)
        with trio.fail_after(self._options.answer_seconds):
            # A replica, a full Redis or one that cannot save answers a ping, and takes no event.
            await pipeline.write(self._calls.card, CARD_SECONDS)
        self._said(up=True)
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
        with trio.fail_after(self._options.answer_seconds):
            self.pipelines += 1
            answers = await pipeline.exchange(calls)
            unknown = [call for call, answer in zip(calls, answers, strict=True) if _unloaded(answer)]
            if unknown:
                for script in {call.script for call in unknown}:
                    await pipeline.load(script)
                again = dict(zip(unknown, await pipeline.exchange(unknown), strict=True))
                answers = [again.get(call, answer) for call, answer in zip(calls, answers, strict=True)]
        useless: Exception | None = None
        left = []
        for call, answer in zip(calls, answers, strict=True):
            if isinstance(answer, _ELSEWHERE) or _unloaded(answer) or _unable(answer):
                left.append(call)
                useless = answer
            else:
                self._settle(call, answer)
        self._unanswered = left
        if useless is not None:
            raise useless

    def _failed(self, error: Exception) -> float:
        """Note that a connection could not be had, or broke; returns how long to wait for the next one."""
        now = trio.current_time()
        broke = self._failed_since is None and self._up is True
        hangs = isinstance(error, TimeoutError | trio.TooSlowError)
        self._failed_since = self._failed_since or now
        tired = now - self._failed_since >= PATIENCE_SECONDS
        self._unanswered, spent = _partition(self._unanswered, lambda call: call.repeatable and call.sent < 2)
        for call in spent:
            call.fail("Redis gave no answer")
        if hangs or not broke:
            self._said(up=False, why=error)
        if tired:
            self._give_up("Redis cannot be reached")
        return 0.0 if broke else RETRY_SECONDS

    def _give_up(self, why: str) -> None:
        for call in self._unanswered:
            call.fail(why)
        self._unanswered = []
        for request in self._queue.take_all():
            request.reply.fail(BackplaneAway(why))

    def _said(self, *, up: bool, why: Exception | None = None) -> None:
        self._tried.set()
        if up is self._up:
            return
        if up:
            logger.info("Redis is reached")
        else:
            logger.warning("Redis is away", error=f"{type(why).__name__}: {why}")
        self._up = up
        self._watch(up)

    def _settle(self, call: Call, answer: Any) -> None:
        if isinstance(answer, Exception):
            logger.warning("Redis refused a call", error=f"{type(answer).__name__}: {answer}")
            call.fail("Redis refused the call")
            return
        try:
            call.settle(answer)
        except Exception as error:
            self._fault(error)
            logger.error("Unreadable answer from Redis", exc_info=error)
            call.fail("Redis gave an unreadable answer")


def _unloaded(answer: object) -> bool:
    return isinstance(answer, NoScriptError)


def _unable(answer: object) -> bool:
    """Redis takes no writes at all, whatever they are: it is as good as away."""
    return isinstance(answer, RedisError) and str(answer).startswith(_UNABLE)


def _partition(calls: Sequence[Call], chosen: Callable[[Call], bool]) -> tuple[list[Call], list[Call]]:
    return [call for call in calls if chosen(call)], [call for call in calls if not chosen(call)]
