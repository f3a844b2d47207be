"""What is changed in Hypercorn 0.18, each thing with its reason; only this package knows its insides.

`install` puts our classes in the place of Hypercorn's, in its own modules, so that every command that runs an
`Application` (`courier.serving.service`) runs the same server. Servers of other applications in the same
process are Hypercorn's own. Each change has a test in `tests/web/test_hypercorn.py` that fails when a release
makes it wrong or needless.
"""

import sys
from collections.abc import Callable
from typing import Any

import hypercorn.protocol
import hypercorn.protocol.h11
import hypercorn.protocol.ws_stream
import hypercorn.trio.run
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.protocol.ws_stream import WSStream

from courier.serving.hypercorn.asyncio_worker import hand_over
from courier.serving.hypercorn.context import ServerContext
from courier.serving.hypercorn.http1 import Http1
from courier.serving.hypercorn.websocket import WebSocketStream
from courier.serving.hypercorn.worker import worker_serve

__all__ = ["install"]


def install() -> None:
    """Put our server in the place of Hypercorn's. A second call changes nothing."""
    _put(hypercorn.trio.run, "worker_serve", worker_serve)
    _put(hypercorn.protocol.h11, "WSStream", _in_our_servers(WebSocketStream, WSStream))
    _put(hypercorn.protocol, "H11Protocol", _in_our_servers(Http1, H11Protocol))
    # Compression costs 93 KiB a connection and one deflate a subscriber an event, and what comes in may
    # grow a thousandfold before its size is looked at. RFC 7692, 5 lets a server decline.
    _put(hypercorn.protocol.ws_stream, "server_extensions_handshake", _no_extensions)
    if "hypercorn.asyncio.run" in sys.modules:
        hand_over(sys.modules["hypercorn.asyncio.run"])


def _put(owner: object, name: str, ours: object) -> None:
    """Replace what is there; AttributeError when a release of Hypercorn has nothing there."""
    getattr(owner, name)
    setattr(owner, name, ours)


def _in_our_servers(ours: Callable[..., Any], stock: Callable[..., Any]) -> Callable[..., Any]:
    """Makes `ours` for connections of our servers, and `stock` for those of others."""

    def make(app: Any, config: Any, context: Any, *args: Any, **kwargs: Any) -> Any:
        kind = ours if isinstance(context, ServerContext) else stock
        return kind(app, config, context, *args, **kwargs)

    return make


def _no_extensions(requested: Any, supported: Any) -> None:
    """In the place of `wsproto.handshake.server_extensions_handshake`, as Hypercorn calls it."""
