"""Crowd: a connection for many channels in the simulation."""

import math
from typing import TYPE_CHECKING

import trio

from courier.actors.subscriber import Subscriber
from courier.schemas.position import Since
from courier.serving.peer import Closed, Loss
from tests.actors.many import Many, Stream
from tests.actors.plan import CHANNELS, SUBSCRIBES_A_SECOND
from tests.actors.subscription import Connection, Socket, Watching

if TYPE_CHECKING:
    from tests.actors.simulation import Simulation


class Crowd(Many):
    """The connection for many channels of a peer; each subscription is judged as if it had its own socket."""

    def __init__(self, simulation: "Simulation", peer: int, room: float) -> None:
        self.simulation = simulation
        self.peer = peer
        self.subscriptions: dict[int, Connection] = {}
        """By `ref`."""
        self.socket = Socket(room, self.judge_gap)
        self.ended_at: float | None = None
        self.next_begins_at = -math.inf
        super().__init__(simulation.site, f"u{peer}", [name.name for name in CHANNELS], self.socket)

    @property
    def here(self) -> list[Connection]:
        return [one for one in self.subscriptions.values() if one.there]

    @property
    def at_ease(self) -> bool:
        """Its socket takes everything."""
        socket = self.socket
        return socket._room == math.inf and not (socket.busy or socket.error or socket.loss)

    def toggle(self, channel: int, since: Since | None) -> None:
        """Subscribe, or unsubscribe, as a step says."""
        name = CHANNELS[channel].name
        if name in self.live:
            mine = self.subscriptions[self.live[name].ref]
            mine.gone, mine.steady = True, False
            self.unsubscribe(name)
        else:
            now = trio.current_time()
            turn_at = max(now, self.next_begins_at)
            self.next_begins_at = turn_at + 1 / SUBSCRIBES_A_SECOND
            connection = self.simulation.asked(self.peer, channel, since, self.socket)
            connection.crowd, connection.begins_by = self, turn_at if turn_at >= now + 1 else now
            connection.gone = self.socket.loss is not None
            self.subscriptions[len(self.streams)] = connection
            self.subscribe(name, since)

    def subscribe(self, channel: str, since: Since | None = None) -> Stream:
        connection = self.subscriptions[len(self.streams)]
        connection.stream = stream = super().subscribe(channel, since)
        return stream

    def judge_gap(self, gap: dict[str, str]) -> None:
        [connection] = [one for one in self.here if one.name == gap["channel"] and one.opened]
        self.simulation.judge_gap(connection, gap)

    def opening(self, stream: Stream, subscriber: Subscriber) -> None:
        connection = self.subscriptions[stream.ref]
        connection.subscriber, connection.opened = subscriber, True
        self.simulation.joined(connection, subscriber)
        subscriber.home = Watching(subscriber.home, connection)

    def refusing(self, stream: Stream, error: Exception) -> None:
        self.subscriptions[stream.ref].error = error

    def ending(self, stream: Stream) -> None:
        self.subscriptions[stream.ref].ended_at = trio.current_time()

    def ended(self, how: Closed | Loss, code: int | None, reason: str) -> None:
        here = self.here
        super().ended(how, code, reason)
        self.ended_at = trio.current_time()
        for connection in here:
            connection.ended_at, connection.aborted = self.ended_at, self.connection.aborted
