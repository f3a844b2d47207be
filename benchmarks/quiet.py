"""Quiet: a block in which the load client's own garbage collector does not run."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """The client's garbage waits: a collection amid its many objects would look like latency."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
