"""Names: the ids and service names of claims and events."""

from typing import Annotated

from pydantic import Field

Id = Annotated[str, Field(min_length=1, max_length=128)]
"""What a service calls a thing of its own: Courier compares it and never looks inside."""

SERVICE_NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"

ServiceName = Annotated[str, Field(pattern=SERVICE_NAME_PATTERN)]
"""Who publishes: an event's `source`, the header `X-Service-Name` and a service token's `service`."""
