"""Two echoes to try implementations against: one on the desk, one by Quart-Trio on Hypercorn.

`python -m tests.serving.echoes` serves both until it is interrupted, and says where. Autobahn's own program
(`wstest -m fuzzingclient`) can be pointed there: it runs on Python 2 or in its container.
"""

import math
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio
from quart import request, websocket
from quart_trio import QuartTrio

from courier.serving.hypercorn import install
from tests.serving.applications import Echo, a_service, served
from tests.serving.desk.desks import MAX_MESSAGE_BYTES, an_echo_desk
from tests.web.servers import TestServer

FULL_SIZE = 17 * 1024 * 1024
"""Autobahn's largest message is of 16 MiB."""


@dataclass
class QuartEcho(Echo):
    """An application by Quart-Trio that says what it hears."""

    def __post_init__(self) -> None:
        self._app = QuartTrio(__name__)
        self._app.websocket("/echo")(_echo)
        self._app.post("/echo")(_echo_body)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)


async def _echo_body() -> str | bytes:
    return await request.get_data()


async def _echo() -> None:
    while True:
        message = await websocket.receive()
        await websocket.send(
            b"" if message is None else message
        )  # Quart gives an empty binary message as None


@asynccontextmanager
async def a_quart_echo(max_message_bytes: int = MAX_MESSAGE_BYTES) -> AsyncIterator[TestServer]:
    install()
    async with served(QuartEcho(a_service(max_message_bytes=max_message_bytes))) as server:
        yield server


async def main() -> None:
    desk = an_echo_desk(max_message_bytes=FULL_SIZE, seconds=math.inf)
    async with desk as one, a_quart_echo(FULL_SIZE) as other:
        urls = [f"ws://127.0.0.1:{server.port}/echo" for server in (one, other)]
        sys.stdout.write("On the desk: {}\nBy Quart-Trio: {}\n".format(*urls))
        sys.stdout.flush()
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main)
