"""What most tests do: the usual client, the usual event, and how it is read."""

import os
from contextlib import suppress
from typing import Any

from courier_client import CourierClient, Event, Subscription
from nodes import service_token, token

Told = tuple[str, str, dict[str, Any]]


def client(url: str, **settings: Any) -> CourierClient:
    return CourierClient(**{"url": url, "service_name": "tests", "token": service_token()} | settings)


def told(title: str, channel: str = "global") -> Told:
    """A small valid event, as `publish` takes it."""
    return channel, "system.announcement", {"title": title, "message": "m", "severity": "info"}


async def next_event(events: Subscription) -> Event:
    """The next event, where no gap is expected."""
    event = await anext(events)
    assert isinstance(event, Event)
    return event


async def titles(events: Subscription, count: int) -> list[str]:
    return [(await next_event(events)).data["title"] for _ in range(count)]


async def read(courier: CourierClient, channel: str, since: str, count: int) -> list[str]:
    """The titles of so many events after `since`."""
    async with courier.subscribe(channel, since=since, token=token()) as events:
        return await titles(events, count)


def open_sockets() -> set[str]:
    """The sockets of this process."""
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the one by which this very folder is read
            found.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    return {one for one in found if one.startswith("socket")}
