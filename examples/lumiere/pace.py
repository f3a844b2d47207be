"""Pace: how fast the services of the example live."""

import asyncio
import os
import sys
from dataclasses import dataclass

FASTEST = 100


@dataclass(frozen=True)
class Pace:
    """So many times faster than a person likes to watch."""

    times: float = 1.0

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.times)


def choose_pace() -> Pace:
    """What LUMIERE_PACE says, if anything; ends the program when that is no pace."""
    said = os.environ.get("LUMIERE_PACE") or "1"
    try:
        times = float(said)
    except ValueError:
        times = 0
    if not 0 < times <= FASTEST:
        sys.exit(f"LUMIERE_PACE={said}: a pace is a number above 0, and {FASTEST} at most")
    return Pace(times)
