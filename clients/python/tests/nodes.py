"""Real nodes for tests on any event loop: each a process of its own, which may be killed and started
again."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import jwt
import trio

from courier.web.server import serve
from tests.web.servers import SECRET, settings_for, token

__all__ = ["SECRET", "Node", "node", "service_token", "token"]

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["courier.web.server", "tests.web.servers"])


class Node:
    """A node on a port that it keeps."""

    def __init__(self, **settings: Any) -> None:
        self._settings = {"bind": "127.0.0.1:0"} | settings
        self._process: Any = None

    @property
    def url(self) -> str:
        return f"http://{self._settings['bind']}"

    @property
    def port(self) -> int:
        return int(self._settings["bind"].rpartition(":")[2])

    def start(self) -> None:
        """Start it, and return when it serves."""
        mine, its = _PROCESSES.Pipe()
        self._process = _PROCESSES.Process(target=_run, args=(self._settings, its))
        self._process.start()
        assert mine.poll(20), "the node did not start"
        self._settings["bind"] = mine.recv().partition("://")[2]

    def kill(self) -> None:
        """SIGKILL: nobody is told."""
        self._process.kill()
        self._process.join()

    def leave(self) -> None:
        """SIGTERM: it drains."""
        self._process.terminate()

    def pause(self) -> None:
        """It hangs, with its connections open, until `go_on`."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        os.kill(self._process.pid, number)


def _run(settings: dict[str, Any], parent: Connection) -> None:
    async def main() -> None:
        async with trio.open_nursery() as nursery:
            [url] = await nursery.start(_serve, settings)
            parent.send(url)

    trio.run(main)


async def _serve(settings: dict[str, Any], task_status: trio.TaskStatus[list[str]]) -> None:
    tls = {name: settings.pop(name, None) for name in ("certfile", "keyfile")}
    await serve(settings_for(**settings), task_status=task_status, **tls)


@contextmanager
def node(**settings: Any) -> Iterator[Node]:
    """A node for the length of a block."""
    self = Node(**settings)
    self.start()
    try:
        yield self
    finally:
        self.kill()


def service_token(service: str = "tests", **claims: Any) -> str:
    """A token that lets `service` publish."""
    now = int(time.time())
    return jwt.encode({"service": service, "iat": now, "exp": now + 3600} | claims, SECRET, "HS256")
