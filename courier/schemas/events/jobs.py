"""Jobs: the stages that a backtest and a forge job have in common."""

from typing import Annotated

from pydantic import Field

from courier.schemas.events.base import Event, Fraction, JsonObject
from courier.schemas.names import Id


class JobEvent(Event):
    """What every stage of a job names: the job and its owner."""

    job_id: Id
    user_id: Id


class Started(JobEvent):
    """The job runs, with these parameters."""

    parameters: JsonObject


class Progress(JobEvent):
    """How far the job has come."""

    progress: Fraction
    stage: str
    message: str


class Completed(JobEvent):
    """The job is done: how long it took, and what it found."""

    duration_seconds: Annotated[int, Field(ge=0)]
    summary: JsonObject


class Failed(JobEvent):
    """The job ended without a result."""

    error_code: str
    message: str
    details: str = ""
