"""Site: everything that a request handler needs, in one value."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from courier.backplane.steps import Walker
from courier.logs import SERVICE
from courier.node import Node
from courier.schemas.registry import Registry
from courier.settings import Settings
from courier.web.access import Rules
from courier.web.auth import Verifier
from courier.web.exchange.text import OneChannel
from courier.web.rate_limit import RateLimiter, SharedRateLimiter
from courier.web.readers import Readers
from courier.web.refusals import Refusals
from courier.web.revoking import Revoking
from courier.web.sessions import Served
from courier.web.turns import Turns

_logger = logging.getLogger(SERVICE)


def _texts() -> dict[bool, OneChannel]:
    return {comes_back: OneChannel(comes_back=comes_back) for comes_back in (False, True)}


@dataclass(frozen=True, slots=True)
class Site:
    """One node, as the web sees it."""

    node: Node
    registry: Registry
    verifier: Verifier
    limiter: RateLimiter | SharedRateLimiter
    rules: Rules
    walker: Walker = field(init=False)
    revoking: Revoking = field(init=False)
    turns: Turns = field(default_factory=Turns)
    readers: Readers = field(default_factory=Readers)
    sessions: dict[str, Served] = field(default_factory=dict)
    """Subscriptions that are being served, by the subscriber's id."""
    texts: Mapping[bool, OneChannel] = field(default_factory=_texts)
    """Of event streams of one channel, by whether they come back to a place in it."""
    refusals: Refusals = field(default_factory=Refusals)
    """The last requests that were refused."""

    def __post_init__(self) -> None:
        hub = self.node.hub
        object.__setattr__(self, "walker", Walker(hub.supervisor.spawn))
        keep_seconds = self.settings.revocation_seconds
        revoking = Revoking(hub.backplane.revocations, self.sessions, self.rules.forget, keep_seconds)
        object.__setattr__(self, "revoking", revoking)

    @property
    def verbose(self) -> bool:
        """Whether each event is a line in the log: at debug only."""
        return _logger.isEnabledFor(logging.DEBUG)

    @property
    def settings(self) -> Settings:
        return self.node.settings
