"""History: what a channel's log holds, read page by page."""

from collections.abc import AsyncGenerator
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx

from courier.terminal.errors import Unreachable, refused

PAGE_EVENTS = 1000
SECONDS = 30.0


class Page(NamedTuple):
    """Some events, oldest first, and whether none that belong before them are gone."""

    events: list[dict[str, Any]]
    complete: bool


async def history(
    url: str, channel: str, token: str, since: str | None, limit: int
) -> AsyncGenerator[Page, None]:
    """Yield pages until `limit` events have come, or the log's end: those after `since`, or the newest.

    Raises Refused or Unreachable.
    """
    async with httpx.AsyncClient(
        base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=SECONDS
    ) as http:
        more = True
        while more and limit > 0:
            query: dict[str, str] = {"limit": str(min(limit, PAGE_EVENTS))}
            if since is not None:
                query["since"] = since
            try:
                answer = await http.get(f"/history/{quote(channel, safe='')}", params=query)
            except httpx.TransportError as error:
                raise Unreachable(f"No node at {url}: {error or type(error).__name__}") from None
            if answer.status_code != 200:
                raise refused(answer)
            page = answer.json()
            since, more = page["position"], page["more"] and since is not None
            limit -= len(page["events"])
            yield Page(page["events"], page["complete"])
