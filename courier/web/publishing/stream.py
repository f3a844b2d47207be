"""Stream: a publish request that is read as it comes, below Quart, which would keep all of it in memory."""

from typing import Any

from courier.web.asgi import send_answer
from courier.web.caller import Caller
from courier.web.paths import BATCH, PUBLISH
from courier.web.publishing.batch import NDJSON
from courier.web.publishing.judge import media_type
from courier.web.publishing.lines import publish_stream
from courier.web.request_ids import echo
from courier.web.site import Site


def is_stream(scope: Any) -> bool:
    """Whether the request (ASGI 3, `http` scope) is a batch of lines."""
    return (
        scope["type"] == "http"
        and scope["method"] == "POST"
        and scope["path"] == f"{PUBLISH}/{BATCH}"
        and media_type(_caller(scope)) == NDJSON
    )


async def serve_stream(site: Site, scope: Any, receive: Any, send: Any) -> None:
    """Publish the lines as they come, and answer at their end."""
    ended = False

    async def next_chunk() -> bytes:
        nonlocal ended
        chunk = b""
        while not chunk and not ended:
            event = await receive()
            ended = event["type"] == "http.disconnect" or not event.get("more_body")
            chunk = event.get("body", b"")
        return chunk

    caller = _caller(scope)
    answer = await publish_stream(site, caller, next_chunk)
    answer.headers.update(echo(caller.request_id))
    await send_answer(send, answer)


def _caller(scope: Any) -> Caller:
    headers = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    client = scope.get("client")
    return Caller.of(lambda name: headers.get(name.lower()), client[0] if client else None)._replace(
        idempotency_key=None
    )
