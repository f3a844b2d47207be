"""Body: a request's body, whole, or a refusal before it is read."""

import trio
from quart import Request

from courier.actors.errors import Draining
from courier.serving.requests import REQUEST_SECONDS
from courier.web.errors import HttpError
from courier.web.site import Site


async def read_body(site: Site, request: Request, limit: int) -> bytes:
    """The body of a request to publish; raises `Draining`, or what `read_bytes` does."""
    if site.node.hub.draining:
        raise Draining
    return await read_bytes(request, limit)


async def read_bytes(request: Request, limit: int) -> bytes:
    """The request's body, of at most `limit` bytes.

    Raises an `HttpError` 413 as soon as Content-Length says so or that much has come, or 408 when it takes
    too long. The rest is then for the server to drop.
    """
    if (request.content_length or 0) > limit:
        raise too_large(limit)
    body = bytearray()
    with trio.move_on_after(REQUEST_SECONDS) as patience:
        async for chunk in request.body:
            body += chunk
            if len(body) > limit:
                raise too_large(limit)
    if patience.cancelled_caught:
        raise too_slow()
    return bytes(body)


def too_slow() -> HttpError:
    """The 408 of a body that takes too long."""
    return HttpError(408, "Request body did not come in time", seconds=REQUEST_SECONDS)


def too_large(limit: int) -> HttpError:
    """The 413 of a body over `limit` bytes."""
    return HttpError(413, "Request body is too large", limit_bytes=limit)
