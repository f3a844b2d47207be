"""Backplane: what outlives a node's channel, behind one protocol.

A channel that starts asks where its log goes on; one that retires leaves behind where it stopped. In
memory that is a table of this process; with Redis it will be the stream that all nodes share.
"""

from typing import Protocol

from courier.backplane.origin import Origin


class Backplane(Protocol):
    """Keeps, for channels that no actor holds, where they stopped."""

    async def follow(self, channel: str) -> Origin:
        """Where the channel's log goes on; a new epoch when nothing is known of it."""

    def unfollow(self, channel: str, origin: Origin) -> None:
        """Remember where the channel stopped."""


__all__ = ["Backplane", "Origin"]
