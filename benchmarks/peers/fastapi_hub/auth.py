"""Auth: tokens by PyJWT."""

import os
from typing import Any

import jwt

_SECRET = os.environ["JWT_SECRET"]


def claims(token: str, required: str) -> dict[str, Any] | None:
    """What a good token says, when it says `required`; None for any other."""
    try:
        found: dict[str, Any] = jwt.decode(
            token, _SECRET, algorithms=["HS256"], options={"require": ["exp", "iat", required]}
        )
    except jwt.PyJWTError:
        return None
    return found


def is_service(authorization: str | None, service: str) -> bool:
    """Whether the header bears a token of `service`."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer":
        return False
    found = claims(token, "service")
    return found is not None and found["service"] == service
