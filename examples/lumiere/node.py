"""The example's node of Courier: a process, started again whenever it ends."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

COURIER = Path(sys.executable).with_name("courier")
PATIENCE_SECONDS = 20


async def keep_a_node(bind: str, secret: str, origin: str, tell: Callable[[str], None]) -> None:
    """Run until it is cancelled, and drain then. Raises when a node does not get ready."""
    env = (
        {"COURIER_DRAIN_SECONDS": "1", "COURIER_LOG_LEVEL": "error"}
        | os.environ
        | {
            "COURIER_JWT_SECRET": secret,
            "COURIER_RATE_LIMIT": "0",
            "COURIER_ALLOWED_ORIGINS": origin,
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
            await process.wait()
            tell("Courier has ended, and is started again.")
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()


async def _until_ready(url: str, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS), httpx.AsyncClient() as http:
        while True:
            if process.returncode is not None:
                raise RuntimeError("Courier could not be started")
            try:
                if (await http.get(f"{url}/health/ready")).is_success:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)
