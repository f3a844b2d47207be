"""systemd: what this process reports to a service manager, and the sockets that it hands down.

The protocols are those of sd_notify(3), sd_watchdog_enabled(3) and sd_listen_fds(3).
Nothing happens unless the environment asks for it; what it asks is read once and taken out of it, so that
no child process answers in this one's place.
"""

import multiprocessing
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import trio

FIRST_DESCRIPTOR = 3
"""Where the sockets that are handed down begin (SD_LISTEN_FDS_START)."""

BEAT_SECONDS = 5.0
"""How often the manager hears, at least."""


class Manager:
    """The service manager, which hears whether the process is ready, is stopping, and turns."""

    def __init__(self, address: str, watchdog_seconds: float | None, status: Callable[[], str]) -> None:
        """`address` as in NOTIFY_SOCKET, empty when nobody listens; `watchdog_seconds`: how long the manager
        may hear nothing, if it minds."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watched = watchdog_seconds is not None
        self._beat_seconds = min(BEAT_SECONDS, (watchdog_seconds or 2 * BEAT_SECONDS) / 2)
        self._status = status
        self._state = ""

    def ready(self) -> None:
        """It takes connections."""
        self._state = "READY=1"
        self._tell()

    def stopping(self) -> None:
        """It was asked to stop. Each beat from now on asks for the time until the third after it."""
        self._state = "STOPPING=1"
        self._tell()

    async def beat(self) -> None:
        """Tell, again and again, how things are. The event loop does it: when it stands, nobody hears."""
        while True:
            await trio.sleep(self._beat_seconds)
            if self._state:
                self._tell()

    def _tell(self) -> None:
        """Say all of it, so that a message which is lost is made up for by the next."""
        if not self._address:
            return
        lines = [self._state, f"STATUS={self._status()}"]
        if self._watched:
            lines.append("WATCHDOG=1")
        if self._state == "STOPPING=1":
            lines.append(f"EXTEND_TIMEOUT_USEC={int(3e6 * self._beat_seconds)}")
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.setblocking(False)
            notify.sendto("\n".join(lines).encode(), self._address)


@asynccontextmanager
async def open_manager(status: Callable[[], str]) -> AsyncIterator[Manager]:
    """Notify the service manager again and again, with `status` for people, until the block ends."""
    manager = Manager(os.environ.pop("NOTIFY_SOCKET", ""), _watchdog_seconds(), status)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(manager.beat)
        yield manager
        nursery.cancel_scope.cancel()


def _watchdog_seconds() -> float | None:
    """WATCHDOG_USEC, when it is meant for this process, or for the master whose only worker it is."""
    microseconds = _number("WATCHDOG_USEC")
    process = _number("WATCHDOG_PID")
    master = multiprocessing.parent_process()
    if not microseconds or process not in (None, os.getpid(), master and master.pid):
        return None
    return microseconds / 1e6


def handed_down() -> list[int]:
    """The descriptors that this process was given as LISTEN_FDS; none when LISTEN_PID names another."""
    count, process = _number("LISTEN_FDS"), _number("LISTEN_PID")
    os.environ.pop("LISTEN_FDNAMES", None)
    if not count or process != os.getpid():
        return []
    descriptors = list(range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + count))
    for descriptor in descriptors:
        with suppress(OSError):  # one that is not open: the listener reports that
            os.set_inheritable(descriptor, False)
    return descriptors


def _number(name: str) -> int | None:
    """The number that a variable holds, which is taken out of the environment."""
    value = os.environ.pop(name, "")
    return int(value) if value.isascii() and value.isdigit() else None
