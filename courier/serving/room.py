"""Room: what becomes of new connections while the process can have no more sockets (accept(2))."""

import errno
import math

import trio

from courier.logs import get_logger

NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})

AGAIN_SECONDS = 0.1
"""How soon it is tried again. New connections wait in the kernel, and those that there are go on."""

SAID_SECONDS = 60.0
"""How often a line says so."""

logger = get_logger(__name__)


class Room:
    """Says that there is no room for a new connection, and not too often."""

    def __init__(self) -> None:
        self._said_at = -math.inf

    def lacking(self, error: OSError, connections: int) -> bool:
        """Whether that is why a socket could not be accepted; a line says so, with how many there are."""
        if error.errno not in NO_ROOM:
            return False
        now = trio.current_time()
        if now >= self._said_at + SAID_SECONDS:
            self._said_at = now
            logger.error(
                "No room for new connections: raise the limit of open files",
                error=errno.errorcode[error.errno],
                connections=connections,
            )
        return True
