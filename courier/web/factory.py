"""Factory: the routes, of HTTP and of WebSockets, and nothing else."""

from typing import Any

from quart import Response, has_request_context, request, websocket
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, NotFound

from courier.metrics.exposition import registry_of
from courier.web import health
from courier.web.admin.routes import admin_routes
from courier.web.answer import Answer, answer_to
from courier.web.body import read_body
from courier.web.caller import Caller
from courier.web.cors import cors_headers, preflight_headers
from courier.web.documents import Document, documents_of
from courier.web.errors import HttpError, another_method, nothing_here
from courier.web.paths import BATCH, EVENTS, HISTORY, PUBLISH, SUBSCRIBE
from courier.web.publishing.batch import BATCH_BYTES, publish_batch
from courier.web.publishing.refuse import refusal
from courier.web.publishing.single import publish
from courier.web.request_ids import echo
from courier.web.rules import Rule
from courier.web.scrape import may_scrape, scrape
from courier.web.site import Site
from courier.web.websocket import WebSocketConnection, serve_websocket


def create_app(site: Site) -> QuartTrio:
    """Quart's application for one node."""
    app = QuartTrio("courier", static_folder=None)
    app.url_rule_class = Rule
    app.asgi_websocket_class = WebSocketConnection
    app.url_map.merge_slashes = False  # a path that can be read in two ways is refused, and not mended
    app.config["MAX_CONTENT_LENGTH"] = None  # `read_body` judges it
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.register_blueprint(admin_routes(site))

    @app.post(PUBLISH, defaults={"channel": None})
    @app.post(f"{PUBLISH}/", defaults={"channel": ""})
    @app.post(f"{PUBLISH}/<path:channel>")
    async def publish_event(channel: str | None) -> Response:
        try:
            body = await read_body(site, request, site.settings.max_event_bytes)
        except Exception as error:  # noqa: BLE001 - the table of errors answers for every one of them
            return _response(refusal(site, error, {"Connection": "close"}, _caller()))
        return _response(await publish(site, _caller(), channel, body))

    @app.post(f"{PUBLISH}/{BATCH}")
    async def publish_events() -> Response:
        try:
            body = await read_body(site, request, BATCH_BYTES)
        except Exception as error:  # noqa: BLE001 - as above
            return _response(refusal(site, error, {"Connection": "close"}, _caller()))
        return _response(await publish_batch(site, _caller(), body))

    @app.route(f"{HISTORY}/<path:channel>", methods=["GET", "OPTIONS"])  # GET is served below Quart
    @app.route(f"{EVENTS}/<path:channel>", methods=["OPTIONS"])
    @app.route(EVENTS, methods=["OPTIONS"])
    async def may_read(channel: str = "") -> Response:
        return Response(b"", 204, preflight_headers(site.settings, request.headers.get("Origin")))

    @app.websocket(f"{SUBSCRIBE}/", strict_slashes=False)  # or Quart redirects, and repeats the token
    @app.websocket(f"{SUBSCRIBE}/<path:channel>")
    async def subscribe(channel: str = "") -> None:
        own: Any = websocket  # a proxy of Quart's for the one that this task serves
        await serve_websocket(site, own._get_current_object())

    documents = documents_of(site.registry)

    def show(document: Document) -> Response:
        headers = request.headers
        also = document.headers | cors_headers(site.settings, headers.get("Origin"))
        if not document.asked(headers.get("If-None-Match")):
            return Response(b"", 304, also)
        return Response(document.body, 200, also, content_type=document.content_type)

    @app.get("/openapi.json")
    @app.get("/asyncapi.json")
    @app.get("/schemas")
    @app.get("/docs")
    @app.get("/docs/docs.js")
    @app.get("/docs/docs.css")
    async def show_document() -> Response:
        return show(documents.by_path[request.path])

    @app.get("/schemas/<path:event_type>")
    async def show_schema(event_type: str) -> Response:
        try:
            return show(documents.schema(event_type))
        except HttpError as error:
            return _response(answer_to(error, cors_headers(site.settings, request.headers.get("Origin"))))

    @app.get("/health")
    async def show_health() -> Response:
        return _response(await health.health(site, request.headers.get("Authorization")))

    @app.get("/health/live")
    async def show_live() -> Response:
        return _response(health.live())

    @app.get("/health/ready")
    async def show_ready() -> Response:
        return _response(health.ready(site))

    registry = registry_of(site.node.metrics)

    @app.get("/metrics")
    async def show_metrics() -> Response:
        if not may_scrape(site.settings, request.headers.get("Authorization")):
            raise NotFound
        text, media_type = await scrape(registry, request.headers.get("Accept"))
        return Response(text, 200, {"Cache-Control": "no-store"}, content_type=media_type)

    @app.errorhandler(HTTPException)
    async def explain(error: HTTPException) -> Response:
        """What Quart refuses by itself: no such path, no such method."""
        status = error.code or 500
        answer = {404: nothing_here(), 405: another_method()}.get(status, HttpError(status, error.name))
        headers = {key: value for key, value in error.get_headers() if key == "Allow"}
        if answer.status >= 500:
            site.node.metrics.error("request", error)  # of which Quart has written a line
        return _response(answer_to(answer, headers))

    return app


def _caller() -> Caller:
    client = request.scope.get("client")
    return Caller.of(request.headers.get, client[0] if client else None)


def _response(answer: Answer) -> Response:
    if has_request_context():  # not for a WebSocket at a path where there is none
        answer.headers.update(echo(request.headers.get("X-Request-ID")))
    return Response(answer.body, answer.status, answer.headers, content_type="application/json")
