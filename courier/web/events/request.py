"""Request: which channels an event stream is asked for, and where each of them is to start."""

from collections.abc import Sequence
from urllib.parse import parse_qsl

from courier.schemas.position import Position, Since, parse_since
from courier.web.errors import HttpError
from courier.web.exchange import Asked
from courier.web.paths import EVENTS
from courier.web.reader import read_since

MOST_CHANNELS = 16
"""Of one stream."""

_FORM = "<channel>=<position>, joined by semicolons, as the last id of the stream was"


def channels_of(asked: Asked) -> list[str]:
    """The channels, unjudged, as the path names one or the query several; raises 400 for none, too many, and
    one that is named twice."""
    named = [value for name, value in parse_qsl(asked.query, keep_blank_values=True) if name == "channel"]
    if asked.path != EVENTS:
        if named:
            raise HttpError(400, "Channel is named twice: by the path, and by ?channel=")
        return [asked.path.removeprefix(f"{EVENTS}/")]
    if not 1 <= len(named) <= MOST_CHANNELS:
        raise HttpError(
            400,
            f"Expected 1 to {MOST_CHANNELS} channels, as {EVENTS}?channel=…&channel=…; {len(named)} came",
        )
    if len(set(named)) < len(named):
        raise HttpError(400, "A channel is named twice in the query")
    return named


def starts_of(asked: Asked, channels: Sequence[str]) -> dict[str, Since]:
    """Where the channels are to start, as far as that is said: the others start now.

    `Last-Event-ID` wins over `since`: a browser that comes back repeats the URL.
    """
    query = dict(parse_qsl(asked.query, keep_blank_values=True))
    if "since" in query and len(channels) > 1:
        raise HttpError(400, "Query parameter since goes with one channel; use Last-Event-ID with several")
    if asked.last_event_id:
        return _starts_after(asked.last_event_id, channels)
    since = read_since(query.get("since"))
    return {} if since is None else {channels[0]: since}


def _starts_after(event_id: str, channels: Sequence[str]) -> dict[str, Since]:
    try:
        if len(channels) == 1 and "=" not in event_id:
            return {channels[0]: parse_since(event_id)}
        parts = [part.partition("=") for part in event_id.split(";")]
        positions = {channel: Position.parse(position) for channel, _, position in parts}
    except ValueError as error:
        found = str(error) if len(channels) == 1 else f"expected {_FORM}"
        raise HttpError(400, f"Unreadable Last-Event-ID: {found}") from None
    return {channel: positions[channel] for channel in channels if channel in positions}
