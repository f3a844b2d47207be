"""Config: what our server needs of Hypercorn's settings."""

import logging
import sys
import time
from functools import lru_cache

from hypercorn.config import Config

from courier.serving.desk.http import IDLE_SECONDS
from courier.serving.service import Service


def adapt(config: Config, service: Service) -> None:
    """Set what the server needs, whatever was there."""
    # As loggers, so that Hypercorn gives them no handlers of its own: its lines go where ours go.
    config.errorlog = logging.getLogger("hypercorn.error")
    if config.accesslog is not None:
        config.accesslog = logging.getLogger("hypercorn.access")
    config.alpn_protocols = ["http/1.1"]
    config.backlog = 2048
    config.graceful_timeout = 3.0  # what is left of plain HTTP after the application's own drain
    config.include_server_header = False
    config.keep_alive_max_requests = sys.maxsize  # a connection in use is not to be cut
    config.keep_alive_timeout = IDLE_SECONDS
    config.max_requests = None  # it would end the process without a drain
    config.websocket_max_message_size = service.max_message_bytes
    config.access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(b)s'  # no query: it may hold a token


def server_headers(config: Config) -> bytes:
    """What Hypercorn adds to every answer, the date above all, as lines."""
    return _server_headers(config, int(time.time()))


@lru_cache(maxsize=4)
def _server_headers(config: Config, second: int) -> bytes:
    return b"".join(b"%b: %b\r\n" % header for header in config.response_headers("h11"))
