"""A service manager, as far as a node sees one: it is told things, and hands down a socket that it keeps."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio

from tests.system.processes import BIN, ROOT, NodeProcess, environment

LAUNCH = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""
"""What happens between fork and exec: the number of the process is not known before."""


class Ear:
    """A service manager's end: a socket that is told things."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.setblocking(False)

    def __enter__(self) -> "Ear":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    async def wait_for(self, *lines: str) -> None:
        """Return when there has been a message with all of these lines."""
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            if any(set(lines) <= set(message) for message in self.heard()):
                return

    def heard(self) -> list[list[str]]:
        """The lines of every message since the last time."""
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode().split("\n"))
            except BlockingIOError:
                return messages


@asynccontextmanager
async def a_told_node(
    listener: socket.socket,
    log: Path,
    command: Sequence[str],
    /,
    told: dict[str, str] | None = None,
    **variables: str,
) -> AsyncIterator[NodeProcess]:
    """A node that is started as a service manager starts one, with `listener` as its descriptor 3; it is not
    waited for. Killed at the end of the block if it still runs."""
    program, *arguments = command
    with log.open("ab") as stderr:
        process = await trio.lowlevel.open_process(
            [sys.executable, "-c", LAUNCH, str(listener.fileno()), str(BIN / program), *arguments],
            cwd=ROOT,
            env=environment(**variables) | (told or {}),
            stderr=stderr,
            stdout=subprocess.DEVNULL,
            pass_fds=(listener.fileno(),),
            start_new_session=True,
        )
    node = NodeProcess("http://{}:{}".format(*listener.getsockname()), process, log)
    try:
        yield node
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with trio.CancelScope(shield=True):
            await process.wait()
