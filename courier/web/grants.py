"""Grants: the channels that a token names, for its bearer to read, or for a service to publish to."""

from typing import Any

from courier.schemas.channels import ChannelName, may_be_channel

MOST = 64
"""How many channels and prefixes a token may name."""

BELOW = ".*"


class Grants:
    """Channels by their exact names, and all below prefixes; compared whole and exact, segment by segment.

    However many there are, to look one channel up takes as many steps as its name has segments.
    """

    __slots__ = ("_below", "_names")

    def __init__(self, said: Any) -> None:
        """`said` is what the claim says; ValueError unless that is a list of at most `MOST` texts, each the
        name of a channel, or a prefix of whole segments with `.*` behind it."""
        if not isinstance(said, list) or len(said) > MOST:
            raise ValueError(f"expected a list of at most {MOST} channels")
        names: set[str] = set()
        below: set[str] = set()
        for each in said:
            prefix = each.removesuffix(BELOW) if isinstance(each, str) else ""
            if not may_be_channel(prefix):
                raise ValueError("expected names of channels, or prefixes ending in .*")
            (names if prefix == each else below).add(prefix)
        self._names = frozenset(names)
        self._below = frozenset(below)

    def __contains__(self, channel: ChannelName) -> bool:
        name = channel.name
        if name in self._names:
            return True
        if self._below:
            at = name.find(".")
            while at >= 0:
                if name[:at] in self._below:
                    return True
                at = name.find(".", at + 1)
        return False


NOTHING = Grants([])
"""What a token grants that names no channels."""
