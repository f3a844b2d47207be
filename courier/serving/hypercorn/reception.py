"""Reception: the desk of a server, and its way to the general path."""

from collections.abc import Callable
from functools import partial
from typing import Any

import trio
from hypercorn.config import Config

from courier.logs import get_logger
from courier.serving.desk.connection import Connection
from courier.serving.desk.desk import Desk
from courier.serving.desk.http import Http
from courier.serving.desk.lingering import Lingering
from courier.serving.desk.messages import Messages
from courier.serving.hypercorn.config import server_headers
from courier.serving.hypercorn.connection import HandedOver
from courier.serving.hypercorn.context import ServerContext
from courier.serving.service import Service

logger = get_logger(__name__)


def open_desk(
    service: Service, config: Config, context: ServerContext, serve: Callable[[Any, HandedOver], None]
) -> Desk:
    """A desk that gives to `serve`, as a stream of Trio, each connection that is not for it."""

    def hand_over(desk: Desk, row: Connection, data: bytes) -> None:
        sock = desk.remove(row)
        serve(trio.SocketStream(trio.socket.from_stdlib_socket(sock)), HandedOver(data, row.used_at))

    def newcomers(desk: Desk) -> Http:
        lingering = Lingering(desk)
        return Http(
            desk,
            service,
            Messages(desk, lingering, service.max_message_bytes),
            lingering,
            hand_over=partial(hand_over, desk),
            date=partial(server_headers, config),
        )

    return Desk(service, newcomers, elsewhere=context.links.__len__)


class DeskFailure:
    """What escaped from the desk, which cannot go on: the node drains, and ends with an exit code."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._failed = trio.Event()

    async def watch(self, desk: Desk) -> None:
        """Run the desk."""
        try:
            await desk.run()
        except Exception as error:
            self._service.fault(error)
            logger.critical("Desk failed", exc_info=error)
            self._failed.set()

    async def wait(self) -> None:
        await self._failed.wait()

    def raise_if_set(self) -> None:
        if self._failed.is_set():
            raise SystemExit("Courier stopped: the desk failed, see the log")
