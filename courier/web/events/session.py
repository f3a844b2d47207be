"""Sessions of event streams: the endpoint of a stream of one channel, and of several."""

from typing import Any

import trio

from courier.actors.connection import Connection
from courier.actors.subscriber import GOODBYE_SECONDS, Subscriber
from courier.schemas.closing import CloseReason
from courier.serving.peer import Closed, Loss, Peer
from courier.web.auth import Identity
from courier.web.many import Line, ManySession
from courier.web.session import EVENT_STREAM
from courier.web.single import SingleSession
from courier.web.site import Site

BROKE_PROTOCOL = 1002
BEHIND_A_STREAM = "Nothing may follow the request for an event stream"


class OneSession(SingleSession):
    """A stream of one channel."""

    __slots__ = ("_broke",)

    def __init__(
        self, site: Site, connection: Subscriber, request: dict[str, str], identity: Identity, peer: Peer
    ) -> None:
        self._broke = False
        super().__init__(site, connection, EVENT_STREAM, request, identity, peer)

    def heard(self, message: str | bytes) -> None:
        self._broke = True
        _end_unheard(self._peer)

    def ended(self, how: Closed | Loss, code: int | None, reason: str) -> None:
        super().ended(*_how(self._broke, how, code), reason)


class SeveralSession(ManySession):
    """A stream of several channels, which ends with the first of its subscriptions."""

    __slots__ = ("_broke",)

    def __init__(
        self, site: Site, connection: Connection, request: dict[str, str], identity: Identity, peer: Peer
    ) -> None:
        self._broke = False
        super().__init__(site, connection, request, identity, peer, EVENT_STREAM)

    def start(self) -> None:
        self._begin()
        self.connection.holder = self
        for ref, subscriber in enumerate(self.connection.subscribers):
            line = Line(self, self._peer, ref, subscriber.channel.name)
            line.subscriber = subscriber
            self._lines[ref] = self._by_channel[line.channel] = line
            assert subscriber.beginning is not None
            self._tell_joined(subscriber, subscriber.beginning)
        self._watch_clock()
        for line in tuple(self._lines.values()):
            if line.subscriber is not None and not line.over:
                line.subscriber.open(line, line)
        if self.connection.reason is not None:  # already
            self.connection.end(self.connection.reason)

    def end_line(self, line: Line, reason: CloseReason) -> None:
        """In a drain the connection ends when each subscription has everything; else at once."""
        if reason is CloseReason.SHUTTING_DOWN:
            super().end_line(line, reason)
        else:
            self.connection.end(reason)

    def heard(self, message: str | bytes) -> None:
        self._broke = True
        _end_unheard(self._peer)

    def ended(self, how: Closed | Loss, code: int | None, reason: str) -> None:
        super().ended(*_how(self._broke, how, code), reason)


def _end_unheard(peer: Peer) -> None:
    """End a stream on whose connection the peer asks for more: it would never be answered."""
    peer.close(BROKE_PROTOCOL, BEHIND_A_STREAM, trio.current_time() + GOODBYE_SECONDS)


def _how(broke: bool, how: Closed | Loss, code: int | None) -> tuple[Closed | Loss, Any]:
    return (Closed.BY_VIOLATION, BROKE_PROTOCOL) if broke else (how, code)
