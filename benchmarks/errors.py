"""LoadError: what ends a measurement."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class LoadError(Exception):
    """The server, or the machine, did something with which a measurement makes no sense."""


@contextmanager
def sentence() -> Iterator[None]:
    """A LoadError in this block, or a socket that the system refuses, ends the program with one sentence."""
    try:
        yield
    except (LoadError, OSError) as error:
        sys.exit(str(error))
