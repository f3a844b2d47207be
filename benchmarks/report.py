"""Report: the machine, and tables that read well in a terminal and in Markdown."""

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from benchmarks.servers import CLIENT_CORE, SERVER_CORE


def machine() -> str:
    """Where and when this was measured, in one line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next(
        (line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine()
    )
    cores = f"server on core {SERVER_CORE}, client on core {CLIENT_CORE} of {os.cpu_count()}"
    system = f"Linux {platform.release()} · Python {platform.python_version()}"
    load = f"load average before {os.getloadavg()[0]:.1f}"
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC · {model} · {cores} · {system} · {load}"


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """A Markdown table of rows with the same keys: its first column to the left, the others to the right."""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    return "\n".join(f"| {' | '.join(map(_aligned, line, widths, count()))} |" for line in lines)


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column else cell.ljust(width)
