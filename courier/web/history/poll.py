"""Poll: a request for history that waits for the next event. It is a subscription that ends with its first
page."""

import time
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import trio
from pydantic_core import from_json

from courier.actors.connection import Connection
from courier.actors.errors import ChannelFailed
from courier.actors.frames import frames_of, payload_of
from courier.actors.subscriber import Subscriber
from courier.schemas.closing import CloseReason
from courier.serving.peer import Closed, Loss, Peer
from courier.web.answer import Answer, answer_to
from courier.web.auth import Identity, TokenRevoked, token_id_of
from courier.web.errors import RETRY_AFTER, HttpError
from courier.web.exchange import Exchange
from courier.web.history.render import body_around
from courier.web.reader import unauthorized
from courier.web.sessions import SessionStatistics
from courier.web.site import Site

POLL = "poll"
"""What stands in the place of a subprotocol."""

POLL_BYTES = 64 * 1024
"""How many bytes of events one answer has at most, if it has more than one event: thousands may wait."""


class _Shown(NamedTuple):
    """A page of frames as an answer."""

    taken_bytes: int
    """Of the page."""
    taken: int
    """How many frames these are."""
    events: list[bytes]
    position: str
    complete: bool


class Poll:
    """A `Wire` and a `Holder` of its subscriber, and the `Endpoint` of its connection, up to its answer."""

    __slots__ = (
        "_exchange",
        "_headers",
        "_limit",
        "_over",
        "_site",
        "_subscriber",
        "address",
        "connected_at",
        "connection",
        "issued_at",
        "token_id",
    )

    def __init__(
        self,
        site: Site,
        subscriber: Subscriber,
        identity: Identity,
        limit: int,
        exchange: Exchange,
        headers: dict[str, str],
    ) -> None:
        """It answers `exchange`, with these headers."""
        self.connection: Subscriber | Connection = subscriber
        self._subscriber = subscriber
        self.issued_at, self.token_id = identity.claims.iat, token_id_of(identity.said)
        self.connected_at = time.time()
        self.address: str | None = None
        self._site = site
        self._limit = limit
        self._exchange = exchange
        self._headers = headers
        self._over = False

    def begin(self, peer: Peer, by: float) -> None:
        """Wait, until `by` (`trio.current_time`) at the latest."""
        self.address = peer.address
        self._site.sessions[self._subscriber.id] = self
        peer.call_at(by)
        self._subscriber.open(self, self)

    # What its subscriber does: `courier.actors.wire.Wire` and `Holder`

    holding = False
    held_bytes = 0

    def write(self, data: bytes) -> int:
        """Answer with what the channel shows."""
        if self._over:
            return 0
        shown = _shown(data, self._limit)
        more = shown.taken < self._subscriber.lag
        channel = self._subscriber.channel.name
        body = body_around(channel, shown.events, shown.position, complete=shown.complete, more=more)
        self._end_with(Answer(200, body, {}))
        return shown.taken_bytes

    def hold(self, rest: bytes) -> None:
        assert not rest, "a frame is never cut here"

    def await_room(self) -> None:
        """There will be none: it has answered."""

    def end(self, reason: CloseReason, by: float) -> None:
        match reason:
            case CloseReason.SHUTTING_DOWN:
                self.answer_empty()
            case CloseReason.TOKEN_REVOKED:
                self._end_with(answer_to(unauthorized(TokenRevoked()), {}))
            case CloseReason.CHANNEL_FAILED:
                self._end_with(answer_to(ChannelFailed(), {}))
            case _:
                self._end_with(answer_to(HttpError(503, "Try again later", RETRY_AFTER), {}))

    # What its connection does: `courier.serving.peer.Endpoint`

    def heard(self, message: str | bytes) -> None:
        """What follows the request waits for the answer."""

    def writable(self) -> None:
        """Nothing is written before the answer."""

    def due(self, now: float) -> None:
        self.answer_empty()

    def ended(self, how: Closed | Loss, code: int | None, reason: str) -> None:
        self._over = True
        self._site.sessions.pop(self._subscriber.id, None)
        self._subscriber.close(aborted=False)

    # Its answer

    def answer_empty(self) -> None:
        """Answer that nothing has come."""
        position = self._subscriber.position
        assert position is not None
        channel = self._subscriber.channel.name
        self._end_with(Answer(200, body_around(channel, [], position, complete=True, more=False), {}))

    def _end_with(self, answer: Answer) -> None:
        if not self._over:
            self._over = True
            answer.headers.update(self._headers)
            self._exchange.answer(answer)

    # What the rest of the web sees: `courier.web.sessions.Served`

    @property
    def subscribers(self) -> Iterable[Subscriber]:
        return (self._subscriber,)

    @property
    def kind(self) -> str:
        return self._subscriber.channel.kind

    @property
    def quiet_seconds(self) -> float:
        return time.time() - self.connected_at

    def statistics(self) -> SessionStatistics:
        return SessionStatistics(
            self._subscriber.id,
            self._subscriber.owner,
            [self._subscriber.statistics()],
            0,
            POLL,
            self.address,
            self.connected_at,
            self.connected_at,
            None,
            None,
        )


@lru_cache(1)
def _shown(data: bytes, limit: int) -> _Shown:
    """The frames of a page as events, as many as an answer has: made once for all who wait for them."""
    events: list[bytes] = []
    position, complete, size, taken, taken_bytes = "", True, 0, 0, 0
    for frame in frames_of(data):
        payload = payload_of(frame)
        if events and (len(events) == limit or size + len(payload) > POLL_BYTES):
            break
        said = from_json(payload)
        if said.get("type") == "courier.gap":
            if events:
                break  # what stands before it is one answer, and what stands behind it the next
            complete, position = False, said["resumed_from"]
        else:
            events.append(payload)
            position = said["id"]
            size += len(payload)
        taken, taken_bytes = taken + 1, taken_bytes + len(frame)
    return _Shown(taken_bytes, taken, events, position, complete)


def until(seconds: float, identity: Identity) -> float:
    """When a request that waits is answered at the latest: its token may end before."""
    return trio.current_time() + max(0.0, min(seconds, identity.claims.exp - time.time()))


async def answer_polls(site: Site) -> None:
    """Answer all that wait, as soon as the node drains."""
    await site.node.hub.closing.wait()
    for session in tuple(site.sessions.values()):
        if isinstance(session, Poll):
            session.answer_empty()
