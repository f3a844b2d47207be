"""Standard streams: one that is closed is opened on nothing.

Otherwise the next file that is opened, a socket perhaps, gets its number, and what is meant for a person goes
there; and for Python the stream is None.
"""

import os
import sys


def open_standard_streams() -> None:
    """Open `/dev/null` where standard input, output or error is closed."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, "r" if name == "stdin" else "w", closefd=False))
