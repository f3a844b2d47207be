"""WebSocket: the general path of a WebSocket, Quart-Trio's.

It takes what the desk does not: TLS, handshakes that are not plain, servers with an access log.
"""

from collections.abc import Callable
from typing import Any, cast

import trio
from quart import Websocket
from quart_trio.asgi import TrioASGIWebsocketConnection

from courier.backplane.steps import walk
from courier.serving.transport import BY_SERVER
from courier.web.head import is_plain
from courier.web.join import Handshake, join
from courier.web.paths import SUBSCRIBE
from courier.web.peer import AsgiPeer, Disconnected, Socket
from courier.web.site import Site


async def serve_websocket(site: Site, websocket: Websocket) -> None:
    """Serve a WebSocket to its end: a subscription, or a close that says why not."""
    peer = AsgiPeer(cast(Socket, websocket), lambda error: site.node.metrics.error("connection", error))
    await walk(join(site, handshake_of(websocket), peer))
    await peer.run()


def handshake_of(websocket: Websocket) -> Handshake:
    """What a join is judged by. The server has refused headers that came twice."""
    scope, headers = websocket.scope, websocket.headers
    path, plain = str(scope["path"]), is_plain(scope["raw_path"])
    return Handshake(
        None if path == SUBSCRIBE else path.removeprefix(f"{SUBSCRIBE}/") if plain else "",
        scope["query_string"],
        websocket.requested_subprotocols,
        headers.get("Origin"),
        headers.get("Authorization"),
        headers.get("X-Request-ID"),
        headers.get("traceparent"),
    )


class WebSocketConnection(TrioASGIWebsocketConnection):
    """Quart-Trio's, but that its handler hears how the WebSocket ended, where Quart would cancel it without a
    word; and a binary message that is empty."""

    async def handle_messages(self, nursery: trio.Nursery, receive: Any) -> None:  # type: ignore[override]
        give: Callable[[object], Any] = self.send_channel.send  # type: ignore[assignment]
        while (event := await receive())["type"] != "websocket.disconnect":
            if event["type"] == "websocket.receive":
                text = event.get("text")
                await give(event["bytes"] if text is None else text)
        await give(Disconnected(event.get("code"), bool(event.get(BY_SERVER))))
