"""Application: the ASGI callable that a server runs; it opens the node when the server starts it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import sniffio
import trio
from hypercorn.config import Config
from quart_trio import QuartTrio

from courier import logs
from courier.backplane.errors import DataUnusable
from courier.error_reports import ReportsUnavailable, check_reports, open_error_reports
from courier.node import Node, check_data, open_node, unusable_in
from courier.schemas.errors import RegistryError
from courier.schemas.registry import Registry, registry_for
from courier.serving.peer import Exchange, Opening
from courier.serving.requests import Head
from courier.serving.service import Route, Service
from courier.settings import LUMIERE, Settings, SettingsError, check_bind, load_settings
from courier.web.access import Rules
from courier.web.answer import answer_to
from courier.web.asgi import send_answer
from courier.web.ask import check_asked, open_rules
from courier.web.auth import Verifier
from courier.web.errors import HttpError
from courier.web.events.serve import is_events, serve_events
from courier.web.factory import create_app
from courier.web.head import ONCE_HEADERS, check_path, check_query
from courier.web.history.poll import answer_polls
from courier.web.history.serve import is_history, serve_history
from courier.web.join import join_at_desk
from courier.web.paths import SUBSCRIBE
from courier.web.publishing.route import route_of
from courier.web.publishing.stream import is_stream, serve_stream
from courier.web.rate_ledger import keep_rates
from courier.web.rate_limit import RateLimiter, SharedRateLimiter
from courier.web.reading import read_at_desk
from courier.web.site import Site

MESSAGE_BYTES = 64 * 1024
"""The longest message that a subscriber may send."""

HTTP_CONNECTIONS = 4096
"""Connections that a node may have beside those of its subscribers."""

WRONG_SERVER = "Courier runs on Trio: start it with `courier serve` or `hypercorn -k trio courier.web:app`"

logger = logs.get_logger(__name__)


class Application:
    """ASGI 3. The node lives as long as the server's lifespan; without one nothing is served."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings
        self._quart: QuartTrio | None = None
        self._site: Site | None = None
        self._failed = trio.Event()
        self._why = "the node failed, see the log"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        if self._site is None or self._quart is None:
            raise RuntimeError(WRONG_SERVER)
        try:
            if (fault := _fault(scope)) is not None:
                kind = "http" if scope["type"] == "http" else "websocket.http"
                await send_answer(send, answer_to(fault, {"Connection": "close"}), kind=kind)
            elif is_history(scope):
                await serve_history(self._site, scope, receive, send)
            elif is_events(scope):
                await serve_events(self._site, scope, receive, send)
            elif is_stream(scope):
                await serve_stream(self._site, scope, receive, send)
            else:
                await self._quart(scope, receive, send)
        except Exception as error:
            self._site.node.metrics.error("request", error)  # of which Hypercorn writes a line
            raise

    # What our server asks of it: `courier.serving.service.Application`

    def prepare(self, config: Config) -> Service:
        """Refuse, with one sentence and exit code 1, what would not be safe or would not work."""
        try:
            settings = self._load()
            check_bind(settings, [*config.bind, *config.insecure_bind])
            check_asked(registry_for(settings.event_modules).kinds, settings)
            check_reports(settings.sentry_dsn)
            check_data(settings)
        except (SettingsError, RegistryError, ReportsUnavailable, DataUnusable) as error:
            raise SystemExit(f"Courier does not start: {error}") from None
        if config.quic_bind:
            raise SystemExit("Courier does not start: it does not speak QUIC; leave out --quic-bind")
        if config.workers > 1 and settings.redis_url is None:
            raise SystemExit(
                "Courier does not start: workers need a shared log, and a node keeps its own;"
                f" set COURIER_REDIS_URL, or start it with one worker, not {config.workers}"
            )
        logs.configure_logging(settings.log_level, settings.log_format)
        modules = settings.event_modules
        if modules and LUMIERE not in modules:
            logger.warning("Event modules replace their default", to_keep=",".join((LUMIERE, *modules)))
        return Service(
            stall_seconds=settings.stall_seconds,
            max_connections=settings.max_connections + HTTP_CONNECTIONS,
            max_message_bytes=MESSAGE_BYTES,
            once_headers=ONCE_HEADERS,
            fault=self._fault,
            desk=settings.desk == "on",
            route=self._route,
            join=self._join,
            exchange=self._exchange,
            closed=self._closed,
        )

    def reload(self) -> None:
        """Take the log level that the environment and `.env` say now; of settings that are wrong, nothing."""
        try:
            settings = load_settings()
        except SettingsError as error:
            logger.error("Settings not reloaded", error=str(error))
            return
        logs.set_level(settings.log_level)
        logger.info("Settings reloaded", log_level=settings.log_level)

    def status(self) -> str:
        """What the node does, and for how many."""
        node = self._site.node if self._site is not None else None
        if node is None:
            return "Starting"
        return f"{node.phase.capitalize()}: {node.hub.connections} subscribers"

    async def leave(self) -> None:
        """Return when the balancer has had the time to look away."""
        if self._site is not None and not self._failed.is_set():
            await self._site.node.leave()

    async def drain(self) -> None:
        """Return when every subscriber has got what it is owed, and a goodbye."""
        if self._site is not None and not self._failed.is_set():
            await self._site.node.drain()

    async def failed(self) -> None:
        """Return when the node has failed, so that serving on would be a lie."""
        await self._failed.wait()

    def raise_if_failed(self) -> None:
        """After serving: make the process's exit code tell of a node that failed."""
        if self._failed.is_set():
            raise SystemExit(f"Courier stopped: {self._why}")

    def _route(self, head: Head, address: str | None) -> Route | None:
        assert self._site is not None  # nothing is accepted before
        return route_of(self._site, head, address)

    def _join(self, head: Head, opening: Opening) -> bool:
        assert self._site is not None
        return join_at_desk(self._site, head, opening)

    def _exchange(self, head: Head, exchange: Exchange) -> bool:
        assert self._site is not None
        return read_at_desk(self._site, head, exchange)

    def _closed(self) -> bool:
        return self._site is not None and self._site.node.hub.draining

    def _fault(self, error: BaseException) -> None:
        if self._site is not None:
            self._site.node.metrics.error("connection", error)

    def _load(self) -> Settings:
        if self._settings is None:
            self._settings = load_settings()
        return self._settings

    async def _lifespan(self, receive: Any, send: Any) -> None:
        await receive()
        started = False
        try:
            async with self._open():
                await send({"type": "lifespan.startup.complete"})
                started = True
                await receive()
        except Exception as error:
            if not started:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            self._failed.set()
            raise
        await send({"type": "lifespan.shutdown.complete"})

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[None]:
        """The node and its routes, for the length of a block; how it fails is logged."""
        if sniffio.current_async_library() != "trio":
            raise RuntimeError(WRONG_SERVER)
        settings = self._load()
        registry = registry_for(settings.event_modules)
        async with open_error_reports(settings.sentry_dsn, settings.env, registry.kinds):
            opened = False
            try:
                async with (
                    open_node(settings, registry.types, registry.kinds) as node,
                    open_rules(registry.kinds, settings, node.metrics.error) as rules,
                ):
                    self._site = _site(node, registry, rules)
                    self._quart = create_app(self._site)
                    node.hub.supervisor.spawn(self._site.walker.run)
                    node.hub.supervisor.spawn(partial(answer_polls, self._site))
                    limiter = self._site.limiter
                    if node.ledger is not None and isinstance(limiter, RateLimiter):
                        node.hub.supervisor.spawn(partial(keep_rates, limiter, node.ledger, node.hub.closing))
                    node.hub.supervisor.spawn(logs.tell_of_floods)
                    opened = True
                    yield
            except Exception as error:
                unusable = unusable_in(error)
                if unusable is not None:
                    self._why = str(unusable)
                    logger.critical("Data folder cannot be used", reason=self._why)
                elif opened:
                    logger.critical("Node failed", exc_info=error)
                raise
            finally:
                logs.tell_what_was_left_out()


def _is_join(scope: Any) -> bool:
    return scope["type"] == "websocket" and bytes(scope["raw_path"]).startswith(f"{SUBSCRIBE}/".encode())


def _fault(scope: Any) -> HttpError | None:
    """Why a request is refused for its path or its query. Those of a join are left to `join`: a browser shows
    its page a close code and nothing else."""
    try:
        if not _is_join(scope):
            check_path(scope["raw_path"])
            check_query(scope["query_string"])
    except HttpError as error:
        return error
    return None


def _site(node: Node, registry: Registry, rules: Rules) -> Site:
    settings = node.settings
    verifier = Verifier(settings, registry.claims)
    if verifier.key_set is not None:
        node.hub.supervisor.spawn(verifier.key_set.look)
    return Site(node, registry, verifier, _limiter(settings, node), rules)


def _limiter(settings: Settings, node: Node) -> RateLimiter | SharedRateLimiter:
    """Windows of this node, or of all nodes together when they share their logs."""
    limit, seconds, limits = settings.rate_limit, settings.rate_window_seconds, settings.rate_limits
    if node.windows is None:
        return RateLimiter(limit, seconds, limits, settings.max_services)
    return SharedRateLimiter(node.windows, limit, seconds, limits)
