"""Subscribe: a channel's events, as a program or a person at a terminal reads them."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

from trio_websocket import ConnectionClosed, open_websocket_url


class Closed(Exception):
    """The node ended the subscription: `code` and `reason` as in the table of close codes."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}".rstrip())
        self.code = code
        self.reason = reason


async def subscribe(
    url: str, channel: str, token: str, since: str | None = None
) -> AsyncIterator[dict[str, Any]]:
    """Yield the channel's events as they come; raises `Closed` at the end.

    `url` is the node's, `http://…` or `https://…`. Raises `trio_websocket.HandshakeError`, or an OSError,
    when there is no node.
    """
    address = f"{url.replace('http', 'ws', 1).rstrip('/')}/ws/{channel}"
    if since is not None:
        address += "?" + urlencode({"since": since})
    headers = [(b"Authorization", f"Bearer {token}".encode())]
    async with open_websocket_url(address, extra_headers=headers, message_queue_size=256) as websocket:
        while True:
            try:
                message = await websocket.get_message()
            except ConnectionClosed as error:
                reason = error.reason
                raise Closed(reason.code if reason else 1006, (reason and reason.reason) or "") from None
            if message == "ping":
                await websocket.send_message("pong")
            elif message != "pong":
                yield json.loads(message)
