"""Revoking: refuses tokens that were revoked, and ends what they have opened."""

import time
from collections.abc import Callable, Mapping, Sequence

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
        self._look_at_life(claims.exp - claims.iat)

    def check_service(self, publisher: Publisher) -> None:
        """The same for a service's token."""
        self._check("service", publisher.name, publisher.issued_at, publisher.token_id)
        self._look_at_life(publisher.expires_at - publisher.issued_at)

    def _look_at_life(self, seconds: float) -> None:
        """Say once that a token lasts longer than its revocation would be remembered."""
        if seconds > self._keep_seconds and not self._warned:
            self._warned = True
            logger.warning("Token outlives revocations", seconds=self._keep_seconds)

    def known(self) -> Revocations:
        """The revocations. Raises BackplaneAway until they have been read."""
        if not self._revocations.known:
            raise BackplaneAway("Revocations have not been read yet")
        return self._revocations

    def _check(self, subject: str, name: str, issued_at: int, token_id: str | None) -> None:
        held = self.known()
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
            session.connection.end(CloseReason.TRY_AGAIN_LATER)

    def of(self, user_id: str) -> list[Served]:
        """The user's connections on this node."""
        return [each for each in self._sessions.values() if each.connection.owner == user_id]

    def _end(self, new: Sequence[Revocation]) -> None:
        """End what the revoked tokens have opened on this node: one walk, however many are new."""
        users = {each.name for each in new if each.subject == "user_id"}
        tokens = {each.name for each in new if each.subject == "token_id"}
        for user_id in users:
            self._forget(user_id)
        if not (users or tokens):
            return
        now = time.time()
        for session in list(self._sessions.values()):
            user_id, token_id = session.connection.owner, session.token_id
            if (token_id is not None and token_id in tokens) or (
                user_id in users and self._revocations.revokes("user_id", user_id, session.issued_at, now)
            ):
                session.connection.end(CloseReason.TOKEN_REVOKED)
