"""Access: may this subscriber read this channel? The one place that says so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

from courier.backplane.steps import Steps
from courier.logs import get_logger
from courier.schemas.channels import Allows, ChannelKind, ChannelName, Kinds
from courier.schemas.claims import SubscriberClaims
from courier.web.auth import Identity

SLOW_SECONDS = 0.01
"""A function that takes longer is counted: it runs in the event loop."""

logger = get_logger(__name__)


class AccessRefused(Exception):
    """The channel is not this subscriber's to read, today or tomorrow.

    The text is for operators: it says more of a channel than a stranger may know.
    """


class RuleSlow(Exception):
    """A rule took longer than `SLOW_SECONDS`. It is counted, and never raised."""


class AccessUnknown(Exception):
    """Nobody can say now whether the subscriber may read the channel; it may try again."""


@dataclass(frozen=True, slots=True)
class Access:
    """Proof that a subscriber may read a channel. Only `Rules.admit` makes it."""

    identity: Identity
    channel: ChannelName


class Rules:
    """The rules of all kinds of channels, judged alike at a join, a refresh, and a history request."""

    def __init__(
        self,
        kinds: Kinds,
        asked: Mapping[str, Allows],
        error: Callable[[str, BaseException], None],
        forget: Callable[[str], None] = lambda user_id: None,
    ) -> None:
        """`asked` answers for the kinds whose rule asks somebody else; `error` counts a rule that failed."""
        self.forget = forget
        """Ask anew when this user comes back: what was answered for it may be otherwise now."""
        self._kinds = kinds
        self._asked = asked
        self._error = error

    def admit(self, identity: Identity, channel: ChannelName) -> Steps[Access]:
        """Let a subscriber read `channel`. It waits only where somebody else is asked.

        Raises AccessRefused, or AccessUnknown when nobody can say now.
        """
        claims, kind = identity.claims, self._kinds[channel.kind]
        match kind.join:
            case "everyone":
                pass
            case _ if channel in identity.grants:
                pass
            case "owner":
                if channel.ids[0] != claims.user_id:
                    raise AccessRefused("channel is another user's")
            case "granted":
                raise AccessRefused("no grant in the token names the channel")
            case rule:
                asked = self._asked.get(kind.name)
                if asked is None:
                    admitted: Any = self._judge(kind, rule, claims, channel)
                else:
                    admitted = yield partial(asked, identity, channel)
                if admitted is not True:
                    raise AccessRefused(f"rule of kind {kind.name} does not admit this user")
        return Access(identity, channel)

    def _judge(self, kind: ChannelKind, rule: Any, claims: SubscriberClaims, channel: ChannelName) -> bool:
        """What a function says. One that fails, or says anything but a bool, admits nobody; one that is slow
        is counted and logged, for everybody else waits meanwhile."""
        start = perf_counter()
        try:
            said = _bool(rule(claims, channel))
        except Exception as error:  # the rule is somebody else's and may raise anything
            self._error("rule", error)
            logger.error("Rule failed", kind=kind.name, exc_info=error)
            return False
        if (seconds := perf_counter() - start) > SLOW_SECONDS:
            self._error("rule", RuleSlow())
            logger.warning("Rule is slow", kind=kind.name, milliseconds=round(1000 * seconds))
        return said


def _bool(said: Any) -> bool:
    if not isinstance(said, bool):
        raise TypeError(f"rule gave {type(said).__name__}: expected True or False")
    return said
