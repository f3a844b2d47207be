"""Answers: what HTTP says, as models.

The bytes are made where the answer is; tests hold them against these.
"""

from typing import Annotated, Any, Literal

from pydantic import MISSING, BaseModel, ConfigDict, Field

from courier.schemas.position import POSITION_PATTERN

CHANNEL, KIND = "courier-channel", "courier-kind"
"""Formats that stand for what a node's kinds of channels say; `courier.schemas.contract` puts that in."""

ChannelText = Annotated[str, Field(json_schema_extra={"format": CHANNEL}, examples=["user.alice"])]
KindText = Annotated[str, Field(json_schema_extra={"format": KIND}, examples=["user"])]
PositionText = Annotated[str, Field(pattern=POSITION_PATTERN, examples=["k3v9x0qa-42"])]
InstantText = Annotated[
    str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-01-31T12:00:00.000Z"])
]
Count = Annotated[int, Field(ge=0)]


class Answer(BaseModel):
    """What all of them are."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Receipt(Answer):
    """Proof that an event is in its channel's log."""

    status: Literal["published"]
    channel: ChannelText
    event_type: Annotated[str, Field(examples=["system.announcement"])]
    clients_reached: Annotated[int, Field(ge=0, examples=[2])]
    """How many subscribers the channel had at that moment, on this node."""
    timestamp: InstantText
    """When the event arrived, by Courier's clock."""
    id: PositionText
    """The event's position in the channel's log."""
    deduplicated: Literal[True] | MISSING = MISSING
    """Only in the answer to a repeat: the receipt is the first publish's."""


class Failure(BaseModel):
    """Why one event was refused: the status and the facts that it would have had alone."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    status: Literal["failed"]
    code: Annotated[int, Field(ge=400, le=599, examples=[400])]
    """The HTTP status that it would have had alone."""
    error: Annotated[str, Field(examples=["Invalid event schema"])]
    """A sentence."""


class LineFailure(Failure):
    """Why one line of a stream was refused."""

    line: Annotated[int, Field(ge=1, examples=[3])]
    """Its number, counted from 1, blank lines included."""


class BatchReceipt(Answer):
    """What became of a batch: the good ones are published though others fail."""

    status: Literal["published"]
    published: Count
    failed: Count
    results: list[Receipt | Failure]
    """One an event, in order."""


class StreamReceipt(Answer):
    """What became of a stream of lines."""

    status: Literal["published"]
    published: Annotated[int, Field(ge=0, examples=[2])]
    failed: Annotated[int, Field(ge=0, examples=[1])]
    last_line: Annotated[int, Field(ge=0, examples=[3])]
    """The last line that was judged: after a drain, send what follows it to another node."""
    failures: list[LineFailure]
    """The first 1,000; all are counted."""


class History(Answer):
    """A stretch of a channel's log."""

    channel: ChannelText
    position: PositionText
    """The place just after the last of `events`: go on from there."""
    events: list[dict[str, Any]]
    """Oldest first, as subscribers get them."""
    complete: bool
    """`false` when events between `since` and the first one given are gone."""
    more: bool
    """Whether some follow."""


class Live(Answer):
    """The process answers."""

    status: Literal["alive"]


class Ready(Answer):
    """Whether the node may be sent traffic."""

    status: Literal["ready", "not_ready"]
    ready: bool
    reason: Annotated[str, Field(examples=["Node is draining"])] | MISSING = MISSING
    """Why not."""


class EventLoopPart(Answer):
    """The event loop, as a task finds it that does nothing but sleep."""

    status: Literal["healthy", "degraded"]
    lag_ms: Annotated[float, Field(ge=0, examples=[0.4])]
    """The latest that the task was woken in the last seconds, in milliseconds."""


class BackplanePart(Answer):
    """What joins the nodes."""

    status: Literal["healthy", "down"]
    kind: Literal["memory", "redis"]
    reason: Annotated[str, Field(examples=["Redis unreachable"])] | MISSING = MISSING
    """Why it is down; absent while it is healthy."""


class SupervisorPart(Answer):
    """What starts, retires and restarts channels."""

    status: Literal["healthy", "degraded"]
    sweeps: bool
    """Whether it still looks after the channels."""
    crashes: Count
    """Channels that crashed lately, and went on."""
    given_up: Count
    """Of these, the ones that did not."""


class PublishingPart(Answer):
    """What services have met."""

    status: Literal["healthy", "degraded"]
    failed: Count
    """Publishes that were answered 500 in the last minute; beyond 1,000 the oldest are not counted."""


class VerifierKeysPart(Answer):
    """The public keys of a JWKS URL."""

    status: Literal["healthy", "degraded"]
    keys: Count
    age_seconds: Annotated[float, Field(ge=0, examples=[120.0])] | None
    """How long ago they were had; null when they never were."""


class Parts(Answer):
    """What a node is made of."""

    event_loop: EventLoopPart
    backplane: BackplanePart
    supervisor: SupervisorPart
    publishing: PublishingPart
    verifier_keys: VerifierKeysPart | MISSING = MISSING
    """Only where `COURIER_JWKS_URL` is set."""


class Figures(Answer):
    """What a node has counted."""

    active_connections: Count
    active_channels: Count
    total_messages_sent: Count
    total_messages_received: Count


class Health(Answer):
    """How a node is. In production, without a service's token, its `status` only."""

    status: Literal["healthy", "degraded", "draining"]
    version: Annotated[str, Field(examples=["0.1.0"])] | MISSING = MISSING
    environment: Literal["development", "production"] | MISSING = MISSING
    uptime_seconds: Annotated[float, Field(ge=0, examples=[3600.5])] | MISSING = MISSING
    components: Parts | MISSING = MISSING
    metrics: Figures | MISSING = MISSING
    timestamp: InstantText | MISSING = MISSING


class FieldError(Answer):
    """What is wrong with one field of an event."""

    loc: list[str | int]
    """Where it is, seen from the event."""
    msg: str
    """A sentence."""
    type: str
    """Pydantic's name for this kind of error."""


class Detail(BaseModel):
    """Why a request was refused. Beside the sentence there may be facts, as the example shows."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    error: str
    """A sentence, for people."""
    cause: Annotated[str, Field(examples=["claim exp is missing"])] | MISSING = MISSING
    """Which claim of a well-signed token is missing or wrong, or since when the token has ended."""
    validation_errors: list[FieldError] | MISSING = MISSING
    """What is wrong with an event, field by field; the first 50."""
    limit_bytes: int | MISSING = MISSING
    """How large the body may be."""
    seconds: float | MISSING = MISSING
    """How long the body may take to come."""
    content_type: str | MISSING | None = MISSING
    """What the body was said to be."""
    limit: int | MISSING = MISSING
    """How many events the service may publish in a window."""
    window_seconds: int | MISSING = MISSING
    remaining: int | MISSING = MISSING
    """How many it still may."""
    reset_at: InstantText | MISSING = MISSING
    """When this request would be admitted."""
    near: list[str] | MISSING = MISSING
    """Names like the one that there is not."""


class Refusal(Answer):
    """The body of every answer that is no success."""

    detail: Detail
