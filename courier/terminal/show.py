"""Show: an event as one line for a person."""

import json
from typing import Any
from zlib import crc32

from rich.console import Console
from rich.text import Text

from courier.visible import visible

COLOURS = ("magenta", "cyan", "green", "yellow", "blue", "bright_red")
_BASE = frozenset({"type", "source", "timestamp", "trace_id", "id", "channel"})


class Output(Console):
    """Standard output for a person."""

    def on_broken_pipe(self) -> None:
        """Leave it to the command; rich would end the process without a word."""
        raise  # it is called where the error is handled


def event_line(event: dict[str, Any], *, with_channel: bool = False) -> Text:
    """When, its id, its channel where that is asked for, who, what, and what a person looks for in it. A
    source keeps its colour.

    Nothing in an event can move the cursor: control characters are shown and not sent.
    """
    source = str(event.get("source", "courier"))
    colour = COLOURS[crc32(source.encode()) % len(COLOURS)]
    line = Text()
    line.append(visible(str(event.get("timestamp", "")))[11:23].ljust(13), "dim")
    line.append(f"{visible(str(event.get('id', '-'))):<14} ", "dim")
    if with_channel:
        line.append(f"{visible(str(event.get('channel', ''))):<20} ")
    line.append(f"{visible(source):<13}", colour)
    line.append(f"{visible(event['type']):<25}", f"bold {colour}")
    line.append(visible(_gist(event)))
    return line


def gap_sentence(gap: dict[str, Any]) -> str:
    """What a `courier.gap` says."""
    return visible(
        f"Gap in {gap['channel']}: some events after {gap['requested']} are missing ({gap['reason']});"
        f" going on after {gap['resumed_from']}"
    )


def _gist(event: dict[str, Any]) -> str:
    match event["type"]:
        case "prophet.message_chunk":
            return str(event["chunk"])
        case "backtest.progress" | "forge.job_progress":
            done = round(event["progress"] * 20)
            return f"{'█' * done}{'░' * (20 - done)} {event['progress']:4.0%}  {event['stage']}"
        case "backtest.completed" | "forge.job_completed":
            return f"in {event['duration_seconds']} s  {_short(event['summary'])}"
        case "trade.order_filled":
            return f"{event['direction']} {event['fill_amount']} {event['token']} at {event['fill_price']}"
        case "position.updated":
            return f"{event['token']} {event['unrealized_pnl_percentage']:+.2f} %"
        case _:
            return "  ".join(f"{name}={_short(value)}" for name, value in event.items() if name not in _BASE)


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
