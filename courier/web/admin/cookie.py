"""Cookie: the admin's session in a browser: signed, with an end, and without the token."""

import hmac
import secrets
import time
from collections.abc import Callable

from pydantic import SecretStr

COOKIE = "courier_admin"
PATH = "/admin"
SESSION_SECONDS = 12 * 3600

_LABEL = b"courier admin session 1"
_LONGEST = 200


class Cookies:
    """Makes sessions and knows its own. All nodes with the same admin token take each other's; with another
    token all sessions have ended."""

    def __init__(self, token: SecretStr, now: Callable[[], float] = time.time) -> None:
        # A key of its own, so that no cookie says anything of the token.
        self._key = hmac.digest(token.get_secret_value().encode(), _LABEL, "sha256")
        self._now = now

    def make(self) -> str:
        """A session that begins now: `<end>.<nonce>.<mac>`."""
        claim = f"{int(self._now()) + SESSION_SECONDS}.{secrets.token_hex(8)}"
        return f"{claim}.{self._mac(claim)}"

    def is_good(self, cookie: str | None) -> bool:
        """Whether it is one that we made, unchanged, and has not ended."""
        if cookie is None or len(cookie) > _LONGEST or not cookie.isascii():
            return False
        claim, _, mac = cookie.rpartition(".")
        if not hmac.compare_digest(mac, self._mac(claim)):
            return False
        return self._now() < int(claim.partition(".")[0])

    def _mac(self, claim: str) -> str:
        return hmac.new(self._key, claim.encode(), "sha256").hexdigest()


def cookie_header(value: str, *, secure: bool) -> str:
    """`Set-Cookie` for a session (RFC 6265 section 4.1); for the empty one, which ends it."""
    age = SESSION_SECONDS if value else 0
    header = f"{COOKIE}={value}; Path={PATH}; Max-Age={age}; HttpOnly; SameSite=Strict"
    return f"{header}; Secure" if secure else header
