"""Admin: what operators see, as models.

The bytes are made where the answer is; tests hold them against these.
"""

from typing import Annotated, Any, Literal

from pydantic import MISSING, Field

from courier.schemas.answers import Answer, ChannelText, Count, InstantText, KindText, PositionText


class Stats(Answer):
    """What a node has counted, and how many subscribers each of its channels has."""

    total_connections: Count
    active_channels: Count
    total_messages_sent: Count
    total_messages_received: Count
    uptime_seconds: Annotated[float, Field(ge=0, examples=[3600.5])]
    channels: Annotated[dict[str, Count], Field(examples=[{"user.alice": 2}])]


class DiskStatistics(Answer):
    """What a log on disk is like now."""

    bytes: Count
    """Of the file that hold something."""
    limit_bytes: Count
    commit_ms: Annotated[float, Field(ge=0, examples=[1.4])]
    """How long the last transaction took."""


class NodeFacts(Answer):
    """What a node is like now."""

    version: Annotated[str, Field(examples=["0.1.0"])]
    environment: Literal["development", "production"]
    phase: Literal["ready", "leaving", "draining"]
    uptime_seconds: Annotated[float, Field(ge=0, examples=[3600.5])]
    backplane: Literal["memory", "disk", "redis"]
    backplane_up: bool
    connections: Count
    max_connections: Count
    channels: Count
    log_bytes: Count
    history_bytes: Count
    """What the logs of all channels may take together in memory."""
    disk: DiskStatistics | None
    """Of the log on disk, where there is one."""
    refusals: Count
    """How many requests were refused since the node started."""
    signs_in: bool
    """Whether there is an admin token to sign in with."""


class NodeTotals(Answer):
    """All that was counted since the node started."""

    published: Count
    delivered: Count
    replayed: Count
    gaps: Count
    evictions: Count
    refused_publishes: Count
    refused_joins: Count
    errors: Count
    rate_limited: Count


class Samples(Answer):
    """The node once a second, for fifteen minutes; what is counted is so many a second."""

    columns: Annotated[list[str], Field(examples=[["at", "connections", "published", "publish_p99_ms"]])]
    """What each figure of a row is. `at` is in Unix milliseconds."""
    rows: Annotated[list[list[float | None]], Field(examples=[[[1_769_860_800_000, 2, 10.0, None]]])]
    """Oldest first."""


class Overview(Answer):
    """The node as a whole."""

    node: NodeFacts
    totals: NodeTotals
    samples: Samples


class ChannelRow(Answer):
    """One channel, as this node has it."""

    channel: ChannelText
    kind: KindText
    connections: Count
    position: PositionText
    """Its last event's."""
    events: Count
    """How many its log holds."""
    bytes: Count
    oldest_at: InstantText | None
    newest_at: InstantText | None
    lag: Count
    """How many events the last of its subscribers is behind."""
    waiting: Count
    """Messages in its inbox."""


StateText = Annotated[Literal["joining", "current", "behind", "closing"], Field(examples=["current"])]


class SubscriptionRow(Answer):
    """One subscription of a connection."""

    channel: ChannelText
    state: StateText
    position: PositionText | None
    lag: Count
    """How many events it is behind."""


class ConnectionRow(Answer):
    """One connection."""

    id: Annotated[str, Field(examples=["c-17"])]
    user_id: Annotated[str, Field(examples=["alice"])]
    channel: ChannelText | None
    """Null for a connection for many channels."""
    kind: KindText
    """Of the channel; `many` for a connection for many channels."""
    state: StateText
    """Of many subscriptions the state that is furthest from `current`."""
    position: PositionText | None
    """Null for a connection for many channels."""
    lag: Count
    """How many events it is behind, all its subscriptions together."""
    subscriptions: list[SubscriptionRow]
    held_bytes: Count
    unsent_bytes: Count
    connected_at: InstantText
    heard_at: InstantText
    pinged_at: InstantText | None
    subprotocol: Annotated[str, Field(examples=["courier.bearer"])] | None
    address: Annotated[str, Field(examples=["192.0.2.1"])] | None


class RefusalRow(Answer):
    """One request that was refused, and why. What was not known yet when it was refused is null."""

    number: Annotated[int, Field(ge=1, examples=[5])]
    """Counts up from 1 since the node started."""
    at: InstantText
    action: Annotated[
        Literal["publish", "batch", "join", "refresh", "history", "events"], Field(examples=["join"])
    ]
    status: Annotated[int, Field(examples=[1013])]
    """The answer's HTTP status, or the code of the close."""
    error: Annotated[str, Field(examples=["Try again later"])]
    """The answer's sentence, or the reason of the close."""
    cause: Annotated[str, Field(examples=["user has 100 connections, the most that one may have"])] | None
    """The claim that is missing, the limit that was reached, the field that was wrong."""
    channel: ChannelText | None
    event_type: Annotated[str, Field(examples=["system.announcement"])] | None
    user_id: Annotated[str, Field(examples=["alice"])] | None
    source: Annotated[str, Field(examples=["shop"])] | None
    """The service, as it calls itself."""
    address: Annotated[str, Field(examples=["192.0.2.1"])] | None
    """Where the peer's packets came from, which may be a proxy."""
    request_id: Annotated[str, Field(examples=["r-81"])] | None


class Page(Answer):
    """Which of the rows these are."""

    total: Annotated[int, Field(ge=0, examples=[1])]
    """How many there are on all pages."""
    limit: Annotated[int, Field(ge=1, examples=[50])]
    offset: Count


class ChannelPage(Page):
    """One page of a node's channels."""

    channels: list[ChannelRow]


class ConnectionPage(Page):
    """One page of a node's connections."""

    connections: list[ConnectionRow]


class RefusalPage(Page):
    """One page of the last requests that were refused."""

    refusals: list[RefusalRow]


class Arrival(Answer):
    """An event, and when it arrived."""

    arrived_at: InstantText
    event: Annotated[dict[str, Any], Field(examples=[{"id": "k3v9x0qa-42", "type": "system.announcement"}])]
    """As subscribers got it."""


class OpenedChannel(ConnectionPage):
    """One channel, a page of its subscribers, and its latest events."""

    channel: ChannelRow
    position: PositionText
    """The place just after the last of `events`: go on from there."""
    skipped: bool
    """Whether there was no room for all that was asked for, or some of it is gone."""
    events: list[Arrival]
    """Oldest first."""


class Closing(Answer):
    """A subscription that is being ended."""

    status: Literal["closing"]
    id: Annotated[str, Field(examples=["c-17"])]
    code: Annotated[int, Field(examples=[1013])]
    """Of the close frame, as its `reason`."""
    reason: Annotated[str, Field(examples=["Try again later"])]


class RevocationRow(Answer):
    """A revocation; it names one of `user_id`, `token_id` and `service`."""

    id: Annotated[str, Field(examples=["9f2c4e0d1b7a6358"])]
    user_id: Annotated[str | MISSING, Field(examples=["alice"])] = MISSING
    token_id: Annotated[str | MISSING, Field(examples=["5f7c8ec7"])] = MISSING
    """The claim `jti` of the one token that it is about."""
    service: Annotated[str | MISSING, Field(examples=["shop"])] = MISSING
    issued_before: Annotated[int | None, Field(examples=[1_767_225_600])]
    """Tokens made until then, in Unix seconds, count no more; null for a `token_id`."""
    expires_at: InstantText
    """Until when it is kept."""


class Revoked(RevocationRow):
    """A revocation that was just made; it counts on all nodes that can be reached."""

    status: Literal["revoked"]


class RevocationPage(Answer):
    """One page of the revocations that count."""

    revocations: list[RevocationRow]
    total: Count
    limit: Count
    offset: Count


class TakenBack(Answer):
    """A revocation that counts no more."""

    status: Literal["taken_back"]
    id: Annotated[str, Field(examples=["9f2c4e0d1b7a6358"])]


class Disconnecting(Answer):
    """All connections of a user are being closed, on all nodes."""

    status: Literal["disconnecting"]
    connections: Count
    """How many of them this node has."""


class EventSchemas(Answer):
    """The JSON Schema of each event that may be published; an empty one of a model that has none."""

    types: Annotated[dict[str, dict[str, Any]], Field(examples=[{"system.announcement": {"type": "object"}}])]
