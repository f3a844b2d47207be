"""Ports of this machine that are free."""

import os
import socket
import sys
from collections.abc import Callable


def choose_port(variable: str, usual: int, tell: Callable[[str], None]) -> int:
    """The port that the variable names, 0 being any free one. Ends the program when there is no such port, or
    it is taken; but when the variable is not set and the usual one is taken, tells so and gives another.
    """
    named = os.environ.get(variable)
    try:
        return free_port(int(named or usual))
    except (ValueError, OverflowError):
        sys.exit(f"{variable}={named}: this is no port")
    except OSError:
        if named:
            sys.exit(f"{variable}={named}: this port is taken")
        port = free_port(0)
        tell(f"Port {usual} is taken, so it is {port} this time ({variable} names another).")
        return port


def free_port(wanted: int) -> int:
    """It, or any when it is 0; raises OSError when it is taken, OverflowError when there is no such port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", wanted))
        probe.listen()  # two may bind what neither listens on yet
        port: int = probe.getsockname()[1]
        return port
