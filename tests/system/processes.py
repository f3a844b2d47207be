"""Real processes: a node as each command starts it, and the signals that end it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio

from tests.web.servers import SECRET, TestServer

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

COMMANDS = {
    "courier serve": ["courier", "serve", "--bind", "{bind}"],
    "hypercorn": ["hypercorn", "-b", "{bind}", "courier.web:app"],
    "hypercorn -k trio": ["hypercorn", "-k", "trio", "-b", "{bind}", "courier.web:app"],
    "hypercorn -c": ["hypercorn", "-c", "deploy/hypercorn.toml", "-b", "{bind}", "courier.web:app"],
    "hypercorn -w 0": ["hypercorn", "-w", "0", "-k", "trio", "-b", "{bind}", "courier.web:app"],
}
"""What the contract says runs the app, and Hypercorn without a master."""


class NodeProcess(TestServer):
    """A node in a process group of its own."""

    def __init__(self, url: str, process: trio.Process, log: Path) -> None:
        super().__init__(url)
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        """What it has written to standard error."""
        return self._log.read_text()

    def signal_master(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Signal the process that was started, and no other."""
        self.process.send_signal(number)

    def signal_group(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Signal it and all its children, as a terminal or a service manager does."""
        os.killpg(self.process.pid, number)

    async def says(self, status: int) -> None:
        """Return when it gives this status to who asks whether it is ready."""
        with trio.fail_after(20):
            while True:
                assert self.process.returncode is None, self.log
                try:
                    if (await self.request("GET", "/health/ready")).status == status:
                        return
                except OSError:
                    await trio.sleep(0.05)  # nothing says when a process begins to listen

    async def exit_code(self) -> int:
        return await self.process.wait()


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment(**variables: str) -> dict[str, str]:
    """The machine's environment without its Courier, and a test's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("COURIER_")}
    return kept | {
        "COURIER_JWT_SECRET": SECRET,
        "COURIER_RATE_LIMIT": "0",
        "COURIER_LOG_FORMAT": "json",
        **{f"COURIER_{key}": value for key, value in variables.items()},
    }


@asynccontextmanager
async def a_node(
    log: Path,
    command: Sequence[str] = COMMANDS["courier serve"],
    bind: str | None = None,
    **variables: str,
) -> AsyncIterator[NodeProcess]:
    """A node, started by `command` and ready; killed at the end of the block if it still runs."""
    async with a_listening_node(log, command, bind, **variables) as node:
        await node.says(200)
        yield node


@asynccontextmanager
async def a_listening_node(
    log: Path,
    command: Sequence[str] = COMMANDS["courier serve"],
    bind: str | None = None,
    **variables: str,
) -> AsyncIterator[NodeProcess]:
    """The same, but that it may be long until it is ready."""
    bind = bind or f"127.0.0.1:{a_free_port()}"
    program, *arguments = (part.format(bind=bind) for part in command)
    with log.open("wb") as stderr:
        process = await trio.lowlevel.open_process(
            [str(BIN / program), *arguments],
            cwd=ROOT,
            env=environment(**variables),
            stderr=stderr,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    node = NodeProcess(f"http://{bind}", process, log)
    try:
        yield node
    finally:
        with suppress(ProcessLookupError):
            node.signal_group(signal.SIGKILL)
        with trio.CancelScope(shield=True):
            await process.wait()
