"""Events of the system itself: what everybody should know."""

from typing import Literal

from pydantic import ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from courier.schemas.events.base import Event, Instant
from courier.schemas.names import Id


class Announcement(Event):
    """News for everybody."""

    type: Literal["system.announcement"]
    title: str
    message: str
    severity: Literal["info", "warning", "critical"]


class Maintenance(Event):
    """The system will be away for a while; the end lies after the start."""

    type: Literal["system.maintenance"]
    starts_at: Instant
    ends_at: Instant
    message: str

    @field_validator("ends_at")
    @classmethod
    def _after_the_start(cls, ends_at: Instant, info: ValidationInfo) -> Instant:
        starts_at = info.data.get("starts_at")
        if starts_at is not None and ends_at <= starts_at:
            raise PydanticCustomError("ends_before_start", "Input should be after starts_at")
        return ends_at


class ServiceStatus(Event):
    """How one of the services is doing."""

    type: Literal["system.service_status"]
    service: Id
    status: Literal["healthy", "degraded", "down"]
    message: str = ""
