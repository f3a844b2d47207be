"""Events of the system itself: what everybody should know."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from courier.schemas.events.base import Event, Instant
from courier.schemas.names import Id


class Announcement(Event):
    """News for everybody."""

    type: Literal["system.announcement"]
    title: Annotated[str, Field(examples=["Hello"])]
    """A headline."""
    message: Annotated[str, Field(examples=["It works"])]
    """The text below it."""
    severity: Literal["info", "warning", "critical"]
    """How much it matters."""


class Maintenance(Event):
    """The system will be away for a while; the end lies after the start."""

    type: Literal["system.maintenance"]
    starts_at: Annotated[Instant, Field(examples=["2026-03-02T00:00:00Z"])]
    """When the system goes away."""
    ends_at: Annotated[Instant, Field(examples=["2026-03-02T01:00:00Z"])]
    """When it should be back: after `starts_at`."""
    message: Annotated[str, Field(examples=["New disks"])]
    """Why, for people."""

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
    service: Annotated[Id, Field(examples=["shop"])]
    """The service that is spoken of; `source` may be another one that watches it."""
    status: Literal["healthy", "degraded", "down"]
    """How it is."""
    message: str = ""
    """Why, for people."""
