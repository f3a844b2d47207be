"""Revocations: operators make, list and take them back; and close a user's connections."""

import secrets
import time
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from courier.backplane.revocations import MOST, Revocation, Subject
from courier.logs import get_logger
from courier.schemas.claims import NumericDate
from courier.schemas.names import Id, ServiceName
from courier.web.admin.answers import at
from courier.web.admin.listing import Table, find, parse_query
from courier.web.errors import RETRY_AFTER, HttpError
from courier.web.site import Site

ORDER = "desc"
"""The youngest first, when the request does not say."""

BODY_BYTES = 8192

EXPECTED = (
    'Expected a JSON object with one of "user_id", "token_id" and "service", and perhaps "keep_seconds" and,'
    ' but for a token_id, "issued_before" (whole seconds since 1970)'
)
EXPECTED_USER = 'Expected a JSON object with "user_id"'

TABLE = Table[Revocation](
    name=lambda revocation: revocation.id,
    texts=lambda revocation: (revocation.id, revocation.name),
    columns={
        "expires_at": lambda revocation: revocation.expires_at,
        "subject": lambda revocation: revocation.subject,
        "name": lambda revocation: revocation.name,
    },
)

logger = get_logger(__name__)


class Request(BaseModel):
    """What is to be revoked."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    user_id: Id | None = None
    token_id: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    service: ServiceName | None = None
    issued_before: NumericDate | None = None
    keep_seconds: Annotated[int, Field(ge=1, le=10 * 365 * 86_400)] | None = None

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        given = [name for name in (self.user_id, self.token_id, self.service) if name is not None]
        if len(given) != 1 or (self.token_id is not None and self.issued_before is not None):
            raise PydanticCustomError("subject", "expected one subject")
        return self

    @property
    def subject(self) -> tuple[Subject, str]:
        if self.user_id is not None:
            return "user_id", self.user_id
        return ("service", self.service) if self.service is not None else ("token_id", self.token_id or "")


class User(BaseModel):
    """Whose connections are to be closed."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    user_id: Id


async def revoke(site: Site, body: bytes) -> dict[str, Any]:
    """Revoke what the body says. HttpError 400 for a body that does not say it, 503 when there is no room for
    another revocation; raises BackplaneAway when it could not be kept for all nodes."""
    try:
        asked = Request.model_validate_json(body)
    except ValidationError:
        asked = None
    if asked is None:
        raise HttpError(400, EXPECTED)
    held = site.node.hub.backplane.revocations
    if len(held) >= MOST:
        raise HttpError(503, f"There are {MOST:,} revocations already; some end by themselves", RETRY_AFTER)
    now = int(time.time())
    subject, name = asked.subject
    made = Revocation(
        secrets.token_hex(8),
        subject,
        name,
        None if subject == "token_id" else now if asked.issued_before is None else asked.issued_before,
        now + (asked.keep_seconds or site.settings.revocation_seconds),
    )
    await site.node.hub.backplane.revoke([made])
    logger.info("Revoked", subject=subject, id=made.id, issued_before=made.issued_before)
    return {"status": "revoked", **_row(made)}


async def take_back(site: Site, id: str) -> dict[str, Any]:
    """Let a revocation count no more. HttpError 404 when there is none of that id; raises BackplaneAway when
    that is not known yet, or could not be kept for all nodes."""
    found = site.revoking.known().get(id)
    if found is None:
        raise not_there()
    await site.node.hub.backplane.revoke([found._replace(taken_back=True)])
    logger.info("Revocation taken back", id=id)
    return {"status": "taken_back", "id": id}


def not_there() -> HttpError:
    """The answer about a revocation that does not count, or not any more."""
    return HttpError(404, "Revocation is not there, or not any more")


async def list_revocations(site: Site, given: Mapping[str, str]) -> dict[str, Any]:
    """One page of those that count. HttpError 400 when the query cannot be read; raises BackplaneAway until
    they have been read."""
    query = parse_query(given, TABLE.columns, ORDER)
    held = site.revoking.known().held(time.time())
    found = await find((each for each in held if not each.taken_back), TABLE, query)
    return {
        "revocations": [_row(revocation) for revocation in found.rows],
        "total": found.total,
        "limit": query.limit,
        "offset": query.offset,
    }


async def disconnect(site: Site, body: bytes) -> dict[str, Any]:
    """Close all connections of a user, on all nodes. HttpError 400 for a body that names none; raises
    BackplaneAway when other nodes could not be told."""
    try:
        user_id = User.model_validate_json(body).user_id
    except ValidationError:
        user_id = None
    if user_id is None:
        raise HttpError(400, EXPECTED_USER)
    connections = len(site.revoking.of(user_id))
    await site.node.hub.backplane.disconnect(user_id)
    logger.info("User disconnected", user_id=user_id, connections=connections)
    return {"status": "disconnecting", "connections": connections}


def _row(revocation: Revocation) -> dict[str, Any]:
    return {
        "id": revocation.id,
        revocation.subject: revocation.name,
        "issued_before": revocation.issued_before,
        "expires_at": at(revocation.expires_at),
    }
