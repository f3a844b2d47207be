"""Many: a WebSocket for many channels, whose subscriptions come and go."""

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import trio
from pydantic import MISSING

from courier.actors.connection import Connection
from courier.actors.statistics import State
from courier.actors.subscriber import PAGE_BYTES, Subscriber
from courier.backplane.steps import Steps
from courier.logs import get_logger
from courier.metrics import MANY
from courier.schemas.channels import LONGEST_NAME
from courier.schemas.closing import CloseReason
from courier.schemas.control import (
    Connected,
    Ended,
    Subscribe,
    Subscribed,
    Unreadable,
    Unsubscribe,
    parse_said,
)
from courier.schemas.position import parse_since
from courier.serving.peer import Closed, Loss, Peer
from courier.web.access import AccessRefused, AccessUnknown
from courier.web.admission import refused
from courier.web.auth import Identity
from courier.web.errors import JoinRefused
from courier.web.session import PONG_TEXTS, V1, Session
from courier.web.site import Site

SUBSCRIBES_A_SECOND = 50
"""Of one connection; more wait their turn."""

logger = get_logger(__name__)


class Line:
    """One subscription on the socket that it shares: its `Wire`, and its `Holder`."""

    __slots__ = ("_peer", "_session", "channel", "over", "ref", "subscriber", "waits")

    def __init__(self, session: "ManySession", peer: Peer, ref: int, channel: str) -> None:
        self.ref = ref
        self.channel = channel
        """As the peer has named it."""
        self.subscriber: Subscriber | None = None
        """None until it has begun."""
        self.waits = False
        """Its turn on the socket is to come."""
        self.over = False
        """It has ended; nothing may be said of it any more."""
        self._peer = peer
        self._session = session

    @property
    def holding(self) -> bool:
        return self._peer.holding

    @property
    def held_bytes(self) -> int:
        return 0  # what is held is the connection's

    def write(self, data: bytes) -> int:
        self._session.gather(len(data))
        sent = self._peer.write(data)
        if sent < len(data):
            subscriber = self.subscriber
            calm = not sent and subscriber is not None and subscriber.state is State.CURRENT
            self._session.line_up(self, calm=calm)
        return sent

    def hold(self, rest: bytes) -> None:
        self._peer.hold(rest)

    def await_room(self) -> None:
        self._session.line_up(self)

    def end(self, reason: CloseReason, by: float) -> None:
        self._session.end_line(self, reason)


class ManySession(Session):
    """The connection outlives its subscriptions. Those that are behind take turns on the socket, a page each.

    A subscription that waits, for the channel or for who says whether it may be read, holds up no other.
    """

    __slots__ = (
        "_by_channel",
        "_calm",
        "_calm_was_last",
        "_delivered",
        "_gathered",
        "_identity",
        "_last_ref",
        "_lines",
        "_next_subscribe_at",
        "_under_way",
        "_waiting",
    )

    connection: Connection

    def __init__(
        self,
        site: Site,
        connection: Connection,
        request: dict[str, str],
        identity: Identity,
        peer: Peer,
        subprotocol: str = V1,
    ) -> None:
        super().__init__(site, connection, subprotocol, request, identity, peer)
        self._identity = identity
        self._lines: dict[int, Line] = {}
        """By `ref`, those that have begun and those that are about to."""
        self._by_channel: dict[str, Line] = {}
        """The same lines, of which a channel has one at a time."""
        self._waiting: deque[Line] = deque()
        """Whose turn on the socket is next."""
        self._calm: list[Line] = []
        """Those that have just fallen behind others: they go first, every other turn."""
        self._calm_was_last = False
        self._gathered = 0
        """Bytes that wait for `uncork`."""
        self._under_way = 0
        """Subscriptions that wait, those that were ended meanwhile included."""
        self._last_ref = -1
        self._next_subscribe_at = 0.0
        self._delivered = 0
        """To subscriptions that have ended."""

    @property
    def kind(self) -> str:
        return MANY

    @property
    def subscribers(self) -> Iterable[Subscriber]:
        return [line.subscriber for line in self._lines.values() if line.subscriber is not None]

    def start(self) -> None:
        self._begin()
        self.connection.holder = self
        self._tell(
            Connected(
                connection_id=self.connection.id,
                user_id=self.connection.owner,
                heartbeat_seconds=self._site.settings.heartbeat_seconds,
            )
        )
        self._watch_clock()
        if self.connection.reason is not None:  # already
            self.connection.end(self.connection.reason)

    def _said(self, message: str | bytes) -> None:
        if message in PONG_TEXTS:
            return
        try:
            said = parse_said(message)
            match said:
                case Subscribe():
                    self._subscribe(said)
                case Unsubscribe():
                    line = self._lines.get(said.ref)
                    if line is not None:
                        self.end_line(line, CloseReason.UNSUBSCRIBED)
                case _:
                    self._take_token(said.token)
        except Unreadable as error:
            logger.info("Message unreadable", **self._facts(), cause=str(error))
            self.connection.end(CloseReason.UNREADABLE_MESSAGE)

    def ended(self, how: Closed | Loss, code: int | None, reason: str) -> None:
        for line in self._lines.values():
            line.over = True
        super().ended(how, code, reason)
        self._waiting.clear()
        self._calm.clear()
        self._by_channel.clear()
        self._lines.clear()  # which refer to it: nothing waits for the garbage collector

    # Subscriptions begin

    def _subscribe(self, said: Subscribe) -> None:
        if said.ref <= self._last_ref:
            raise Unreadable("ref is not larger than each before it")
        self._last_ref = said.ref
        line = Line(self, self._peer, said.ref, said.channel[:LONGEST_NAME])
        most = self._site.settings.max_channels_per_connection
        if self._site.node.hub.draining:
            self._refuse_line(line, JoinRefused(CloseReason.SHUTTING_DOWN))
        elif line.channel in self._by_channel:
            self._refuse_line(line, JoinRefused(CloseReason.ALREADY_SUBSCRIBED))
        elif len(self._lines) >= most or self._under_way >= most:
            too_many = f"connection has {most} channels, the most that one may have"
            self._refuse_line(line, JoinRefused(CloseReason.TOO_MANY_CHANNELS, too_many))
        else:
            self._lines[line.ref] = self._by_channel[line.channel] = line
            self._under_way += 1
            self._site.walker.start(self._beginning(line, said), self._begun)

    def _begun(self, outcome: Exception | None) -> None:
        """A subscription that had to wait has been answered; it raised only if the fault is ours."""
        if outcome is not None:
            refused(self._site, outcome, self.address, self._facts())
            self.connection.end(CloseReason.CHANNEL_FAILED)

    def _beginning(self, line: Line, said: Subscribe) -> Steps[None]:
        """Begin a subscription, or say why not."""
        found: dict[str, str] = {}
        try:
            try:
                subscriber = yield from self._admit(line, said, found)
            finally:
                self._under_way -= 1
        except Exception as error:  # noqa: BLE001 - the table of errors has an end for every one of them
            self._refuse_line(line, error, found)
        else:
            if line.over or subscriber is None:
                if subscriber is not None:
                    subscriber.close()
                return
            self._open(line, subscriber)

    def _admit(self, line: Line, said: Subscribe, found: dict[str, str]) -> Steps[Subscriber | None]:
        """Judge a subscription, and make it; None when it has ended meanwhile."""
        now = trio.current_time()
        begins_at = max(now, self._next_subscribe_at)
        self._next_subscribe_at = begins_at + 1 / SUBSCRIBES_A_SECOND
        if begins_at >= now + 1:
            yield partial(trio.sleep_until, begins_at - 1)
            if line.over:
                return None
        name = self._site.registry.kinds.parse(said.channel)
        found["channel"] = name.name
        try:
            since = None if said.since is None else parse_since(said.since)
        except ValueError as error:
            raise JoinRefused(CloseReason.UNREADABLE_SINCE, str(error)) from None
        subscriber, identity = None, None
        try:
            while subscriber is None or identity is not self._identity:
                identity = self._identity  # a new token may come while this waits
                yield from self._site.rules.admit(identity, name)
                if line.over:
                    break
                if subscriber is None:
                    subscriber = yield from self.connection.joining(name, since)
        except BaseException:
            if subscriber is not None:
                subscriber.close()
            raise
        return subscriber

    def _open(self, line: Line, subscriber: Subscriber) -> None:
        beginning = subscriber.beginning
        assert beginning is not None
        line.subscriber = subscriber
        position, recovered, replayed = str(beginning.position), beginning.recovered, beginning.replayed
        told = {"position": position, "recovered": recovered, "replayed": replayed}
        logger.info("Subscribed", **self._of(line), **told)
        self._tell(
            Subscribed(
                ref=line.ref,
                channel=subscriber.channel.name,
                position=position,
                recovered=recovered,
                replayed=replayed,
            )
        )
        subscriber.open(line, line)

    # Subscriptions end

    def _refuse_line(self, line: Line, error: Exception, found: dict[str, str] | None = None) -> None:
        if line.over:
            return
        self.end_line(line, refused(self._site, error, self.address, self._facts() | (found or {})))

    def end_line(self, line: Line, reason: CloseReason) -> None:
        """A subscription has ended: say so, once. In a drain the connection says it, when all have ended."""
        if line.over:
            return
        line.over = True
        if self._lines.pop(line.ref, None) is not None:
            del self._by_channel[line.channel]
        subscriber, position = line.subscriber, None
        if subscriber is not None:
            position = subscriber.position
            self._delivered += subscriber.delivered
            told = {"code": reason.code, "reason": reason.reason, "delivered": subscriber.delivered}
            logger.info("Subscription ended", **self._of(line), **told, lag=subscriber.lag)
            subscriber.close()
        if subscriber is None or reason is not CloseReason.SHUTTING_DOWN:
            self._tell(
                Ended(
                    ref=line.ref,
                    channel=line.channel,
                    code=reason.code,
                    reason=reason.reason,
                    position=MISSING if position is None else str(position),
                )
            )

    # One write for several channels

    def gather(self, more: int) -> None:
        """Called before a line writes so many bytes: while small channels are shown together, what they write
        is gathered, up to a page."""
        corked = self._site.node.hub.supervisor.corked
        if corked is None or self._peer.holding:
            return
        if self._gathered + more > PAGE_BYTES:
            self.uncork()
        if more <= PAGE_BYTES and (self._gathered or self._peer.cork()):
            if not self._gathered:
                corked.append(self)
            self._gathered += more

    def uncork(self) -> None:
        """Write what was gathered; what that raises ends this connection, and no other."""
        if self._gathered:
            self._gathered = 0
            try:
                self._peer.uncork()
            except Exception as error:
                self._site.node.metrics.error("wire", error)
                logger.error("Wire failed", **self._facts(), exc_info=error)
                self.connection.end(CloseReason.CHANNEL_FAILED)

    # Turns on the socket

    def line_up(self, line: Line, *, calm: bool = False) -> None:
        """Give the line a turn when the socket takes more. `calm`: it has had everything so far, and others
        have filled the socket; so it need not wait for a page of theirs."""
        if not line.waits:
            line.waits = True
            (self._calm if calm else self._waiting).append(line)
        self._peer.await_room()

    def _has_room(self) -> None:
        while self._calm or self._waiting:
            self._calm_was_last = bool(self._calm) and not (self._calm_was_last and self._waiting)
            line = self._calm.pop(0) if self._calm_was_last else self._waiting.popleft()
            line.waits = False
            if line.subscriber is not None and not line.over:
                line.subscriber.writable()
                break
        if self._calm or self._waiting:
            self._peer.await_room()

    # A new token

    def _judge_channels(self, identity: Identity) -> Steps[Callable[[], None]]:
        lost: list[tuple[Line, Exception]] = []
        judged: set[Line] = set()
        while to_judge := [
            line for line in self._lines.values() if line.subscriber is not None and line not in judged
        ]:
            for line in to_judge:  # what has not begun yet is judged when it does
                judged.add(line)
                assert line.subscriber is not None
                try:
                    yield from self._site.rules.admit(identity, line.subscriber.channel)
                except (AccessRefused, AccessUnknown) as error:
                    lost.append((line, error))
        return partial(self._go_on_without, lost, identity)

    def _go_on_without(self, lost: list[tuple[Line, Exception]], identity: Identity) -> None:
        """A new token counts, which does not admit these."""
        self._identity = identity
        for line, error in lost:
            self._refuse_line(line, error, {"channel": line.channel})

    # What is said of it

    def _progress(self) -> tuple[int, int]:
        return self._delivered + sum(each.delivered for each in self.subscribers), self.connection.lag

    def _facts(self) -> dict[str, Any]:
        facts = {"user_id": self.connection.owner, "connection_id": self.connection.id}
        return facts if self._request is None else self._request | facts

    def _of(self, line: Line) -> dict[str, Any]:
        return self._facts() | {"channel": line.channel, "ref": line.ref}
