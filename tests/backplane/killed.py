"""A process that publishes to a log on disk as fast as it can, until it is killed.

It prints the position and the number of each event that was acknowledged, a line each.
"""

import math
import os
import sys
from pathlib import Path

import trio

from courier.actors.hub import Hub, open_hub
from courier.actors.limits import Limits
from courier.backplane import Appended, Publication
from courier.backplane.sqlite import SqliteOptions, open_sqlite
from tests.names import channel_name

CHANNELS = [channel_name(f"user.u{number}") for number in range(4)]


async def publish(hub: Hub, publisher: int) -> None:
    channel, number = CHANNELS[publisher % len(CHANNELS)], 0
    while True:
        number += 1
        name = f"{publisher}-{number}"
        event = Publication(b'{"n":"%b"}' % name.encode(), f"tests/{name}", b"d")
        for outcome in await hub.publish(channel, [event], math.inf):
            assert isinstance(outcome, Appended)
            os.write(1, f"{channel.name} {outcome.position} {name}\n".encode())


async def main(folder: Path) -> None:
    options = SqliteOptions(folder, history_events=1_000_000)
    async with open_sqlite(options) as log, open_hub(log, Limits()) as hub, trio.open_nursery() as nursery:
        for publisher in range(8):
            nursery.start_soon(publish, hub, publisher)


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
