"""Grants: the channels that a token names, for its bearer to read, or for a service to publish to."""

import re
from typing import Any

from courier.schemas.channels import LONGEST_NAME, SEGMENT_PATTERN, ChannelName

MOST = 64
"""How many channels and prefixes a token may name."""

_LINES = re.compile(rf"{SEGMENT_PATTERN}(?:(?:\.|\n|\.\*\n){SEGMENT_PATTERN})*+(?:\.\*)?")
"""Names and prefixes, a line each."""


class Grants:
    """Channels by their exact names, and all below prefixes of whole segments."""

    __slots__ = ("_names",)

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

    def __contains__(self, channel: ChannelName) -> bool:
        name, names = channel.name, self._names
        if name in names:
            return True
        dot = name.find(".")
        while dot >= 0:  # few, where the names may be many
            if f"{name[:dot]}.*" in names:
                return True
            dot = name.find(".", dot + 1)
        return False


NOTHING = Grants([])
"""What a token grants that names no channels."""
