"""A log on disk whose process is killed, again and again, at any moment and under load."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from courier.actors.hub import open_hub
from courier.actors.limits import Limits
from courier.backplane.sqlite import SqliteOptions, open_sqlite
from courier.schemas.position import Position
from tests.backplane.killed import CHANNELS
from tests.system.processes import ROOT

KILLS = int(os.environ.get("COURIER_KILLS", "10"))

pytestmark = pytest.mark.system


def run_until_killed(folder: Path, seconds: float) -> list[list[str]]:
    """What a process has acknowledged that was killed so long after its first receipt."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.backplane.killed", str(folder)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(seconds)
    process.kill()
    whole, _, _ = (first + process.stdout.read()).rpartition(b"\n")  # the last line may be cut
    process.wait()
    process.stdout.close()
    return [line.split() for line in whole.decode().splitlines()]


def test_what_was_acknowledged_is_there_once_at_its_place_however_often_the_process_is_killed(
    tmp_path: Path,
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201 - shown when it fails
    chance = random.Random(seed)
    acknowledged: dict[str, dict[str, str]] = {channel.name: {} for channel in CHANNELS}
    for _ in range(KILLS):
        for channel, position, number in run_until_killed(tmp_path, chance.uniform(0, 0.15)):
            acknowledged[channel][position] = number

    async def look() -> None:
        options = SqliteOptions(tmp_path, history_events=1_000_000)
        async with open_sqlite(options) as log, open_hub(log, Limits()) as hub:
            for channel in CHANNELS:
                known = acknowledged[channel.name]
                epochs = {position.partition("-")[0] for position in known}
                assert len(epochs) == 1
                since, held = Position(epochs.pop(), 0), {}
                while True:
                    stretch = await hub.read(channel, since, 1_000)
                    assert stretch.gap is None
                    for record in stretch.records:
                        held[str(record.position)] = record.event
                        since = record.position
                    if not stretch.records:
                        break
                assert len(held) == since.offset
                for position, number in known.items():
                    assert held[position] == b'{"n":"%b"}' % number.encode()

    trio.run(look)
    assert sum(map(len, acknowledged.values())) > 10 * KILLS
