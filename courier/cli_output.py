"""Output: what happens when standard output cannot be written to."""

import errno
import os
import sys
from contextlib import suppress
from typing import Any, NoReturn

import click

OUTPUT_FAILED = 4
"""The exit code when standard output could not be written."""

_OF_OUTPUT = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
_WITHOUT_OUTPUT = frozenset({"serve"})
"""Commands that print nothing, so that their errors of these kinds are about something else."""


class Commands(click.Group):
    """The commands; each ends with a sentence and an exit code when its output cannot be written."""

    _began = False

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Read the arguments and run the command; `--help` prints before there is one."""
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            if self._began or error.errno not in _OF_OUTPUT:
                raise
            give_up(error)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and have what it printed written before it ends."""
        self._began = True
        try:
            try:
                return super().invoke(ctx)
            finally:
                if sys.stdout is not None:
                    sys.stdout.flush()
        except OSError as error:
            if error.errno not in _OF_OUTPUT or ctx.invoked_subcommand in _WITHOUT_OUTPUT:
                raise
            give_up(error)


def give_up(error: OSError) -> NoReturn:
    """End the process for a standard output that cannot be written."""
    complain(f"Cannot write to standard output: {error.strerror}")
    # Python flushes it once more at the end, and would say in its own words that this fails.
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(OUTPUT_FAILED)


def complain(sentence: str) -> None:
    """Say it on standard error, if that can be written."""
    with suppress(OSError):
        click.echo(sentence, err=True)
