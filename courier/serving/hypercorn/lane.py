"""Lane: answers the plain requests of one connection by its application's lane."""

import time
from contextlib import suppress
from functools import lru_cache
from typing import Any

import trio
from hypercorn.config import Config

from courier.serving.hypercorn.link import Link
from courier.serving.service import Lane

SPLIT_SECONDS = 0.05
"""How long the rest of a request is waited for before the request is left to Hypercorn."""

TURN_SECONDS = 0.001
"""How long a connection's requests are answered one after the other before others get a turn."""


class LaneUser:
    """What a connection has read, shown to the lane before Hypercorn sees it."""

    __slots__ = ("_address", "_beginning", "_config", "_lane", "_link")

    def __init__(self, lane: Lane[Any], link: Link, config: Config) -> None:
        self._lane = lane
        self._beginning = lane.beginning
        self._link = link
        self._address = link.address
        self._config = config

    def takes(self, data: bytes) -> bool:
        """Whether `data` may begin with a request for the lane."""
        return data.startswith(self._beginning)

    async def answer(self, data: bytes) -> bytes:
        """Answer the plain requests that `data` begins with; returns what is left for Hypercorn."""
        lane, link = self._lane, self._link
        done = 0
        answers: list[bytes] = []
        until = time.perf_counter() + TURN_SECONDS
        while done < len(data) and not lane.closed():
            if time.perf_counter() >= until:  # of so many requests that others should get a turn
                await trio.lowlevel.cancel_shielded_checkpoint()
                until = time.perf_counter() + TURN_SECONDS
            request = lane.next_request(data, done, self._address)
            if request is None:
                break
            if request.whole:
                answers.append(await lane.respond(request, _server_headers(self._config, int(time.time()))))
                done = request.end
                continue
            # Many clients send head and body apart: the rest is most likely on its way.
            await link.send_soon(b"".join(answers))
            answers.clear()
            data, done = data[done:], 0
            more = await self._receive_soon()
            if not more:
                break
            data += more
        if answers:
            # Others that were readable publish first, so that the answers leave one right after the other:
            # to wake a reader costs more than to write to one that is awake.
            await trio.lowlevel.cancel_shielded_checkpoint()
            await link.send_soon(b"".join(answers))
        return data[done:]

    async def _receive_soon(self) -> bytes:
        """What comes within a moment; nothing when nothing does, or nothing ever will."""
        with trio.move_on_after(SPLIT_SECONDS), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            return await self._link.receive()
        return b""


@lru_cache(maxsize=4)
def _server_headers(config: Config, second: int) -> bytes:
    """What Hypercorn adds to every answer, the date above all, as lines; made once a second."""
    return b"".join(b"%b: %b\r\n" % header for header in config.response_headers("h11"))
