"""Grants: the channels that a token names, for its bearer to read, or for a service to publish to."""

import re
from typing import Any

from courier.schemas.channels import LONGEST_NAME, SEGMENT_PATTERN, ChannelName

MOST = 64
"""How many channels and prefixes a token may name."""

_ONE = rf"{SEGMENT_PATTERN}(?:\.{SEGMENT_PATTERN})*+(?:\.\*)?"
_LINES = re.compile(rf"{_ONE}(?:\n{_ONE})*+")


class Grants:
    """Channels by their exact names, and all below prefixes of whole segments."""

    __slots__ = ("_below", "_names")

    def __init__(self, said: Any) -> None:
        """`said` is what the claim says; ValueError unless that is a list of at most `MOST` texts, each the
        name of a channel, or a prefix of whole segments with `.*` behind it."""
        if not isinstance(said, list) or len(said) > MOST:
            raise ValueError(f"expected a list of at most {MOST} channels")
        try:
            lines = "\n".join(said)
        except TypeError:
            raise ValueError("expected texts") from None
        # All at once: a token may name many, and is judged at every join.
        whole = _LINES.fullmatch(lines) is not None and lines.count("\n") == len(said) - 1
        if said and (not whole or max(map(len, said)) > LONGEST_NAME):
            raise ValueError("expected names of channels, or prefixes ending in .*")
        self._names = said
        self._below = tuple([each[:-1] for each in said if each[-1] == "*"]) if "*" in lines else ()

    def __contains__(self, channel: ChannelName) -> bool:
        return channel.name in self._names or channel.name.startswith(self._below)


NOTHING = Grants([])
"""What a token grants that names no channels."""
