"""Master: the parent process of `hypercorn` with workers, whose exit code tells when a worker has failed.

Hypercorn's master exits with 0 whatever became of its worker, so that its supervisor takes a node that
refused to start, or was killed, for one that was stopped. Our code does not run in the master. But the kernel
sends a signal to a process of its choice when a socket is closed (fcntl(2), F_SETOWN), and it closes a
process' sockets however that ends.
"""

import fcntl
import multiprocessing
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

import trio
from hypercorn.utils import check_multiprocess_shutdown_event

FATAL = signal.SIGUSR1
"""What ends the master, since it has no handler for it; a shell says 138."""


def has_master(shutdown_trigger: Callable[..., Awaitable[None]] | None) -> bool:
    """Whether this process is a worker: then a master has given it its event to wait for."""
    return (
        isinstance(shutdown_trigger, partial)
        and shutdown_trigger.func is check_multiprocess_shutdown_event
        and multiprocessing.parent_process() is not None
    )


@contextmanager
def bound_to_master() -> Iterator[None]:
    """While this lasts, and when it raises, the end of this process is the end of its master, by FATAL.

    As PID 1 of a container the master ends by no signal, and exits with 0 as ever.
    """
    master = os.getppid()
    ends = socket.socketpair()  # two, for the kernel closes them in an order of its own
    for end in ends:
        fcntl.fcntl(end, fcntl.F_SETOWN, master)
        fcntl.fcntl(end, fcntl.F_SETSIG, FATAL)
        fcntl.fcntl(end, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    yield
    for end in ends:
        fcntl.fcntl(end, fcntl.F_SETFL, os.O_NONBLOCK)
        fcntl.fcntl(end, fcntl.F_SETOWN, 0)
    for end in ends:
        end.close()


async def until_master_is_gone() -> None:
    """Return when the master has ended without a word: the worker would serve on, and keep its port."""
    master = multiprocessing.parent_process()
    assert master is not None
    await trio.lowlevel.wait_readable(master.sentinel)
