"""`courier serve`, in a process that also counts its own objects: at SIGUSR1, as a line of the file COUNTS.

Nothing is collected for it, so garbage that waits for the collector counts as well.
"""

import gc
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from courier.cli import main

COUNTS = "COUNTS"


def _count(number: int, frame: FrameType | None) -> None:
    line = json.dumps({"objects": len(gc.get_objects()), "blocks": sys.getallocatedblocks()})
    with Path(os.environ[COUNTS]).open("a") as file:
        file.write(line + "\n")


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _count)
    main()
