"""Gate: who may see the admin's page and answers, and whose requests are taken."""

import ipaddress
from collections.abc import Mapping
from hmac import compare_digest
from typing import NamedTuple
from urllib.parse import urlsplit

import trio

from courier.logs import get_logger
from courier.settings import Settings
from courier.web.admin.cookie import Cookies
from courier.web.auth import bears
from courier.web.errors import HttpError
from courier.web.rate_limit import RateLimiter

SIGN_INS = 10
SIGN_IN_SECONDS = 60
SIGN_IN_ADDRESSES = 1000
"""So many sign-ins are judged in such a time, for each address that tries; beyond so many addresses the
newcomers share one count."""

logger = get_logger(__name__)


class Visit(NamedTuple):
    """A request, as far as it is judged here."""

    method: str
    address: str | None
    """The peer's; None on a Unix socket."""
    headers: Mapping[str, str]
    """By lower-case name."""
    cookie: str | None

    @property
    def is_local(self) -> bool:
        """Whether it comes from this machine's own programs, and through no proxy that shows itself.

        The `Host` is looked at because a page of a stranger may have given its own name our address.
        """
        forwarded = any(name.startswith(("forwarded", "x-forwarded-")) for name in self.headers)
        return _is_loopback(self.address) and self.is_for_loopback and not forwarded

    @property
    def is_for_loopback(self) -> bool:
        """Whether the name that the browser shows is this machine's own."""
        return _is_loopback(_host_name(self.headers.get("host", "")))


class Gate:
    """Judges visits, by the settings alone."""

    def __init__(self, settings: Settings) -> None:
        self._token = settings.admin_token
        self._hidden = settings.env == "production"
        self._cookies = None if self._token is None else Cookies(self._token)
        self._sign_ins = RateLimiter(SIGN_INS, SIGN_IN_SECONDS, max_services=SIGN_IN_ADDRESSES)

    def exists(self, visit: Visit) -> None:
        """Return when the visitor may know that there is a page, though perhaps not yet what is on it.

        Otherwise raises HttpError: 404 in production, and in development 403 that says what to do.
        """
        if self._token is not None or (not self._hidden and visit.is_local):
            return
        if self._hidden:
            raise nothing_here()
        raise HttpError(
            403, "Admin page is for this machine only; set COURIER_ADMIN_TOKEN to open it to others"
        )

    def admit(self, visit: Visit) -> None:
        """Return when the visitor may see everything and do what it asks.

        Otherwise raises HttpError: as `exists`; 404, in development 401, without a good token or session;
        403 when another site's page has sent it.
        """
        self.exists(visit)
        by_cookie = False
        if self._token is not None and not bears(visit.headers.get("authorization"), self._token):
            by_cookie = True
            if not self._knows(visit.cookie):
                raise self._unknown()
        if visit.method not in ("GET", "HEAD"):
            check_origin(visit, required=by_cookie)

    def sign_in(self, visit: Visit, token: str) -> str:
        """A session, in exchange for the token.

        Otherwise raises HttpError: 401 for a wrong token, 429 after too many of them, 403 from another site.
        """
        if self._token is None or self._cookies is None:
            raise nothing_here()
        check_origin(visit, required=False)
        verdict = self._sign_ins.admit(visit.address or "", 1, trio.current_time())
        if not verdict.admitted:
            seconds = max(1, round(verdict.reset_seconds))
            raise HttpError(429, "Too many attempts to sign in", {"Retry-After": str(seconds)})
        if not compare_digest(token.encode(), self._token.get_secret_value().encode()):
            logger.warning("Admin sign-in refused", address=visit.address)
            raise HttpError(401, "Wrong admin token")
        logger.info("Admin signed in", address=visit.address)
        return self._cookies.make()

    def _knows(self, cookie: str | None) -> bool:
        return self._cookies is not None and self._cookies.is_good(cookie)

    def _unknown(self) -> HttpError:
        if self._hidden:
            return nothing_here()
        return HttpError(401, "Admin token required", {"WWW-Authenticate": "Bearer"})


def nothing_here() -> HttpError:
    """What a path answers that does not exist."""
    return HttpError(404, "There is nothing at this path")


def check_origin(visit: Visit, *, required: bool) -> None:
    """Return when the page that sends the request is our own.

    The host is compared, not the scheme: behind a proxy that ends TLS, Courier does not know it. Raises
    HttpError 403; also without an `Origin`, which every browser sends with a POST, when it is `required`.
    """
    origin = visit.headers.get("origin")
    if origin is None and not required:
        return
    try:
        parts = urlsplit(origin or "")
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or parts.netloc.lower() != visit.headers.get("host", "").lower():
        raise HttpError(403, "Request comes from another site")


def _host_name(host: str) -> str:
    """The name or address in a `Host` header (RFC 9110 section 7.2), without its port."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str | None) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
