"""Refusals: the last requests that were refused, searched and sorted."""

from collections.abc import Mapping
from typing import Any

from courier.web.admin.answers import at
from courier.web.admin.listing import Table, find, parse_query
from courier.web.refusals import Refusal
from courier.web.site import Site

ORDER = "desc"
"""The newest first, when the request does not say."""

TABLE = Table[Refusal](
    name=lambda refusal: f"{refusal.number:020}",
    texts=lambda refusal: tuple(text for text in refusal if isinstance(text, str)),
    columns={
        "at": lambda refusal: refusal.at,
        "action": lambda refusal: refusal.action,
        "status": lambda refusal: refusal.status,
        "error": lambda refusal: refusal.error,
        "user_id": lambda refusal: refusal.user_id or "",
        "source": lambda refusal: refusal.source or "",
        "channel": lambda refusal: refusal.channel or "",
        "address": lambda refusal: refusal.address or "",
    },
)


async def list_refusals(site: Site, given: Mapping[str, str]) -> dict[str, Any]:
    """One page of the last refusals. HttpError 400 when the query cannot be read."""
    query = parse_query(given, TABLE.columns, ORDER)
    found = await find(site.refusals, TABLE, query)
    return {
        "refusals": [_row(refusal) for refusal in found.rows],
        "total": found.total,
        "limit": query.limit,
        "offset": query.offset,
    }


def _row(refusal: Refusal) -> dict[str, Any]:
    return {**refusal._asdict(), "at": at(refusal.at)}
