"""Readers: the paths of those who read over HTTP: history, and event streams."""

from typing import Any

from courier.schemas.contract.shapes import Schema
from courier.schemas.registry import Registry
from courier.web.events.request import MOST_CHANNELS
from courier.web.exchange import EVENT_STREAM
from courier.web.history.poll import POLL_BYTES
from courier.web.history.request import LARGEST_LIMIT, LIMIT, LONGEST_WAIT
from courier.web.openapi.answers import TEXT, answer, channel_parameter, example_named, refusals_of
from courier.web.openapi.refusals import history_refusals, stream_refusals

_BY_SUBSCRIBER: list[Schema] = [{"subscriberToken": []}, {"subscriberQuery": []}]

_HISTORY = f"""For users who may join the channel. One answer has at most 1 MiB of events, or one event; \
`more` says that others follow, and `position` is where to go on: the next `since`, or the next `before`.

With `wait` the answer comes when something follows `since`, or empty after so many seconds, or when the node
drains; it then has at most {POLL_BYTES // 1024} KiB of events, or one event."""

_EVENTS = """Server-sent events (WHATWG HTML, 9.2) for `EventSource` and `curl -N`, for users who may join the
channels. Each event has an `id` by which `Last-Event-ID` resumes the stream: its position, or those of all
channels. Messages of Courier's own (`/asyncapi.json`) have `event: courier`: first `courier.joined` of each
channel, last `courier.closed`.

Where the answer would be 503 and `Accept` asks for an event stream, it is 200 with `retry:` and
`courier.closed`: a browser would not come back otherwise."""


def readers(registry: Registry, bundle: Schema) -> Schema:
    """The paths, by path."""
    return {**_history(registry, bundle), **_events(registry)}


def _parameter(name: str, about: str, schema: Schema, example: Any, place: str = "query") -> Schema:
    return {"name": name, "in": place, "description": about, "schema": schema, "example": example}


_SINCE = _parameter(
    "since",
    "A position or an ISO 8601 time with a `T` and a zone; left out: the newest events.",
    TEXT,
    "2026-01-31T12:00:00Z",
)
_BEFORE = _parameter(
    "before", "With `order=desc`: the position to go back from, not included.", TEXT, "k3v9x0qa-42"
)
_LIMIT = _parameter(
    "limit",
    "How many events at most; 0: none, but where the log stands.",
    {"type": "integer", "minimum": 0, "maximum": LARGEST_LIMIT, "default": LIMIT},
    10,
)
_ORDER = _parameter(
    "order",
    "`desc`: the newest first. It goes with `before`, and not with `since` or `wait`.",
    {"type": "string", "enum": ["asc", "desc"], "default": "asc"},
    "asc",
)
_WAIT = _parameter(
    "wait",
    "Seconds to wait while nothing follows `since`. It goes with neither `order=desc` nor `limit=0`.",
    {"type": "number", "minimum": 0, "maximum": LONGEST_WAIT},
    0,
)


def _history(registry: Registry, bundle: Schema) -> Schema:
    stretch = {"stretch": example_named("History", bundle)}
    return {
        "/history/{channel}": {
            "get": {
                "operationId": "history",
                "tags": ["History"],
                "summary": "What a channel's log holds.",
                "description": _HISTORY,
                "security": _BY_SUBSCRIBER,
                "parameters": [channel_parameter(registry.kinds), _SINCE, _LIMIT, _ORDER, _BEFORE, _WAIT],
                "responses": {
                    **answer("History", stretch, "A stretch of the log.", ()),
                    **refusals_of(history_refusals(registry)),
                },
            }
        }
    }


def _events(registry: Registry) -> Schema:
    since = _parameter(
        "since", "A position or an ISO 8601 time with a `T` and a zone; left out: now.", TEXT, "k3v9x0qa-42"
    )
    one = _stream(
        registry,
        "events",
        "One channel, as server-sent events.",
        [channel_parameter(registry.kinds), since, _last_event_id("k3v9x0qa-42")],
    )
    channels = {
        "name": "channel",
        "in": "query",
        "required": True,
        "description": "The channels.",
        "schema": {
            "type": "array",
            "items": {"type": "string", "pattern": registry.kinds.pattern},
            "minItems": 1,
            "maxItems": MOST_CHANNELS,
            "uniqueItems": True,
        },
        "example": ["user.alice", "global"],
    }
    last = _last_event_id("user.alice=k3v9x0qa-42;global=m1c7d2e9-7")
    several = _stream(
        registry, "eventsOfChannels", "Several channels, as server-sent events.", [channels, since, last]
    )
    return {"/events/{channel}": {"get": one}, "/events": {"get": several}}


def _last_event_id(example: str) -> Schema:
    about = "The id of the last event that came; it wins over `since`."
    return _parameter("Last-Event-ID", about, TEXT, example, "header")


def _stream(registry: Registry, name: str, summary: str, parameters: list[Schema]) -> Schema:
    return {
        "operationId": name,
        "tags": ["Events"],
        "summary": summary,
        "description": _EVENTS,
        "security": _BY_SUBSCRIBER,
        "parameters": parameters,
        "responses": {
            "200": {
                "description": "Events as they come.",
                "content": {EVENT_STREAM: {"schema": TEXT, "examples": {"events": {"value": _EXAMPLE}}}},
            },
            **refusals_of(stream_refusals(registry)),
        },
    }


_EXAMPLE = """\
id: k3v9x0qa-41
event: courier
data: {"type":"courier.joined","channel":"user.alice","position":"k3v9x0qa-41","recovered":false,\
"replayed":0,"connection_id":"9f2c4e0d1b7a6358","heartbeat_seconds":30.0}

id: k3v9x0qa-42
data: {"id":"k3v9x0qa-42","channel":"user.alice","type":"system.announcement","source":"shop",\
"timestamp":"2026-01-31T12:00:00.000Z","title":"Hello","message":"It works","severity":"info"}

: heartbeat

"""
