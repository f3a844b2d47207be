"""TokenLife: when a subscriber is asked for a new token, and when its subscription ends without one."""

from typing import NamedTuple, Self

WARNING_SECONDS = 60.0
"""How long before its end the subscriber of a token is asked for a new one."""

SPREAD_SECONDS = 4.0
"""How long after its token's end a subscription may last: those who signed in together end apart."""


class TokenLife(NamedTuple):
    """Moments of one clock, in seconds."""

    warn_at: float
    expires_at: float
    ends_at: float
    """When the subscription ends: a little after its token."""

    @classmethod
    def of(cls, exp: float, wall_now: float, now: float, share: float) -> Self:
        """The life of a token that ends at `exp`, on a clock that says `now` when the wall clock, by which
        `exp` is meant, says `wall_now`. `share`, from 0 to 1, is how much of the spread it gets."""
        left = exp - wall_now
        warning = WARNING_SECONDS if left >= 2 * WARNING_SECONDS else left / 2
        expires_at = now + left
        return cls(expires_at - warning, expires_at, expires_at + share * SPREAD_SECONDS)

    def seconds_left(self, now: float) -> int:
        """Until the token ends, to the nearest second; 0 when it has ended."""
        return max(0, round(self.expires_at - now))
