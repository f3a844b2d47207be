"""Jobs: the stages that a backtest and a forge job have in common."""

from typing import Annotated

from pydantic import Field

from courier.schemas.events.base import ErrorCode, ErrorText, Event, Fraction, JsonObject
from courier.schemas.names import Id


class JobEvent(Event):
    """What every stage of a job names: the job and its owner."""

    job_id: Id
    """The job in the queue."""
    user_id: Annotated[Id, Field(examples=["alice"])]
    """Whose job it is."""


class Started(JobEvent):
    """The job runs, with these parameters."""

    parameters: JsonObject
    """What the job was started with, as its service understands it."""


class Progress(JobEvent):
    """How far the job has come."""

    progress: Fraction
    """The share of the work that is done, 0 to 1."""
    stage: Annotated[str, Field(examples=["simulate"])]
    """What it is at now, in one word."""
    message: Annotated[str, Field(examples=["Half way"])]
    """The same for people."""


class Completed(JobEvent):
    """The job is done: how long it took, and what it found."""

    duration_seconds: Annotated[int, Field(ge=0, examples=[42])]
    """How long it took, in whole seconds."""
    summary: JsonObject
    """What came of it, as its service understands it."""


class Failed(JobEvent):
    """The job ended without a result."""

    error_code: ErrorCode
    message: ErrorText
    details: str = ""
    """More details, for people."""
