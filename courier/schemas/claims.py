"""Claims: what a verified token says about its bearer."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from courier.schemas.names import Id, ServiceName

NumericDate = Annotated[int, Field(ge=0, le=253_402_300_799)]
"""Whole seconds since 1970 (RFC 7519 section 2), until the end of year 9999, where ISO 8601 ends."""


class _Claims(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    exp: NumericDate
    iat: NumericDate


class SubscriberClaims(_Claims):
    """Who subscribes; a wrong claim is a ValidationError, another claim is ignored (RFC 7519 section 4).

    A model of your own derives from it and adds fields: rules get it, and tokens without those are refused.
    """

    user_id: Id


class ServiceClaims(_Claims):
    """Who publishes; a wrong claim is a ValidationError, another claim is ignored (RFC 7519 section 4)."""

    service: ServiceName
