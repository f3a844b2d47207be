"""ChannelName: the name under which services publish and subscribers join."""

import re
from functools import lru_cache
from typing import Literal, NamedTuple, cast, get_args

Kind = Literal["global", "user", "strategy", "backtest", "forge.job"]
"""What a channel is about: the part of its name before the id. Limits and metrics are labelled by kind."""

KINDS: tuple[Kind, ...] = get_args(Kind)

SEGMENT_PATTERN = "[A-Za-z0-9_@|:+~-]{1,128}"
"""An id in a channel's name: `auth0|5f7c8ec7` and `urn:acme:7` are ids of identity providers. Nothing in it
separates: no dot, no slash, and no brace, which ends a hash tag in Redis."""

CHANNEL_PATTERN = rf"^(global|(user|strategy|backtest|forge\.job)\.{SEGMENT_PATTERN})$"
_CHANNEL = re.compile(rf"global|(user|strategy|backtest|forge\.job)\.({SEGMENT_PATTERN})")

SEGMENT_SAID = "1 to 128 of A-Z a-z 0-9 _ - @ | : + ~"
"""The same for people."""

UNKNOWN_CHANNEL = (
    "Unknown channel: expected global, user.<id>, strategy.<id>, backtest.<id> or forge.job.<id>,"
    f" where <id> is {SEGMENT_SAID}"
)

_NAMES_KEPT = 4096


class UnknownChannelError(ValueError):
    """A text that names no channel; its message says which names there are, and never repeats the text."""


class ChannelName(NamedTuple):
    """A channel's name, taken apart: `user.u1` is of kind `user` with id `u1`; `global` has no id."""

    name: str
    kind: Kind
    id: str | None

    def __str__(self) -> str:
        return self.name

    @staticmethod
    def parse(text: str) -> "ChannelName":
        """The channel that `text` names, whole and exact; UnknownChannelError when it names none."""
        return _parse(text)


@lru_cache(maxsize=_NAMES_KEPT)
def _parse(text: str) -> ChannelName:
    match = _CHANNEL.fullmatch(text)
    if match is None:
        raise UnknownChannelError(UNKNOWN_CHANNEL)
    return ChannelName(text, cast(Kind, match[1] or "global"), match[2])
