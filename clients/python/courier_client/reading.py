"""Reading: one connection after another, for whoever loops over what comes."""

import json
import logging
import math
import ssl
from abc import ABC, abstractmethod
from collections import deque
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import anyio
import anyio.lowlevel

from courier_client.address import Address
from courier_client.backoff import Backoff
from courier_client.closing import Closed, ComeBack, what_next, what_next_over_http
from courier_client.errors import SubscriptionRefused, TokenFailed
from courier_client.logs import logger
from courier_client.session import REFRESH_AGAIN_SECONDS, Session, Silent
from courier_client.tokens import TokenSource
from courier_client.websocket import HandshakeRefused, WebSocket

SUBPROTOCOL = "courier.v1"

CONNECT_SECONDS = 10.0
"""How long a connection may take until its handshake is done."""

BACKOFF = Backoff(base_seconds=0.5, cap_seconds=30.0)


Item = TypeVar("Item")
Kind = TypeVar("Kind", bound=Session[Any])


class Reading(ABC, Generic[Item, Kind]):
    """It starts no task: it reads while the loop waits for what comes next, and not otherwise. A loop that is
    slow slows Courier down, and may lose its connection, but no event that a channel's log still holds. One
    task may iterate at a time, not always the same one; cancelled, it loses nothing, and may go on. Left
    early, it closes its socket: at the end of `async with`, by `close`, or when the last reference to it
    goes.
    """

    def __init__(self, address: Address, token: TokenSource, session: Kind, name: str) -> None:
        self._address = address
        self._token = token
        self._name = name
        """For the log."""
        self._websocket: WebSocket | None = None
        self._session = session
        self._ready: deque[Item] = deque()
        self._closed = False
        self._failures = 0
        """Connections in a row that brought nothing."""
        self._come_back_at = -math.inf
        self._token_asked = False
        """A fresh token was asked for, and no join has followed yet."""
        self._waiting: anyio.CancelScope | None = None
        """While it is connecting."""
        self._listening: anyio.CancelScope | None = None
        """While it waits for what comes."""

    @abstractmethod
    def _target(self) -> str:
        """What is asked for, behind the node's own path."""

    @abstractmethod
    def _next_session(self, now: float) -> Kind:
        """That of the next connection, which goes on from this one."""

    async def __aenter__(self) -> Self:
        try:
            await self.join()
        except BaseException:
            self.close()
            raise
        return self

    async def join(self) -> bool:
        """Join, unless it has joined. False when it is closed."""
        while not self._session.joined and not self._closed:
            await self._step()
        return not self._closed

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        await anyio.lowlevel.checkpoint()
        while not self._ready:
            if self._closed:
                raise StopAsyncIteration
            await self._step()
        item = self._ready.popleft()
        self._session.taken(item)
        return item

    async def aclose(self) -> None:
        """As `close`, for `contextlib.aclosing`."""
        self.close()

    def close(self) -> None:
        """End it; whoever waits for the next event gets StopAsyncIteration."""
        if self._closed:
            return
        self._closed = True
        self._ready.clear()
        if self._waiting is not None:
            self._waiting.cancel()
        if self._websocket is not None:
            self._websocket.close()

    def __del__(self) -> None:
        self.close()

    # One thing after another: each step may be cancelled, and the next one finds what there is to do

    async def _step(self) -> None:
        websocket, session = self._websocket, self._session
        try:
            if websocket is None:
                await self._connect()
            elif websocket.closed is not None and not websocket.unread:
                self._websocket = None
                await self._come_back(what_next(websocket.closed), websocket.closed)
            elif anyio.current_time() >= session.refresh_at:
                await self._send_token(websocket, session)
            elif (text := session.to_say(anyio.current_time())) is not None:
                await websocket.send(text)
                session.has_said(anyio.current_time())
            else:
                await self._read(websocket, session)
        except (SubscriptionRefused, TokenFailed, ssl.SSLCertVerificationError):
            self.close()
            raise
        except anyio.ClosedResourceError:  # `close` was called meanwhile
            if not self._closed:
                raise

    async def _connect(self) -> None:
        try:
            with anyio.CancelScope() as self._waiting:
                await anyio.sleep_until(self._come_back_at)
                await self._open()
        finally:
            self._waiting = None

    async def _open(self) -> None:
        token = await self._token.get()
        headers = [] if token is None else [(b"Authorization", f"Bearer {token}".encode())]
        target = f"{self._address.path}{self._target()}"
        try:
            with anyio.fail_after(CONNECT_SECONDS):
                self._websocket = await WebSocket.open(self._address, target, SUBPROTOCOL, headers)
        except HandshakeRefused as error:
            await self._come_back(what_next_over_http(error.status), Closed(error.status, error.reason))
        except ssl.SSLCertVerificationError:
            raise
        except OSError as error:  # a TimeoutError is one, too
            self._back_off(str(error) or type(error).__name__)
        else:
            self._session = self._next_session(anyio.current_time())

    async def _read(self, websocket: WebSocket, session: Kind) -> None:
        if session.ping_due(anyio.current_time()):
            await websocket.send("ping")
        texts = None
        with anyio.CancelScope(deadline=session.next_at) as self._listening:
            texts = await websocket.receive()
        now = anyio.current_time()
        try:
            if texts is None:
                session.nothing_came(now)
                return
            if texts and session.joined:
                self._failures = 0
            items = [session.hear(text, now) for text in texts]
        except (Silent, ValueError, LookupError, TypeError, AttributeError) as error:
            logger.warning("%s: connection is of no use: %s", self._name, type(error).__name__)
            websocket.close()
            return
        self._ready.extend(item for item in items if item is not None)
        if session.joined:
            self._token_asked = False
        if "ping" in texts:
            session.said(now)
            await websocket.send("pong")

    async def _send_token(self, websocket: WebSocket, session: Kind) -> None:
        """Give Courier a new token before the old one ends."""
        if not self._token.renewable:
            session.refresh_at = math.inf
            return
        try:
            if session.new_token is None:
                with anyio.CancelScope(deadline=session.token_ends):
                    session.new_token = await self._token.fresh()
        except TokenFailed as error:
            logger.warning("%s: %s", self._name, error)  # the old one still counts
        now = anyio.current_time()
        session.refresh_at = now + REFRESH_AGAIN_SECONDS
        if session.new_token is not None:
            session.said(now)
            await websocket.send(json.dumps({"type": "courier.refresh", "token": session.new_token}))

    async def _come_back(self, what: ComeBack, closed: Closed) -> None:
        match what:
            case ComeBack.NO:
                raise SubscriptionRefused(*closed)
            case ComeBack.WITH_NEW_TOKEN:
                if not self._token.renewable or self._token_asked:
                    raise SubscriptionRefused(*closed)
                logger.info("%s: %s; a fresh token is asked for", self._name, closed.reason)
                if self._session.joined:  # tokens that let it join and end at once are not asked for in haste
                    self._back_off(closed.reason)
                await self._token.fresh()
                self._token_asked = True
            case ComeBack.AT_THE_SLOT if (slot := self._session.slot_seconds) is not None:
                logger.info("%s: the node leaves; back in %.1f s", self._name, slot)
                self._come_back_at = anyio.current_time() + slot
            case _:
                self._back_off(f"{closed.code} {closed.reason}")

    def _back_off(self, why: str) -> None:
        seconds = BACKOFF.seconds(self._failures)
        self._failures += 1
        self._come_back_at = anyio.current_time() + seconds
        level = logging.INFO if self._failures == 1 else logging.WARNING  # it does not come back by itself
        logger.log(level, "%s: %s; back in %.1f s", self._name, why, seconds)
