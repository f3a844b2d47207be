"""Strays: variables that somebody has set for Courier, and that it does not read."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from courier.settings import CLIENT_VARIABLES, PREFIX, VARIABLES

_MEANT = {
    "JWT_ALGORITHM": "COURIER_JWT_ALGORITHMS",
    "COURIER_JWT_ALGORITHM": "COURIER_JWT_ALGORITHMS",
    "ENVIRONMENT": "COURIER_ENV",
    "COURIER_ENVIRONMENT": "COURIER_ENV",
    "APP_ENV": "COURIER_ENV",
    "HOST": "COURIER_BIND",
    "COURIER_HOST": "COURIER_BIND",
    "PORT": "COURIER_BIND",
    "COURIER_PORT": "COURIER_BIND",
    "CORS_ORIGINS": "COURIER_ALLOWED_ORIGINS",
    "COURIER_CORS_ORIGINS": "COURIER_ALLOWED_ORIGINS",
}
"""What other services call them."""


def strays(environ: Mapping[str, str | None]) -> Iterator[str]:
    """A sentence for each variable in `environ` that looks like a setting and is none, by name.

    One without the prefix may be another program's, so it is passed over when the setting itself is there.
    """
    known = VARIABLES | CLIENT_VARIABLES
    for name in sorted(environ.keys() - known):
        prefixed = name.upper().startswith(PREFIX)
        meant = _meant(name.upper(), known)
        if prefixed:
            nearest = f"; do you mean {meant}?" if meant else ""
            yield f"{name} is an unknown setting{nearest}"
        elif meant and not environ.get(meant):
            yield f"{name} is not read: set {meant}"


def _meant(name: str, known: frozenset[str]) -> str | None:
    """The setting that a name is most likely meant to be; for one without the prefix no guess."""
    if name in _MEANT:
        return _MEANT[name]
    if not name.startswith(PREFIX):
        return PREFIX + name if PREFIX + name in VARIABLES else None
    return next(iter([name] if name in known else get_close_matches(name, known, 1, 0.8)), None)
