"""Requests: what changes the file, and the replies that are waited for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from courier.backplane import Origin, Outcome, Publication
from courier.backplane.reply import Reply
from courier.backplane.revocations import Revocation
from courier.schemas.channels import ChannelName


@dataclass(frozen=True, slots=True, eq=False)
class Publish:
    """Append these."""

    channel: ChannelName
    publications: Sequence[Publication]
    reached: int
    reply: Reply[list[Outcome]] = field(default_factory=Reply)


@dataclass(frozen=True, slots=True, eq=False)
class Follow:
    """Say where the log stands, behind all that was asked before."""

    channel: ChannelName
    reply: Reply[Origin] = field(default_factory=Reply)


@dataclass(frozen=True, slots=True, eq=False)
class Revoke:
    """Remember these revocations."""

    entries: Sequence[Revocation]
    reply: Reply[None] = field(default_factory=Reply)


@dataclass(frozen=True, slots=True, eq=False)
class Count:
    """Add these events to the windows of their services."""

    admitted: Sequence[tuple[str, int, int]]
    """Service, the second of the clock of ages, events."""
    reply: Reply[None] = field(default_factory=Reply)


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """Change something that nobody reads: whether the disk takes it."""

    reply: Reply[None] = field(default_factory=Reply)


Request: TypeAlias = Publish | Follow | Revoke | Count | Probe
