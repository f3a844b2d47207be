"""Publisher: the requests of an outbox, sent by those who wait for their receipts.

There is no background task. Of those who wait, one at a time drives: it sends what goes next, for all, until
its own event has an outcome; then the one that has waited longest drives. So whoever finds nobody under way
sends at once, and what comes meanwhile travels together. One who is cancelled while it drives leaves its
request to the next one, who repeats it by the same idempotency key.
"""

import time
from collections.abc import AsyncIterator, Sequence

import anyio
import anyio.lowlevel
import httpx

from courier_client.address import Address
from courier_client.answers import Failure, Result, read_batch, read_single
from courier_client.errors import ClientClosed, TokenFailed
from courier_client.logs import logger
from courier_client.outbox import Outbox
from courier_client.outgoing import Outgoing, Request
from courier_client.receipt import Receipt
from courier_client.tokens import TokenSource

REQUEST_SECONDS = 10.0
"""How long an answer may take, until the request is repeated."""

CONNECT_SECONDS = 5.0

_KEEP_ALIVE_SECONDS = 4.0
"""Less than Courier and the usual proxies keep an idle connection."""

_GOODBYE_SECONDS = 1.0

_TIMEOUT = httpx.Timeout(REQUEST_SECONDS, connect=CONNECT_SECONDS).as_dict()

_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Waiter(Outgoing):
    """An event, and the task that waits for its outcome."""

    __slots__ = ("woken",)

    def __init__(self, channel: str, event_type: str, body: bytes, deadline: float) -> None:
        super().__init__(channel, event_type, body, deadline)
        self.woken: anyio.Event | None = None

    async def wait(self) -> None:
        """Until it has an outcome, or somebody must drive."""
        self.woken = anyio.Event()
        await self.woken.wait()

    def wake(self) -> None:
        if self.woken is not None:
            self.woken.set()


class _Content(httpx.AsyncByteStream):
    """A body in one piece. httpx's own is a generator, which a cancelled request leaves unfinished."""

    def __init__(self, content: bytes) -> None:
        self._rest: list[bytes] = [content]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._rest:
            raise StopAsyncIteration
        return self._rest.pop()


class Publisher:
    """Publishes what is admitted. `queue_size` events may be without an outcome; who has another waits for
    room."""

    def __init__(self, address: Address, service_name: str, token: TokenSource, queue_size: int) -> None:
        self._token = token
        self._outbox = Outbox()
        self._room = anyio.Semaphore(queue_size, fast_acquire=True)
        self._driver: anyio.CancelScope | None = None
        """Of the one who drives."""
        self._closed = False
        self._news: anyio.Event | None = None
        """Set for who drives and has nothing to send, when something is put in."""
        self._url = address.url
        self._headers = {
            "Host": address.authority,
            "Content-Type": "application/json",
            "X-Service-Name": service_name,
        }
        # httpx's client above it would log a line a request, and keep cookies.
        self._http = httpx.AsyncHTTPTransport(
            verify=address.ssl_context or False,  # where there is no TLS, there is nothing to verify
            trust_env=False,
            limits=httpx.Limits(keepalive_expiry=_KEEP_ALIVE_SECONDS),
        )

    async def aclose(self) -> None:
        """No more is published; who still waits gets a ClientClosed."""
        self._closed = True
        try:
            while self._driver is not None:  # until each has left its request, one after the other
                self._driver.cancel()
                await anyio.lowlevel.checkpoint()
        finally:
            with anyio.move_on_after(_GOODBYE_SECONDS, shield=True):
                await self._http.aclose()

    @property
    def full(self) -> bool:
        """Whether `admit` would wait now."""
        return self._room.value == 0

    async def admit(self, event: Waiter) -> None:
        """Put the event in, when there is room; a PublishTimeout when there is none in time."""
        if self._closed:
            raise ClientClosed("The client is closed")
        if self.full:
            with anyio.CancelScope(deadline=event.deadline) as scope:
                await self._room.acquire()
            if scope.cancelled_caught:
                event.fault = self._outbox.fault_before(event)
                event.time_out("; its queue was full of events that wait")
                assert isinstance(event.outcome, Exception)
                raise event.outcome
        else:
            self._room.acquire_nowait()
        self._outbox.put(event, anyio.current_time())
        if self._news is not None:
            self._news.set()

    async def outcome(self, event: Waiter) -> Receipt:
        """The receipt of an event that was admitted, or its error, raised. Cancelled, it is not sent
        again."""
        try:
            if event.outcome is None:
                with anyio.CancelScope(deadline=event.deadline):
                    await self._settled(event)
        finally:
            self.leave(event)
        if isinstance(event.outcome, Receipt):
            return event.outcome
        assert event.outcome is not None
        raise event.outcome

    def leave(self, event: Waiter) -> None:
        """Nobody waits for it any more."""
        if event.outcome is None:
            self._outbox.forget(event)
        self._room.release()
        self._hand_over()

    async def _settled(self, event: Waiter) -> None:
        while event.outcome is None:
            if self._closed:
                raise ClientClosed("The client was closed")
            if self._driver is not None:
                await event.wait()
                continue
            try:
                with anyio.CancelScope() as self._driver:
                    await self._drive(event)
            finally:
                self._driver = None

    def _hand_over(self) -> None:
        """If nobody drives, wake who has waited longest."""
        if self._driver is None and isinstance(first := self._outbox.first, Waiter):
            first.wake()

    async def _drive(self, event: Waiter) -> None:
        while event.outcome is None:
            # Those who were answered together come together again: let them put in what they have.
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()  # Trio runs those of one turn in any order
            now = anyio.current_time()
            request = self._outbox.take(now)
            if request is not None:
                await self._send(request)
                continue
            self._news = anyio.Event()
            with anyio.CancelScope(deadline=self._outbox.due_at()):
                await self._news.wait()
            self._news = None

    async def _send(self, request: Request) -> None:
        """One try, and what came of it told to those whom it concerns."""
        try:
            response = await self._answer(request)
        except httpx.RequestError as error:
            logger.debug("No answer to try %d of %s: %r", request.tries, request.path, error)
            sent = not isinstance(error, _UNSENT)
            done = self._outbox.unanswered(request, error, anyio.current_time(), sent=sent)
        except TokenFailed as error:
            done = self._outbox.failed(request, error)
        except BaseException:
            self._outbox.interrupted(request, anyio.current_time())
            raise
        else:
            done = self._outbox.answered(request, self._read(request, response), anyio.current_time())
        for event in done:
            assert isinstance(event, Waiter)
            event.wake()

    async def _answer(self, request: Request) -> httpx.Response:
        response = await self._post(request, await self._token.get())
        if response.status_code == 401 and self._token.renewable:
            logger.info("The token was refused; a fresh one is asked for")
            response = await self._post(request, await self._token.fresh())
        return response

    async def _post(self, request: Request, token: str | None) -> httpx.Response:
        length = str(len(request.content))
        headers = {**self._headers, "Content-Length": length, "Idempotency-Key": request.key}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        post = httpx.Request(
            "POST",
            self._url + request.path,
            headers=headers,
            stream=_Content(request.content),
            extensions={"timeout": _TIMEOUT},
        )
        response = await self._http.handle_async_request(post)
        try:
            await response.aread()
        finally:
            await response.aclose()
        return response

    def _read(self, request: Request, response: httpx.Response) -> Sequence[Result] | Failure:
        status, headers, body = response.status_code, response.headers, response.content
        if request.single:
            single = read_single(status, headers, body, time.time())
            return single if isinstance(single, Failure) else [single]
        return read_batch(status, headers, body, time.time(), len(request.events))
