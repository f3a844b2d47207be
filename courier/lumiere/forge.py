"""Events of Forge: a job that builds a strategy."""

from typing import Literal

from courier.lumiere import jobs


class ForgeJobStarted(jobs.Started):
    """The job runs, with these parameters."""

    type: Literal["forge.job_started"]


class ForgeJobProgress(jobs.Progress):
    """How far the job has come."""

    type: Literal["forge.job_progress"]


class ForgeJobCompleted(jobs.Completed):
    """The job is done: how long it took, and what it built."""

    type: Literal["forge.job_completed"]


class ForgeJobFailed(jobs.Failed):
    """The job ended without a result."""

    type: Literal["forge.job_failed"]
