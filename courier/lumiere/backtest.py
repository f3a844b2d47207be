"""Events of a backtest: a strategy tried on the past."""

from typing import Annotated, Literal

from pydantic import Field

from courier.lumiere import jobs
from courier.schemas.events.base import Event, Fraction
from courier.schemas.names import Id


class _BacktestEvent(Event):
    backtest_id: Id
    """The backtest; its own channel is `backtest.<id>`."""


class BacktestStarted(_BacktestEvent, jobs.Started):
    """The backtest runs, with these parameters."""

    type: Literal["backtest.started"]


class BacktestProgress(_BacktestEvent, jobs.Progress):
    """How far the backtest has come."""

    type: Literal["backtest.progress"]


class BacktestCompleted(_BacktestEvent, jobs.Completed):
    """The backtest is done: how long it took, and what it found."""

    type: Literal["backtest.completed"]


class BacktestFailed(_BacktestEvent, jobs.Failed):
    """The backtest ended without a result."""

    type: Literal["backtest.failed"]


class BacktestCancelled(_BacktestEvent, jobs.JobEvent):
    """Somebody stopped the backtest before its end."""

    type: Literal["backtest.cancelled"]
    reason: Annotated[str, Field(examples=["by its owner"])]
    """Why, for people."""
    progress_at_cancellation: Fraction
    """How far it had come, 0 to 1."""
