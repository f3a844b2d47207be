"""Routes: the admin's part of HTTP, and nothing else."""

from collections.abc import Awaitable, Callable
from functools import wraps
from urllib.parse import parse_qs

from quart import Blueprint, Response, request

from courier.logs import get_logger
from courier.web.admin import revocations
from courier.web.admin.answers import HEADERS, answer
from courier.web.admin.channels import list_channels, show_channel
from courier.web.admin.connections import close_connection, list_connections
from courier.web.admin.cookie import COOKIE, cookie_header
from courier.web.admin.gate import Gate, Visit, nothing_here
from courier.web.admin.overview import overview, stats
from courier.web.admin.pages import FILE_HEADERS, PAGE_HEADERS, STATIC, Pages
from courier.web.admin.refusals import list_refusals
from courier.web.admin.schemas import event_schemas
from courier.web.answer import Answer, answer_to
from courier.web.body import read_body, read_bytes
from courier.web.caller import Caller
from courier.web.errors import HttpError
from courier.web.publishing.single import publish
from courier.web.site import Site

SOURCE = "courier-admin"
"""The service that publishes a test event, when the request does not say."""

FORM_BYTES = 8192

logger = get_logger(__name__)


def admin_routes(site: Site) -> Blueprint:
    """Everything under `/admin`, and `/stats`."""
    routes = Blueprint("admin", __name__)
    gate, pages = Gate(site.settings), Pages()
    schemas = event_schemas(site.registry)

    def guarded(handler: Callable[..., Awaitable[Answer]]) -> Callable[..., Awaitable[Response]]:
        """Only for operators; the table of errors answers what is wrong."""

        @wraps(handler)
        async def guarded_handler(**arguments: str) -> Response:
            try:
                gate.admit(_visit())
                return _response(await handler(**arguments))
            except Exception as error:
                refused = answer_to(error, dict(HEADERS))
                if refused.status == 500:
                    site.node.metrics.error("admin", error)
                    logger.error("Admin request failed", exc_info=error)
                return _response(refused)

        return guarded_handler

    @routes.get("/stats")
    @guarded
    async def show_stats() -> Answer:
        return await stats(site)

    @routes.get("/admin/overview")
    @guarded
    async def show_overview() -> Answer:
        return answer(overview(site, request.args))

    @routes.get("/admin/channels")
    @guarded
    async def show_channels() -> Answer:
        return answer(await list_channels(site, request.args))

    @routes.get("/admin/channels/<channel>")
    @guarded
    async def show_one_channel(channel: str) -> Answer:
        return await show_channel(site, channel, request.args)

    @routes.get("/admin/connections")
    @guarded
    async def show_connections() -> Answer:
        return answer(await list_connections(site, request.args))

    @routes.post("/admin/connections/<id>/close")
    @guarded
    async def close(id: str) -> Answer:
        return answer(close_connection(site, id))

    @routes.get("/admin/refusals")
    @guarded
    async def show_refusals() -> Answer:
        return answer(await list_refusals(site, request.args))

    @routes.get("/admin/revocations")
    @guarded
    async def show_revocations() -> Answer:
        return answer(await revocations.list_revocations(site, request.args))

    @routes.post("/admin/revocations")
    @guarded
    async def revoke() -> Answer:
        return answer(await revocations.revoke(site, await read_bytes(request, revocations.BODY_BYTES)))

    @routes.delete("/admin/revocations/<id>")
    @guarded
    async def take_back(id: str) -> Answer:
        return answer(await revocations.take_back(site, id))

    @routes.post("/admin/disconnect")
    @guarded
    async def disconnect() -> Answer:
        return answer(await revocations.disconnect(site, await read_bytes(request, revocations.BODY_BYTES)))

    @routes.get("/admin/schemas")
    @guarded
    async def show_schemas() -> Answer:
        return answer({"types": schemas})

    @routes.post("/admin/publish")
    @guarded
    async def publish_test_event() -> Answer:
        body = await read_body(site, request, site.settings.max_event_bytes)
        service = request.headers.get("X-Service-Name", SOURCE)
        content_type = request.headers.get("Content-Type")
        caller = Caller(service, None, content_type, trusted=True, address=_visit().address)
        published = await publish(site, caller, None, body)
        return published._replace(headers=published.headers | HEADERS)

    # The page

    @routes.get("/admin")
    @routes.get("/admin/")
    async def show_page() -> Response:
        visit = _visit()
        try:
            gate.exists(visit)
        except HttpError as error:
            return _response(answer_to(error, dict(HEADERS)))
        try:
            gate.admit(visit)
        except HttpError:
            return _page(pages.sign_in)
        return _page(pages.dashboard)

    @routes.get(f"{STATIC}<version>/<name>")
    async def show_file(version: str, name: str) -> Response:
        try:
            gate.exists(_visit())
            file = pages.file(version, name)
            if file is None:
                raise nothing_here()
        except HttpError as error:
            return _response(answer_to(error, dict(HEADERS)))
        return Response(file.body, 200, FILE_HEADERS, content_type=file.content_type)

    @routes.post("/admin/sign-in")
    async def sign_in() -> Response:
        visit = _visit()
        try:
            form = parse_qs((await read_bytes(request, FORM_BYTES)).decode("utf-8", "replace"))
            session = gate.sign_in(visit, form.get("token", [""])[0])
        except HttpError as error:
            return _response(answer_to(error, dict(HEADERS)))
        return _response(_with_session(session, visit))

    @routes.post("/admin/sign-out")
    @guarded
    async def sign_out() -> Answer:
        return _with_session("", _visit())

    return routes


def _visit() -> Visit:
    scope_client = request.scope.get("client")
    return Visit(
        request.method,
        scope_client[0] if scope_client else None,
        {name.lower(): value for name, value in request.headers.items()},
        request.cookies.get(COOKIE),
    )


def _page(html: bytes) -> Response:
    return Response(html, 200, PAGE_HEADERS, content_type="text/html; charset=utf-8")


def _with_session(session: str, visit: Visit) -> Answer:
    """The answer that gives the browser a session, or takes the one that it has."""
    answered = answer({"status": "signed in" if session else "signed out"})
    cookie = cookie_header(session, secure=not visit.is_for_loopback)
    return answered._replace(headers={**HEADERS, "Set-Cookie": cookie})


def _response(answered: Answer) -> Response:
    return Response(answered.body, answered.status, answered.headers, content_type="application/json")
