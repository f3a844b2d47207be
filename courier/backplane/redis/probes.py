"""Probes: calls that show whether Redis does what a node needs, without touching a channel."""

from dataclasses import replace

from courier.backplane import Publication
from courier.backplane.known import Known
from courier.backplane.redis.calls import Call, Calls
from courier.backplane.redis.options import RedisOptions
from courier.backplane.redis.requests import Admit, Publish, Read
from courier.redis_url import RedisUrl
from courier.schemas.channels import ChannelName

KEPT_SECONDS = 60.0
"""What a probe writes goes by itself after so long."""


class Probes:
    """The same calls as for callers, of a log that nobody follows. No other node has `name`, and no other
    task of this one: calls of one log go one after the other."""

    def __init__(self, url: RedisUrl, options: RedisOptions, name: str) -> None:
        kept = replace(
            options, history_events=1, history_seconds=KEPT_SECONDS, history_bytes=0, remembered_seconds=0
        )
        self._calls = Calls(url, kept, name, Known(0))
        self.log = ChannelName(f"probe:{name}", "global", None)
        self.feed = self._calls.feed_of(self.log)
        """May be subscribed to, to see whether Redis allows it."""
        self._service = f"probe:{name}"

    def publish(self) -> list[Call]:
        return [self._calls.make([Publish(self.log, [Publication(b"{}")], 0)])]

    def admit(self) -> list[Call]:
        return [self._calls.make([Admit(self._service, 1, 1_000_000, 1)])]

    def read(self) -> list[Call]:
        """With something to read: less would be asked of Redis for an empty log."""
        return [*self.publish(), self._calls.make([Read(self.log, None, 1)])]
