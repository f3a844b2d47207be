"""Session: one subscription, served on one WebSocket until one of the two ends."""

import math
import random
import time
from datetime import UTC, datetime
from typing import NamedTuple

import trio

from courier.actors.errors import Draining, WireError
from courier.actors.subscriber import Subscriber
from courier.backplane.reply import Reply
from courier.logs import get_logger
from courier.schemas.claims import SubscriberClaims
from courier.schemas.closing import CloseReason, Departure
from courier.schemas.control import ControlMessage, Drain, Joined, Refresh, Refreshed, TokenExpiring
from courier.serving.transport import CONNECTION_EXTENSION, TRANSPORT_EXTENSION
from courier.web import notes
from courier.web.access import Access, AccessRefused, may_join
from courier.web.auth import TokenInvalid
from courier.web.errors import close_reason
from courier.web.sessions import SessionStatistics
from courier.web.site import Site
from courier.web.token_life import TokenLife
from courier.web.websocket import ABNORMAL, Disconnected, End, WebSocket
from courier.web.wire import AsgiWire, SocketWire, UnknownServer

V1 = "courier.v1"

PING = b"ping"
PONG = b"pong"

PING_BYTES = 64
"""More than a ping takes on the way, by TLS as well."""

END_SECONDS = 1.0
"""How long a broken or closed WebSocket may take to say which of the two it is."""

REFRESH_SECONDS = 1.0
"""How long after a refresh the next one of the same subscriber waits to be judged."""

logger = get_logger(__name__)


class Ending(NamedTuple):
    """How a subscription ended."""

    code: int
    """That of the close frame; 1006 when there was none."""
    reason: str
    """A constant sentence: what a peer says of its own is not repeated."""
    why: CloseReason | Departure


class Session:
    """What a WebSocket's task does while it lasts: it reads, answers, and minds three times.

    Those are the silence of the peer, the warning before its token ends, and that end. With `v1` it also
    speaks first and last, takes new tokens, and closes whoever leaves a ping unanswered.
    """

    __slots__ = (
        "_access",
        "_before_ping",
        "_end",
        "_heard_at",
        "_life",
        "_pinged",
        "_pinged_at",
        "_quiet_until",
        "_refresh_at",
        "_site",
        "_subprotocol",
        "_taken",
        "_v1",
        "_warn_at",
        "_websocket",
        "_wire",
        "connected_at",
        "subscriber",
    )

    def __init__(
        self,
        site: Site,
        websocket: WebSocket,
        subscriber: Subscriber,
        access: Access,
        subprotocol: str | None,
    ) -> None:
        self.subscriber = subscriber
        self.connected_at = time.time()
        self._site = site
        self._websocket = websocket
        self._access = access
        self._subprotocol = subprotocol
        self._v1 = subprotocol == V1
        self._wire = _wire_of(websocket, site.settings.stall_seconds)
        self._end = End()
        self._refresh_at = -math.inf
        self._warn_at = math.inf
        self._live_by(access.claims)
        self._pinged = False
        self._pinged_at: float | None = None
        self._before_ping: int | None = None
        self._taken: int | None = None
        self._heard_at = self._quiet_until = 0.0
        self._heard()

    async def serve(self) -> None:
        """Keep the subscription until it ends or the peer goes, and say the last word."""
        subscriber, wire = self.subscriber, self._wire
        self._site.sessions[subscriber.id] = self
        try:
            with subscriber.alive:
                if self._v1:
                    await self._tell(self._joined())
                subscriber.open(wire)
                await self._listen()
            if subscriber.reason is None:
                await self._hear_the_end()
            else:
                with subscriber.goodbye:
                    await wire.close(subscriber.reason, self._last_word(subscriber.reason))
                if subscriber.goodbye.cancelled_caught:
                    subscriber.close(aborted=True)
        except Disconnected as disconnected:
            self._end = disconnected.end
        except WireError as error:
            subscriber.fail(error)
            if subscriber.reason is None:
                await self._hear_the_end()
            subscriber.close(aborted=self._end.code == ABNORMAL)
        finally:
            del self._site.sessions[subscriber.id]
            if subscriber.aborted or wire.holding:
                wire.abort()

    @property
    def ending(self) -> "Ending":
        """How the subscription ended."""
        reason, end = self.subscriber.reason, self._end
        if reason is not None:
            return Ending(reason.code, reason.reason, reason)
        if end.by_peer:
            how = Departure.GONE if end.code == ABNORMAL else Departure.LEFT
            return Ending(end.code, f"Peer has {how}", how)
        if end.code == CloseReason.MESSAGE_TOO_BIG.code:
            return Ending(end.code, CloseReason.MESSAGE_TOO_BIG.reason, CloseReason.MESSAGE_TOO_BIG)
        return Ending(end.code, "Peer broke the protocol", Departure.BROKE_PROTOCOL)

    async def _hear_the_end(self) -> None:
        """The wire was the first to know that the peer has closed or gone: learn which."""
        with trio.move_on_after(END_SECONDS):
            try:
                while True:
                    await self._websocket.receive()
            except Disconnected as disconnected:
                self._end = disconnected.end

    def statistics(self) -> SessionStatistics:
        """What the connection is like at this moment."""
        ago = time.time() - trio.current_time()
        return SessionStatistics(
            self.subscriber.statistics(),
            self._subprotocol,
            self.address,
            self.connected_at,
            self._heard_at + ago,
            None if self._pinged_at is None else self._pinged_at + ago,
            self._wire.unsent_bytes,
        )

    @property
    def address(self) -> str | None:
        """Where the peer's packets come from, which may be a proxy."""
        return self._websocket.address

    @property
    def quiet_seconds(self) -> float:
        """How long the peer has said nothing."""
        return trio.current_time() - self._heard_at

    async def _listen(self) -> None:
        """Take what the peer says, so that it is never kept waiting; do what is due when it says nothing."""
        while (now := trio.current_time()) < self._life.ends_at:
            if now >= self._warn_at:
                self._warn_at = math.inf
                await self._tell(TokenExpiring(seconds_left=self._life.seconds_left(now)))
            elif now < self._quiet_until:
                with trio.move_on_at(min(self._quiet_until, self._warn_at, self._life.ends_at)) as waiting:
                    message = await self._websocket.receive()
                if not waiting.cancelled_caught:
                    self._heard()
                    await self._hear(message)
            elif not (self._v1 and self._pinged):
                await self._say(PING)
                self._pinged_at = trio.current_time()  # its time to answer begins when it has been written
                self._quiet_until = self._pinged_at + self._site.settings.heartbeat_seconds
                self._pinged = True
                self._note_what_stands_before()
            elif self._is_on_its_way():
                self._quiet_until = now + self._site.settings.heartbeat_seconds
            else:
                self.subscriber.end(CloseReason.NO_HEARTBEAT)
                return
        self.subscriber.end(CloseReason.TOKEN_EXPIRED)

    def _heard(self) -> None:
        self._heard_at = trio.current_time()
        self._quiet_until = self._heard_at + self._site.settings.heartbeat_seconds
        self._pinged = False

    def _note_what_stands_before(self) -> None:
        """Remember how much the peer has still to take before the ping that was just written."""
        taken, unsent = self._wire.taken_bytes, self._wire.unsent_bytes
        self._taken = taken
        self._before_ping = None if taken is None or unsent is None else taken + unsent - PING_BYTES

    def _is_on_its_way(self) -> bool:
        """Whether, at the last look, the ping had not reached the peer, which has taken something since."""
        before, self._taken = self._taken, self._wire.taken_bytes
        if self._before_ping is None or before is None or self._taken is None:
            return False
        return before < self._before_ping and before < self._taken

    async def _hear(self, message: str | bytes) -> None:
        if message in ("ping", PING):
            await self._say(PONG)
        elif self._v1:
            try:
                refresh = Refresh.parse(message)
            except ValueError:
                self._refuse(TokenInvalid("courier.refresh has no token, or other fields"))
                return
            if refresh is not None:
                await self._refresh(refresh.token)

    # What it says

    async def _tell(self, message: ControlMessage) -> None:
        await self._say(message.to_json())

    async def _say(self, text: bytes) -> None:
        """Say it, unless the peer reads so slowly that its token ends first."""
        with trio.move_on_at(self._life.ends_at):
            await self._wire.say(text)

    def _joined(self) -> Joined:
        subscriber = self.subscriber
        beginning = subscriber.beginning
        assert beginning is not None
        return Joined(
            channel=subscriber.channel,
            position=str(beginning.position),
            recovered=beginning.recovered,
            replayed=beginning.replayed,
            connection_id=subscriber.id,
            heartbeat_seconds=self._site.settings.heartbeat_seconds,
        )

    def _last_word(self, reason: CloseReason) -> bytes | None:
        if not self._v1 or reason is not CloseReason.SHUTTING_DOWN:
            return None
        return Drain(reconnect_in_ms=round(self.subscriber.slot_seconds * 1000)).to_json()

    # The token

    def _live_by(self, claims: SubscriberClaims) -> None:
        """Mind the end of these claims' token."""
        share = random.random()  # noqa: S311 - it spreads, and hides nothing
        self._life = TokenLife.of(claims.exp, time.time(), trio.current_time(), share)
        self._warn_at = self._life.warn_at if self._v1 else math.inf

    async def _refresh(self, token: str) -> None:
        """Go on with a new token when it is good, and end when it is not.

        When nobody can say now, nothing changes: the old token counts, and the new one may come again.
        """
        claims = None
        with trio.move_on_at(self._life.ends_at):
            await trio.sleep_until(self._refresh_at)
            self._refresh_at = trio.current_time() + REFRESH_SECONDS
            try:
                claims = await self._asked(token)
            except Exception as error:  # noqa: BLE001 - a fault of ours, too, ends only this subscription
                self._refuse(error)
                return
        if claims is not None:
            self._live_by(claims)
            ends = datetime.fromtimestamp(claims.exp, UTC).isoformat().replace("+00:00", "Z")
            await self._tell(Refreshed(expires_at=ends))

    def _refuse(self, error: Exception) -> None:
        """End as a join with such a token would; but stay when the same token may be good later."""
        reason = close_reason(error)
        subscriber = self.subscriber
        facts = {"channel": subscriber.channel, "user_id": subscriber.owner, "connection_id": subscriber.id}
        if reason is CloseReason.CHANNEL_FAILED:
            self._site.node.metrics.error("refresh", error)
            logger.error("Refresh failed", **facts, exc_info=error)
        else:
            notes.refresh_refused(self._site, reason, error, self.address, facts)
        if reason is not CloseReason.TRY_AGAIN_LATER:
            self.subscriber.end(reason)

    async def _asked(self, token: str) -> SubscriberClaims:
        """What `_judge` says. Neither the token's end nor a drain waits for it: some of its questions are
        shielded, because others wait for the same answer, and so a task of its own asks them."""
        reply = Reply[SubscriberClaims]()

        async def ask() -> None:
            try:
                reply.give(await self._judge(token))
            except Exception as error:  # noqa: BLE001 - raised by whoever waits
                reply.fail(error)
            finally:
                reply.fail(Draining())  # of no effect on an answer that was given

        self._site.node.hub.supervisor.spawn(ask)
        return await reply.wait()

    async def _judge(self, token: str) -> SubscriberClaims:
        """The claims of a token that may go on with this subscription; raises what a join would."""
        claims = await self._site.verifier.subscriber(token)
        if claims.user_id != self._access.claims.user_id:
            raise AccessRefused("new token is another user's")
        await may_join(claims, self._access.channel, self._site.ownership, self._site.settings)
        return claims


def _wire_of(websocket: WebSocket, stall_seconds: float) -> SocketWire | AsgiWire:
    transport = websocket.extensions.get(TRANSPORT_EXTENSION)
    if transport is not None:
        return SocketWire(transport, stall_seconds)
    server = websocket.extensions.get(CONNECTION_EXTENSION) or UnknownServer()
    return AsgiWire(websocket.send, websocket.close, server)
