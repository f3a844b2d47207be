"""ASGI: an answer as a server takes it, for what is served without Quart."""

from collections.abc import Iterable
from typing import Any

from courier.web.answer import Answer


async def send_answer(
    send: Any, answer: Answer, pieces: Iterable[bytes] | None = None, kind: str = "http"
) -> None:
    """Write the whole answer, as JSON.

    Where `pieces` are given they are the body: each is written before the next one is made, and `answer` has
    their `content-length`. `kind` is `websocket.http` when a handshake is refused.
    """
    headers = {"content-type": "application/json", "content-length": str(len(answer.body))} | answer.headers
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": f"{kind}.response.start", "status": answer.status, "headers": encoded})
    for piece in (answer.body,) if pieces is None else pieces:
        await send({"type": f"{kind}.response.body", "body": piece, "more_body": True})
    await send({"type": f"{kind}.response.body", "body": b"", "more_body": False})
