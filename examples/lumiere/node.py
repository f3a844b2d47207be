"""The example's node of Courier: a process, started again whenever it ends."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

COURIER = Path(sys.executable).with_name("courier")
PATIENCE_SECONDS = 20


class NodeFailed(Exception):
    """A node could not be started or has failed; what it had to say about that is on standard error."""


async def keep_a_node(bind: str, secret: str, page: str, tell: Callable[[str], None]) -> None:
    """Runs until it is cancelled, then drains. Raises NodeFailed when a node is late or fails."""
    env = (
        {"COURIER_DRAIN_SECONDS": "1", "COURIER_LOG_LEVEL": "error"}
        | os.environ
        | {
            "COURIER_JWT_SECRET": secret,
            "COURIER_RATE_LIMIT": "0",
            # Browsers take the machine's name for another origin than its number.
            "COURIER_ALLOWED_ORIGINS": f"{page},{page.replace('127.0.0.1', 'localhost')}",
        }
    )
    while True:
        # In a session of its own it does not hear Ctrl-C: the services stop first, and then the node.
        process = await asyncio.create_subprocess_exec(
            str(COURIER), "serve", "--bind", bind, env=env, start_new_session=True
        )
        try:
            await _until_ready(f"http://{bind}", process)
            tell(f"Courier is at http://{bind}, as process {process.pid}.")
            if await process.wait() > 0:  # of itself, and not by a signal: another one would do the same
                raise NodeFailed("Courier has failed")
            tell("Courier has ended, and is started again.")
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


async def _until_ready(url: str, process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), httpx.AsyncClient() as http:
            while process.returncode is None:
                try:
                    if (await http.get(f"{url}/health/ready")).is_success:
                        return
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise NodeFailed(f"Courier was not ready within {PATIENCE_SECONDS} seconds") from None
    raise NodeFailed("Courier could not be started")
