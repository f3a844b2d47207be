"""LoadError: what ends a measurement."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class LoadError(Exception):
    """The server, or the machine, did something with which a measurement makes no sense."""


@contextmanager
def sentence() -> Iterator[None]:
    """A LoadError in this block, or the system's refusal of a socket, ends the program with its sentence alone."""
    try:
        yield
    except (LoadError, OSError) as error:
        sys.exit(str(error))
