"""Commands: what `courier publish`, `subscribe` and `history` print, and the exit code they end with."""

import json
import os
import stat
import sys
from collections.abc import Sequence
from contextlib import aclosing, suppress
from io import BufferedIOBase
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from courier.schemas.channels import SEGMENT_SAID, may_be_channel
from courier.terminal.errors import Unreadable
from courier.terminal.history import history
from courier.terminal.publish import Result, publish
from courier.terminal.show import Output, event_line, gap_sentence
from courier.terminal.subscribe import follow, subscribe
from courier.visible import visible

FAILURES_SHOWN = 20
"""Without `--json`; all are counted."""


class Printer:
    """Standard output: one event a line, flushed, for a person or as JSON."""

    def __init__(self, *, as_json: bool, with_channel: bool = False) -> None:
        self._with_channel = with_channel
        self._console = None if as_json else Output(highlight=False, soft_wrap=True)

    def event(self, event: dict[str, Any]) -> None:
        if self._console is None:
            click.echo(json.dumps(event, separators=(",", ":")))
        else:
            self._console.print(event_line(event, with_channel=self._with_channel))


def tell(sentence: str) -> None:
    """Say it on standard error, if that can be written."""
    with suppress(OSError):
        click.echo(visible(sentence), err=True)


async def print_subscription(
    url: str, channels: Sequence[str], token: str, since: str | None, coming_back: bool, as_json: bool
) -> int:
    """Print events until the end, which is always raised: Closed, or Unreachable."""
    printer = Printer(as_json=as_json, with_channel=len(channels) > 1)
    messages = (
        follow(url, channels, token, since, tell) if coming_back else subscribe(url, channels, token, since)
    )
    async with aclosing(messages):
        async for message in messages:
            if message["type"] == "courier.gap":
                tell(gap_sentence(message))
            else:
                printer.event(message)
    return 0


async def print_history(
    url: str, channel: str, token: str, since: str | None, limit: int, as_json: bool
) -> int:
    """Print the pages; tell of what is gone before the first."""
    printer = Printer(as_json=as_json)
    async with aclosing(history(url, channel, token, since, limit)) as pages:
        async for page in pages:
            if not page.complete:
                tell(f"Some events after {since} are gone: here are those that are left")
            for event in page.events:
                printer.event(event)
    return 0


async def publish_file(
    url: str, channel: str, token: str | None, file: BufferedIOBase, patience_seconds: float, as_json: bool
) -> int:
    """Publish, show how far it is at a terminal, and say how it went: 0 when every event is published."""
    if not may_be_channel(channel):
        raise Unreadable(f"Not a channel's name: expected segments of {SEGMENT_SAID}, joined by dots")
    results = publish(url, channel, token, file, patience_seconds, tell)
    published = refused = 0
    last: Result | None = None
    with _progress(file) as progress:
        [bar] = progress.task_ids
        async with aclosing(results):
            async for some in results:
                last = some[-1]
                failures = [result for result in some if not result.published]
                shown = failures[: max(0, FAILURES_SHOWN - refused)]
                published += len(some) - len(failures)
                refused += len(failures)
                if as_json:
                    try:
                        _print_results(some)
                    except OSError:
                        tell(f"{published:,} published, {refused:,} refused, and no more were tried")
                        raise
                else:
                    for result in shown:
                        with suppress(OSError):
                            progress.console.print(
                                visible(str(result)), markup=False, highlight=False, soft_wrap=True
                            )
                progress.update(bar, completed=_read_so_far(file), published=published)
    if last is None:
        raise Unreadable("There was no event to publish")
    if published + refused == 1 and published:
        reached = last.answer["clients_reached"]
        tell(f"Published as {last} ({reached} subscriber{'s' * (reached != 1)})")
    elif not as_json or refused:
        tell(f"{published:,} published, {refused:,} refused")
    return 1 if refused else 0


def _print_results(results: Sequence[Result]) -> None:
    for result in results:
        click.echo(json.dumps({"line": result.line, **result.answer}, separators=(",", ":")))


def _progress(file: BufferedIOBase) -> Progress:
    """A bar on standard error, of bytes when the file has an end; nothing when nobody looks."""
    columns = [TextColumn("{task.fields[published]:,} published"), BarColumn(), TaskProgressColumn()]
    progress = Progress(
        *columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    )
    status = os.fstat(file.fileno())
    progress.add_task("", total=status.st_size if stat.S_ISREG(status.st_mode) else None, published=0)
    return progress


def _read_so_far(file: BufferedIOBase) -> int | None:
    return file.tell() if file.seekable() else None
