"""Session: a connection on its WebSocket. It hears the peer, watches the clock, and says goodbye."""

import math
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

import trio

from courier.actors.connection import Connection
from courier.actors.frames import text_frame
from courier.actors.subscriber import Beginning, Subscriber
from courier.backplane.steps import Steps, walk
from courier.logs import get_logger
from courier.schemas.closing import CloseReason, Departure
from courier.schemas.control import ConnectionMessage, ControlMessage, Drain, Joined, Refreshed, TokenExpiring
from courier.serving.peer import Closed, Loss, Peer
from courier.web import notes
from courier.web.access import AccessRefused
from courier.web.admission import verify
from courier.web.auth import Identity, TokenInvalid, TokenRevoked, token_id_of
from courier.web.errors import close_reason
from courier.web.faults import is_news, is_ours
from courier.web.sessions import SessionStatistics
from courier.web.site import Site
from courier.web.token_life import TokenLife

V1 = "courier.v1"

EVENT_STREAM = "sse"
"""What stands in the place of a subprotocol for an event stream."""

PING = b"ping"
PONG = b"pong"
PONG_TEXTS = ("pong", PONG)

PING_BYTES = 64
"""More than a ping takes on the way, by TLS as well."""

REFRESH_SECONDS = 1.0
"""How long after a refresh the next one of the same subscriber waits to be judged."""

NO_CODE = 1005
ABNORMAL = 1006
"""Stand for a close without a code, and for one that was never said (RFC 6455, 7.1.5)."""

logger = get_logger(__name__)


class Ending(NamedTuple):
    """How a connection ended."""

    code: int
    """That of the close frame; 1006 when there was none."""
    reason: str
    """A constant sentence: what a peer says of its own is not repeated."""
    why: CloseReason | Departure


class Session(ABC):
    """The endpoint of one WebSocket. No step of it waits. What is subscribed on it is its subclass's.

    It watches three moments: the peer has been silent for too long, its token is about to end, and ends.
    With `courier.v1` it also speaks first and last, takes new tokens, and closes a peer that leaves a ping
    unanswered. On an event stream it speaks alike, and hears nothing.
    """

    __slots__ = (
        "_before_ping",
        "_heard_at",
        "_joined_at",
        "_life",
        "_next_token",
        "_peer",
        "_ping_waits",
        "_pinged",
        "_pinged_at",
        "_quiet_until",
        "_refresh_at",
        "_refreshing",
        "_request",
        "_site",
        "_subprotocol",
        "_taken",
        "_v1",
        "_warn_at",
        "connected_at",
        "connection",
        "issued_at",
        "token_id",
    )

    connection: Subscriber | Connection
    """What it holds, and closes at its end."""

    def __init__(
        self,
        site: Site,
        connection: Subscriber | Connection,
        subprotocol: str | None,
        request: dict[str, str],
        identity: Identity,
        peer: Peer,
    ) -> None:
        """`request`: what a line may say of the handshake; `identity`: what the token proves."""
        self.connection = connection
        self.issued_at, self.token_id = identity.claims.iat, token_id_of(identity.said)
        self.connected_at = time.time()
        self._site = site
        self._peer = peer
        self._subprotocol = subprotocol
        self._v1 = subprotocol in (V1, EVENT_STREAM)
        self._request = request or None  # an empty one would be one object more for each
        self._refreshing = False
        self._next_token: str | None = None
        self._refresh_at = -math.inf
        self._pinged = self._ping_waits = False
        self._pinged_at: float | None = None
        self._before_ping: int | None = None
        self._taken: int | None = None
        self._joined_at = self._heard_at = trio.current_time()
        self._quiet_until = self._heard_at + site.settings.heartbeat_seconds
        self._warn_at = math.inf
        self._live_until(identity.claims.exp)

    def begin(self, identity: Identity) -> None:
        """Start, unless the token was revoked while the channel was waited for."""
        try:
            self._site.revoking.check_subscriber(identity)
        except TokenRevoked:
            self.connection.end(CloseReason.TOKEN_REVOKED)
        try:
            self.start()
        except BaseException:
            self.connection.close()
            raise

    @abstractmethod
    def start(self) -> None:
        """Say that the peer has joined, and give it what it has missed and all that is to come."""

    @abstractmethod
    def _said(self, message: str | bytes) -> None:
        """The peer has said something else than a ping, by `courier.v1`. ValueError: a refresh that is not as
        it must be."""

    @abstractmethod
    def _has_room(self) -> None:
        """Nothing is held, and the socket takes more."""

    @abstractmethod
    def _judge_channels(self, identity: Identity) -> Steps[Callable[[], None]]:
        """Judge anew what is subscribed, by a new token; raises what a join would, to end the connection.
        Gives what is to be done when the token counts."""

    @abstractmethod
    def _facts(self) -> dict[str, str]:
        """What a line says of the connection."""

    @abstractmethod
    def _progress(self) -> tuple[int, int]:
        """How many events were written, and how many it is behind."""

    @property
    @abstractmethod
    def kind(self) -> str:
        """What it is counted as."""

    @property
    @abstractmethod
    def subscribers(self) -> Iterable[Subscriber]:
        """Its subscriptions."""

    # What its peer does: `courier.serving.peer.Endpoint`

    def heard(self, message: str | bytes) -> None:
        self._heard_at = trio.current_time()
        self._quiet_until = self._heard_at + self._site.settings.heartbeat_seconds
        self._pinged = self._ping_waits = False
        if message in ("ping", PING):
            self._say(PONG)
        elif self._v1:
            try:
                self._said(message)
            except ValueError:
                self._refuse(TokenInvalid("courier.refresh has no token, or other fields"))

    def writable(self) -> None:
        if self._ping_waits:
            self._note_ping(trio.current_time())
        self._has_room()

    def due(self, now: float) -> None:
        """Do what the clock asks for. A message that came meanwhile has only moved the moments."""
        if self.connection.reason is not None:
            return  # the goodbye has its own time
        if now >= self._life.ends_at:
            self.connection.end(CloseReason.TOKEN_EXPIRED)
            return
        if now >= self._warn_at:
            self._warn_at = math.inf
            self._tell(TokenExpiring(seconds_left=self._life.seconds_left(now)))
        if now >= self._quiet_until:
            if not (self._pinged and self._subprotocol == V1):
                self._ping(now)
            elif not self._ping_waits and not self._ping_is_on_its_way():
                self.connection.end(CloseReason.NO_HEARTBEAT)
                return
            self._quiet_until = now + self._site.settings.heartbeat_seconds
        self._watch_clock()

    def ended(self, how: Closed | Loss, code: int | None, reason: str) -> None:
        connection = self.connection
        if how is Loss.STALLED:
            connection.evict("stalled")
        elif how is Loss.ABORTED:
            connection.end(CloseReason.CHANNEL_FAILED)
        self._leave(how, code)

    # What its connection does: `courier.actors.wire.Holder`

    def end(self, reason: CloseReason, by: float) -> None:
        if self._v1 and reason is CloseReason.SHUTTING_DOWN:
            self._tell(Drain(reconnect_in_ms=round(self.connection.slot_seconds * 1000)))
        self._peer.close(reason.code, reason.reason, by)

    # Its beginning and its end

    def _begin(self, **told: object) -> None:
        self._site.sessions[self.connection.id] = self
        self._site.node.metrics.connected(self.kind)
        logger.info("Subscriber joined", **self._facts(), subprotocol=self._subprotocol, **told)

    def _leave(self, how: Closed | Loss, code: int | None) -> None:
        connection = self.connection
        ending = self._ending(how, code)
        delivered, lag = self._progress()
        connection.close(aborted=connection.reason is not None and isinstance(how, Loss))
        self._site.sessions.pop(connection.id, None)
        self._site.node.metrics.disconnected(self.kind, ending.why)
        logger.info(
            "Subscriber left",
            **self._facts(),
            code=ending.code,
            reason=ending.reason,
            aborted=connection.aborted,
            seconds=round(trio.current_time() - self._joined_at, 3),
            delivered=delivered,
            lag=lag,
        )

    def _ending(self, how: Closed | Loss, code: int | None) -> Ending:
        reason = self.connection.reason
        if how is Closed.BY_VIOLATION and code == CloseReason.MESSAGE_TOO_BIG.code:
            reason = reason or CloseReason.MESSAGE_TOO_BIG
        if reason is not None:
            return Ending(reason.code, reason.reason, reason)
        if how is Closed.BY_VIOLATION:
            return Ending(code or ABNORMAL, "Peer broke the protocol", Departure.BROKE_PROTOCOL)
        if how is Closed.BY_PEER:
            return Ending(code or NO_CODE, f"Peer has {Departure.LEFT}", Departure.LEFT)
        return Ending(ABNORMAL, f"Peer has {Departure.GONE}", Departure.GONE)

    # What the rest of the web sees: `courier.web.sessions.Served`

    def statistics(self) -> SessionStatistics:
        """What the connection is like at this moment."""
        ago = time.time() - trio.current_time()
        return SessionStatistics(
            self.connection.id,
            self.connection.owner,
            [each.statistics() for each in self.subscribers],
            self._peer.held_bytes,
            self._subprotocol,
            self.address,
            self.connected_at,
            self._heard_at + ago,
            None if self._pinged_at is None else self._pinged_at + ago,
            self._peer.unsent_bytes(),
        )

    @property
    def address(self) -> str | None:
        """Where the peer's packets come from, which may be a proxy."""
        return self._peer.address

    @property
    def quiet_seconds(self) -> float:
        """How long the peer has said nothing."""
        return trio.current_time() - self._heard_at

    # The clock

    def _live_until(self, expires_at: float) -> None:
        """Watch the end of a token, in Unix time."""
        share = random.random()  # noqa: S311 - it spreads, and hides nothing
        self._life = TokenLife.of(expires_at, time.time(), trio.current_time(), share)
        self._warn_at = self._life.warn_at if self._v1 else math.inf

    def _watch_clock(self) -> None:
        self._peer.call_at(min(self._quiet_until, self._warn_at, self._life.ends_at))

    def _ping(self, now: float) -> None:
        self._say(PING)
        self._pinged = self._ping_waits = True
        if not self._peer.holding:
            self._note_ping(now)

    def _note_ping(self, now: float) -> None:
        """The ping has been written: the peer's time to answer begins. Remember how much it has still to take
        before the ping."""
        self._ping_waits = False
        self._pinged_at = now
        self._quiet_until = now + self._site.settings.heartbeat_seconds
        taken, unsent = self._peer.taken_bytes(), self._peer.unsent_bytes()
        self._taken = taken
        self._before_ping = None if taken is None or unsent is None else taken + unsent - PING_BYTES

    def _ping_is_on_its_way(self) -> bool:
        """Whether, at the last look, the ping had not reached the peer, which has taken something since."""
        before, self._taken = self._taken, self._peer.taken_bytes()
        if self._before_ping is None or before is None or self._taken is None:
            return False
        return before < self._before_ping and before < self._taken

    # What it says

    def _tell(self, message: ControlMessage | ConnectionMessage) -> None:
        self._say(message.to_json())

    def _tell_joined(self, subscriber: Subscriber, beginning: Beginning) -> None:
        self._tell(
            Joined(
                channel=subscriber.channel.name,
                position=str(beginning.position),
                recovered=beginning.recovered,
                replayed=beginning.replayed,
                connection_id=subscriber.id,
                heartbeat_seconds=self._site.settings.heartbeat_seconds,
            )
        )

    def _say(self, text: bytes) -> None:
        self._peer.put(text_frame(text))

    # A new token

    def _take_token(self, token: str) -> None:
        """Judge a new token, one at a time and not too often; of those that come meanwhile, the last one."""
        if self._refreshing:
            self._next_token = token
        else:
            self._refreshing = True
            self._site.node.hub.spawn(partial(self._refresh, token))

    async def _refresh(self, token: str) -> None:
        """Go on with a new token when it is good, and end when it is not.

        When nobody can say now, nothing changes: the old token counts, and the new one may come again.
        """
        while self.connection.reason is None and not self.connection.left:
            await trio.sleep_until(self._refresh_at)
            self._refresh_at = trio.current_time() + REFRESH_SECONDS
            try:
                identity, go_on = await walk(self._judge(token))
            except Exception as error:  # noqa: BLE001 - a fault of ours, too, ends only this connection
                self._refuse(error)
            else:
                self._go_on_with(identity, go_on)
            if self._next_token is None:
                break
            token, self._next_token = self._next_token, None
        self._refreshing = False

    def _judge(self, token: str) -> Steps[tuple[Identity, Callable[[], None]]]:
        """What a token proves that may go on with this connection, and what is to be done when it counts;
        raises what a join would."""
        identity = yield from verify(self._site, token)
        if identity.claims.user_id != self.connection.owner:
            raise AccessRefused("new token is another user's")
        go_on = yield from self._judge_channels(identity)
        self._site.revoking.check_subscriber(identity)  # again: it may have been revoked meanwhile
        return identity, go_on

    def _go_on_with(self, identity: Identity, go_on: Callable[[], None]) -> None:
        if self.connection.reason is None and not self.connection.left:
            claims = identity.claims
            go_on()
            self.issued_at, self.token_id = claims.iat, token_id_of(identity.said)
            self._live_until(claims.exp)
            self._watch_clock()
            ends = datetime.fromtimestamp(claims.exp, UTC).isoformat().replace("+00:00", "Z")
            self._tell(Refreshed(expires_at=ends))

    def _refuse(self, error: Exception) -> None:
        """End as a join with such a token would; but stay when the same token may be good later."""
        if self.connection.reason is not None or self.connection.left:
            return
        reason = close_reason(error)
        if is_ours(error):
            self._site.node.metrics.error("refresh", error)
        if is_news(error):
            logger.error("Refresh failed", **self._facts(), exc_info=error)
        else:
            notes.refresh_refused(self._site, reason, error, self.address, self._facts())
        if reason is not CloseReason.TRY_AGAIN_LATER:
            self.connection.end(reason)
