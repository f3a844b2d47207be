"""Pace: how fast the services of the example live."""

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True)
class Pace:
    """So many times faster than a person likes to watch."""

    times: float = 1.0

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.times)
