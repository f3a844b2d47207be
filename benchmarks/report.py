"""Report: the machine, and tables that read well in a terminal and in Markdown."""

import os
import platform
from collections.abc import Sequence
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


def number(value: float) -> str:
    """`value` with three digits that count, or more when it is a thousand or more."""
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def table(rows: Sequence[dict[str, str]]) -> str:
    """A Markdown table: its first column to the left, the others to the right; what a row lacks is empty."""
    names: list[str] = max((list(row) for row in rows), key=len)
    lines = [names, *([row.get(name, "") for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    return "\n".join(f"| {' | '.join(map(_aligned, line, widths, count()))} |" for line in lines)


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column else cell.ljust(width)
