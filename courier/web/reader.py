"""Reader: judges who reads over HTTP, as a join is judged, in HTTP's words."""

from courier.actors.errors import Draining
from courier.backplane.steps import Steps
from courier.schemas.position import Since, parse_since
from courier.web.access import Access, AccessRefused, AccessUnknown
from courier.web.admission import admit
from courier.web.auth import AuthError, KeysUnavailable, TokenExpired, TokenMissing, TokenRevoked
from courier.web.errors import RETRY_AFTER, REVOKED, HttpError, cause_for_bearer
from courier.web.site import Site


def admit_reader(site: Site, token: str | None, channel: str, known: dict[str, str]) -> Steps[Access]:
    """Proof that a channel may be read; `known` gets what is found out on the way. Raises what the table of
    errors has an HTTP answer for."""
    if site.node.hub.draining:
        raise Draining
    try:
        return (yield from admit(site, token, channel, known))
    except KeysUnavailable:
        raise
    except AuthError as error:
        raise unauthorized(error) from None
    except AccessRefused as error:
        raise forbidden(str(error)) from None
    except AccessUnknown:
        raise access_unknown() from None


def unauthorized(error: AuthError) -> HttpError:
    """The 401 of a subscriber's token."""
    if isinstance(error, TokenMissing):
        return HttpError(401, "Authentication token required", {"WWW-Authenticate": "Bearer"})
    if isinstance(error, TokenRevoked):
        sentence = REVOKED
    else:
        sentence = "Token expired" if isinstance(error, TokenExpired) else "Invalid token"
    headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
    return HttpError(401, sentence, headers, why=str(error), **cause_for_bearer(error))


def forbidden(why: str = "") -> HttpError:
    """The 403 of a channel that is not this subscriber's; `why` is for operators."""
    return HttpError(403, "Unauthorized access to channel", why=why)


def access_unknown() -> HttpError:
    """The 503 of a channel of which nobody can say now who may read it."""
    return HttpError(503, "Nobody can say now who may read this channel; try again later", RETRY_AFTER)


def read_since(text: str | None) -> Since | None:
    """Where to start; raises 400 for what is no position and no time."""
    try:
        return None if text is None else parse_since(text)
    except ValueError as error:
        raise HttpError(400, f"Unreadable since: {error}") from None
