"""Revoking: refuses tokens that were revoked, and ends what they have opened."""

import time
from collections.abc import Callable, Iterable, Mapping

from courier.backplane import BackplaneAway
from courier.backplane.revocations import Revocation, Revocations
from courier.logs import get_logger
from courier.schemas.closing import CloseReason
from courier.web.auth import Identity, Publisher, TokenRevoked, token_id_of
from courier.web.sessions import Served

logger = get_logger(__name__)


class Revoking:
    """Judges tokens by the revocations of all nodes, and hears of new ones."""

    def __init__(
        self,
        revocations: Revocations,
        sessions: Mapping[str, Served],
        forget: Callable[[str], None],
        keep_seconds: int,
    ) -> None:
        """`forget` lets go of what a user was allowed; revocations are kept for `keep_seconds`."""
        self._revocations = revocations
        self._sessions = sessions
        self._forget = forget
        self._keep_seconds = keep_seconds
        self._warned = False
        revocations.heard = self._end
        revocations.disconnect = self.disconnect

    def check_subscriber(self, identity: Identity) -> None:
        """Raise TokenRevoked for a token that counts no more; BackplaneAway when that is not known yet."""
        claims = identity.claims
        self._check("user_id", claims.user_id, claims.iat, token_id_of(identity.said))
        if claims.exp - time.time() > self._keep_seconds and not self._warned:
            self._warned = True
            logger.warning("Token outlives revocations", seconds=self._keep_seconds)

    def check_service(self, publisher: Publisher) -> None:
        """The same for a service's token."""
        self._check("service", publisher.name, publisher.issued_at, publisher.token_id)

    def _check(self, subject: str, name: str, issued_at: int, token_id: str | None) -> None:
        held = self._revocations
        if not held.known:
            raise BackplaneAway("Revocations have not been read yet")
        if not held:
            return
        now = time.time()
        revoked = held.revokes("user_id" if subject == "user_id" else "service", name, issued_at, now)
        if revoked or (token_id is not None and held.revokes("token_id", token_id, 0, now)):
            raise TokenRevoked

    def disconnect(self, user_id: str) -> None:
        """End all connections of a user on this node; it may come back."""
        self._forget(user_id)
        for session in self.of(user_id):
            session.subscriber.end(CloseReason.TRY_AGAIN_LATER)

    def of(self, user_id: str) -> list[Served]:
        """The user's connections on this node."""
        return [each for each in self._sessions.values() if each.subscriber.owner == user_id]

    def _end(self, revocation: Revocation) -> None:
        """End what the revoked tokens have opened on this node."""
        for session in list(self._hit(revocation)):
            session.subscriber.end(CloseReason.TOKEN_REVOKED)

    def _hit(self, revocation: Revocation) -> Iterable[Served]:
        _, subject, name, issued_before, *_ = revocation
        if subject == "token_id":
            return (each for each in self._sessions.values() if each.token_id == name)
        if subject == "user_id":
            self._forget(name)
            return (each for each in self.of(name) if each.issued_at <= (issued_before or 0))
        return ()
