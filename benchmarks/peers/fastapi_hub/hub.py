"""Hub: who subscribes to what, and the loop that serves them."""

import secrets
from collections import defaultdict

from fastapi import WebSocket, WebSocketDisconnect

from benchmarks.peers.fastapi_hub import metrics


class Hub:
    """A dict of sets of WebSockets."""

    def __init__(self) -> None:
        self.subscribers: dict[str, set[WebSocket]] = {}
        self._epoch = secrets.token_hex(4)
        self._offsets: defaultdict[str, int] = defaultdict(int)

    def join(self, channel: str, websocket: WebSocket) -> None:
        self.subscribers.setdefault(channel, set()).add(websocket)

    def leave(self, channel: str, websocket: WebSocket) -> None:
        subscribers = self.subscribers.get(channel, set())
        subscribers.discard(websocket)
        if not subscribers:
            self.subscribers.pop(channel, None)

    async def broadcast(self, channel: str, event: str) -> tuple[str, int]:
        """Send `event`, a JSON object, to every subscriber; its new id, and how many got it."""
        self._offsets[channel] += 1
        event_id = f"{self._epoch}-{self._offsets[channel]}"
        text = f'{{"id":"{event_id}","channel":"{channel}",{event[1:]}'
        reached = 0
        for websocket in tuple(self.subscribers.get(channel, ())):
            try:
                await websocket.send_text(text)
                reached += 1
            except (WebSocketDisconnect, RuntimeError):
                self.leave(channel, websocket)
        metrics.DELIVERED.inc(reached)
        return event_id, reached
