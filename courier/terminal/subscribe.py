"""Subscribe: events of channels, as a program or a person at a terminal reads them."""

import json
import random
import ssl
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from courier.schemas.closing import CloseReason, ComeBack
from courier.terminal.errors import Closed, Refused, Unreachable

SILENT_HEARTBEATS = 2.5
"""A node says something every heartbeat; after so many without a word it has gone."""

MAX_BACKOFF_SECONDS = 15.0

CONNECT_SECONDS = 10.0
"""How long a connection may take until its handshake is done."""

MESSAGE_BYTES = 64 * 1024 * 1024
"""No node can be set to send a longer message: it takes events of 16 MiB at most, which may grow almost
fourfold as they are written again (`1e15` as `1000000000000000.0`)."""

_TOO_BIG = 1009

_BEGINNINGS = ("courier.joined", "courier.subscribed")

_STAY_AWAY = frozenset(
    (each.code, each.reason)
    for each in CloseReason
    if each.come_back in (ComeBack.NO, ComeBack.WITH_NEW_TOKEN)
)


Positions = dict[str, str | None]
"""Where each channel goes on; None: with its next event."""


async def subscribe(
    url: str, channels: Sequence[str], token: str, since: str | None = None
) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the channels' events, and `courier.gap` where some are missing, as they come.

    `url` is the node's, `http://…` or `https://…`. Raises Closed when the node ends a subscription, and
    Unreachable when there is no node or it has fallen silent.
    """
    async with aclosing(_messages(url, token, dict.fromkeys(channels, since))) as messages:
        async for message in messages:
            if message["type"] not in _BEGINNINGS:
                yield message


async def _messages(url: str, token: str, positions: Positions) -> AsyncGenerator[dict[str, Any], None]:
    """As `subscribe`, and of each channel `courier.joined` or `courier.subscribed` first.

    One channel has a connection of its own; several share one.
    """
    heartbeat_seconds = 30.0
    slot_seconds = None
    try:
        async with _open(url, token, positions) as websocket:
            while True:
                try:
                    with trio.fail_after(heartbeat_seconds * SILENT_HEARTBEATS):
                        message = await websocket.get_message()
                except ConnectionClosed as error:
                    code, reason = (
                        (error.reason.code, error.reason.reason or "") if error.reason else (1006, "")
                    )
                    if code == _TOO_BIG and reason != CloseReason.MESSAGE_TOO_BIG.reason:
                        what = "An event is larger than this side or a proxy takes, and would come again"
                        raise Refused(f"{what}: {code} {reason}") from None
                    raise Closed(code, reason, slot_seconds) from None
                if message == "ping":
                    await websocket.send_message("pong")
                    continue
                event = json.loads(message)
                match event["type"]:
                    case "courier.joined":
                        heartbeat_seconds = event["heartbeat_seconds"]
                        yield event
                    case "courier.connected":
                        heartbeat_seconds = event["heartbeat_seconds"]
                        for ref, (channel, since) in enumerate(positions.items()):
                            said = {"type": "courier.subscribe", "ref": ref, "channel": channel}
                            await websocket.send_message(
                                json.dumps(said if since is None else said | {"since": since})
                            )
                    case "courier.subscribed":
                        yield event
                    case "courier.ended":
                        raise Closed(event["code"], event["reason"], channel=event["channel"])
                    case "courier.drain":
                        slot_seconds = event["reconnect_in_ms"] / 1000
                    case "courier.gap":
                        yield event
                    case other if not other.startswith("courier."):
                        yield event
    except trio.TooSlowError:
        raise Unreachable(f"The node at {url} has fallen silent") from None
    except ConnectionRejected as error:
        raise Unreachable(
            f"No node at {url}: it answers {error.status_code} where Courier would join"
        ) from None
    except (OSError, HandshakeError) as error:
        raise Unreachable(f"No node at {url}: {str(error) or type(error).__name__}") from None


def _position(message: dict[str, Any], since: str | None) -> str | None:
    """Where to go on after this message, for a subscriber that came from `since`."""
    match message["type"]:
        case "courier.joined" | "courier.subscribed":
            # On a quiet channel this is the only position there is. Where the join recovered nothing, a gap
            # comes next: until it is here, the next join must ask for the same again.
            recovered: bool = since is None or message["recovered"]
            return str(message["position"]) if recovered else since
        case "courier.gap":
            return str(message["resumed_from"])
        case _:
            return str(message["id"])


@asynccontextmanager
async def _open(url: str, token: str, positions: Positions) -> AsyncGenerator[WebSocketConnection, None]:
    """A WebSocket on a stream of ours: trio-websocket leaves its own open when the node closes."""
    parts = urlsplit(url)
    path = f"{parts.path.rstrip('/')}/ws"
    if len(positions) == 1:
        [(channel, since)] = positions.items()
        path += f"/{quote(channel, safe='')}"
        if since is not None:
            path += "?" + urlencode({"since": since})
    deadline = trio.current_time() + CONNECT_SECONDS
    with trio.fail_at(deadline):
        stream = await _connect(parts)
    try:
        async with stream, trio.open_nursery() as nursery:
            with trio.fail_at(deadline):
                websocket = await wrap_client_stream(
                    nursery,
                    stream,
                    parts.netloc.rpartition("@")[2],
                    path,
                    subprotocols=["courier.v1"],
                    extra_headers=[(b"Authorization", f"Bearer {token}".encode())],
                    message_queue_size=256,
                    max_message_size=MESSAGE_BYTES,
                )
            yield websocket
    except BaseExceptionGroup as group:
        # A nursery wraps even one; the connection's own tasks raise nothing beside it.
        [only] = group.exceptions
        raise only from None


async def _connect(parts: SplitResult) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    secure = parts.scheme == "https"
    host = parts.hostname or ""
    stream = await trio.open_tcp_stream(host, parts.port or (443 if secure else 80))
    if not secure:
        return stream
    return trio.SSLStream(stream, ssl.create_default_context(), server_hostname=host, https_compatible=True)


async def follow(
    url: str, channels: Sequence[str], token: str, since: str | None, tell: Callable[[str], None]
) -> AsyncGenerator[dict[str, Any], None]:
    """As `subscribe`, and come back where it stopped for as long as the close code says that one may.

    A node that drains is come back to at the slot that it gave, any other end after a random while that
    grows (full jitter). `tell` gets a sentence for each. Raises Closed when coming back would be in vain.
    """
    failures = 0
    positions: Positions = dict.fromkeys(channels, since)
    while True:
        try:
            async with aclosing(_messages(url, token, dict(positions))) as messages:
                async for message in messages:
                    channel = message["channel"]
                    positions[channel] = _position(message, positions[channel])
                    if message["type"] not in _BEGINNINGS:
                        failures = 0
                        yield message
        except (Closed, Unreachable) as end:
            if isinstance(end, Closed) and (end.code, end.reason) in _STAY_AWAY:
                raise
            seconds = getattr(end, "slot_seconds", None)
            if seconds is None:
                seconds = random.uniform(0, min(MAX_BACKOFF_SECONDS, 0.5 * 2**failures))  # noqa: S311
                failures += 1
            tell(f"{end}; coming back in {seconds:.1f} s")
            await trio.sleep(seconds)
