"""The hub's application: POST /publish/{channel}, /ws/{channel}?token=, /metrics, /health/ready."""

import json
import math
import os
import re
import time
from datetime import UTC, datetime
from functools import reduce
from operator import or_
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Request, Response, WebSocket
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import Field, TypeAdapter, ValidationError

from benchmarks.peers.fastapi_hub import metrics
from benchmarks.peers.fastapi_hub.auth import claims, is_service
from benchmarks.peers.fastapi_hub.hub import Hub
from benchmarks.peers.fastapi_hub.rate_limit import RateLimiter
from courier.schemas import default_registry

MAX_EVENT_BYTES = 65_536
CHANNEL = re.compile(r"global|(user|strategy|backtest|forge\.job)\.[A-Za-z0-9_-]{1,128}")
SERVICE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

# Courier's models as pydantic's usual union, so that both sides judge the same fields.
_UNION: Any = Annotated[reduce(or_, default_registry().models.values()), Field(discriminator="type")]
EVENT: TypeAdapter[Any] = TypeAdapter(_UNION)

app = FastAPI(openapi_url=None)
hub = Hub()
limiter = RateLimiter(int(os.environ.get("RATE_LIMIT", "100")), 60)


@app.post("/publish/{channel}")
async def publish(channel: str, request: Request) -> Response:
    """Judge an event, send it to all subscribers, and answer with a receipt."""
    started = time.perf_counter()
    service = request.headers.get("x-service-name")
    if service is None or not SERVICE.fullmatch(service):
        raise HTTPException(400, {"error": "Header X-Service-Name is required"})
    if not is_service(request.headers.get("authorization"), service):
        raise HTTPException(401, {"error": "Invalid token"})
    headers = _admit(service)
    body = await request.body()
    if len(body) > MAX_EVENT_BYTES:
        raise HTTPException(413, {"error": "Event too large"}, headers)
    kind = _kind(channel)
    if kind is None:
        raise HTTPException(400, {"error": "Unknown channel"}, headers)
    try:
        event = EVENT.validate_json(body)
    except ValidationError as error:
        metrics.INVALID.labels(service).inc()
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
        detail = {"error": "Invalid event schema", "validation_errors": wrong}
        raise HTTPException(400, detail, headers) from None
    if event.source != service:
        raise HTTPException(400, {"error": "Event source must match X-Service-Name header"}, headers)
    event_id, reached = await hub.broadcast(channel, event.model_dump_json())
    metrics.PUBLISHED.labels(kind, event.type, service).inc()
    metrics.LATENCY.labels(kind).observe(time.perf_counter() - started)
    receipt = {
        "status": "published",
        "channel": channel,
        "event_type": event.type,
        "clients_reached": reached,
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "id": event_id,
    }
    return Response(json.dumps(receipt, separators=(",", ":")), 200, headers, "application/json")


@app.websocket("/ws/{channel}")
async def subscribe(websocket: WebSocket, channel: str, token: str = "") -> None:
    """Serve a subscriber until it leaves."""
    await websocket.accept()
    user = claims(token, "user_id")
    kind = _kind(channel)
    if user is None:
        await websocket.close(1008, "Invalid token")
        return
    if kind is None:
        await websocket.close(1008, "Unknown channel")
        return
    if channel.startswith("user.") and channel != f"user.{user['user_id']}":
        await websocket.close(1008, "Unauthorized access to channel")
        return
    hub.join(channel, websocket)
    metrics.CONNECTIONS.labels(kind).inc()
    try:
        while (message := await websocket.receive())["type"] != "websocket.disconnect":
            if message.get("text") == "ping":
                await websocket.send_text("pong")
    finally:
        hub.leave(channel, websocket)
        metrics.CONNECTIONS.labels(kind).dec()


@app.get("/metrics")
async def metrics_page() -> Response:
    """What Prometheus reads."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


@app.get("/health/ready")
async def ready() -> dict[str, bool]:
    """200 while the hub serves."""
    return {"ready": True}


def _admit(service: str) -> dict[str, str]:
    """The rate headers of every answer from here on; raises 429 over the limit."""
    verdict = limiter.admit(service, time.monotonic())
    headers = {
        "X-RateLimit-Limit": str(limiter.limit),
        "X-RateLimit-Remaining": str(verdict.remaining),
        "X-RateLimit-Reset": str(math.ceil(time.time() + verdict.reset_seconds)),
    }
    if not verdict.admitted:
        metrics.LIMITED.labels(service).inc()
        retry = {"Retry-After": str(max(1, math.ceil(verdict.reset_seconds)))}
        raise HTTPException(429, {"error": "Rate limit exceeded"}, headers | retry)
    return headers


def _kind(channel: str) -> str | None:
    """The part of a channel's name before its id; None when it names no channel."""
    found = CHANNEL.fullmatch(channel)
    return None if found is None else (found[1] or "global")
