"""CORS: which web pages may read what is for subscribers (Fetch Standard, 3.2)."""

from courier.settings import Settings


def cors_headers(settings: Settings, origin: str | None) -> dict[str, str]:
    """The headers that let a page of an allowed origin read the answer; never with credentials."""
    if not settings.allowed_origins:
        return {}
    headers = {"Vary": "Origin"}
    if origin is not None and origin.lower() in settings.allowed_origins:
        headers["Access-Control-Allow-Origin"] = origin
    return headers


def preflight_headers(settings: Settings, origin: str | None) -> dict[str, str]:
    """The answer to a page that asks whether it may send its token."""
    headers = cors_headers(settings, origin)
    if "Access-Control-Allow-Origin" in headers:
        headers |= {
            "Access-Control-Allow-Methods": "GET",
            "Access-Control-Allow-Headers": "Authorization, Last-Event-ID",
            "Access-Control-Max-Age": "600",
        }
    return headers
