"""Control messages: what is said on a WebSocket beside events, under types that begin with `courier.`."""

from enum import StrEnum
from typing import Annotated, Literal, TypeAlias

from pydantic import MISSING, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json, to_json

from courier.schemas.position import POSITION_PATTERN

ChannelText = Annotated[str, Field(description="The channel's name.", examples=["user.alice"])]
PositionText = Annotated[str, Field(pattern=POSITION_PATTERN, examples=["k3v9x0qa-42"])]


RefNumber = Annotated[int, Field(ge=0, le=2**53 - 1, examples=[7])]
"""A subscriber's own number for a subscription: larger than each before it on its connection."""


class _Control(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True)

    def to_json(self) -> bytes:
        """The message as it goes into a text frame: compact JSON in UTF-8."""
        return to_json(self)


class GapReason(StrEnum):
    """Why some events cannot be replayed."""

    EXPIRED = "expired"
    """The log has dropped them: too old, or too many came since."""
    UNKNOWN_POSITION = "unknown_position"
    """The position is of another life of the log, or ahead of this one: nobody can say what was missed."""
    OVERRUN = "overrun"
    """A subscriber that was connected fell so far behind that its next event has left the log."""


class Gap(_Control):
    """Tells a subscriber that events are missing between what it asked for and what comes next."""

    type: Literal["courier.gap"] = "courier.gap"
    channel: ChannelText
    requested: Annotated[str, Field(examples=["k3v9x0qa-7"])]
    """The position or the time that the subscriber came from, as it gave it."""
    resumed_from: PositionText
    """The position just before the next event delivered: safe to keep as the next `since`."""
    reason: GapReason
    """Why they are missing."""


class Joined(_Control):
    """The first message of a subscription by `courier.v1`: where it begins."""

    type: Literal["courier.joined"] = "courier.joined"
    channel: ChannelText
    position: PositionText
    """The position just before the next event delivered: safe to keep as the next `since`."""
    recovered: bool
    """A `since` was given, and nothing is missing after it."""
    replayed: Annotated[int, Field(ge=0, examples=[7])]
    """How many events the log held for it when it joined: they come first."""
    connection_id: Annotated[str, Field(examples=["9f2c4e0d1b7a6358"])]
    """Names this connection in Courier's log."""
    heartbeat_seconds: Annotated[float, Field(examples=[30.0])]
    """After how much silence Courier sends `ping`, and how long it then waits for an answer."""


class Connected(_Control):
    """The first message on a connection for many channels."""

    type: Literal["courier.connected"] = "courier.connected"
    connection_id: Annotated[str, Field(examples=["9f2c4e0d1b7a6358"])]
    """Names this connection in Courier's log."""
    user_id: Annotated[str, Field(examples=["alice"])]
    heartbeat_seconds: Annotated[float, Field(examples=[30.0])]
    """After how much silence Courier sends `ping`, and how long it then waits for an answer."""


class Subscribed(_Control):
    """A subscription of a connection for many channels has begun: its channel's messages follow."""

    type: Literal["courier.subscribed"] = "courier.subscribed"
    ref: RefNumber
    """That of the `courier.subscribe`."""
    channel: ChannelText
    position: PositionText
    """The position just before the next event delivered: safe to keep as the next `since`."""
    recovered: bool
    """A `since` was given, and nothing is missing after it."""
    replayed: Annotated[int, Field(ge=0, examples=[7])]
    """How many events the log held for it when it began: they come first."""


class Ended(_Control):
    """A subscription of a connection for many channels has ended, and the connection goes on."""

    type: Literal["courier.ended"] = "courier.ended"
    ref: RefNumber
    """That of the `courier.subscribe`; each ends once."""
    channel: ChannelText
    code: Annotated[int, Field(examples=[4008])]
    """As of a close, whose table says whether to come back."""
    reason: Annotated[str, Field(examples=["Too slow"])]
    position: PositionText | MISSING = MISSING
    """The position just behind the last event delivered; left out when it had not begun."""


class Drain(_Control):
    """The last message of a connection by `courier.v1` whose node leaves."""

    type: Literal["courier.drain"] = "courier.drain"
    reconnect_in_ms: Annotated[int, Field(ge=0, examples=[8400])]
    """This subscriber's own slot: how long to wait before it joins again."""


class TokenExpiring(_Control):
    """Asks a subscriber by `courier.v1` for a new token."""

    type: Literal["courier.token_expiring"] = "courier.token_expiring"
    seconds_left: Annotated[int, Field(ge=0, examples=[60])]
    """How long the old one is still good, rounded."""


class Refreshed(_Control):
    """Tells a subscriber by `courier.v1` that its new token is good."""

    type: Literal["courier.refreshed"] = "courier.refreshed"
    expires_at: Annotated[str, Field(examples=["2026-01-31T13:00:00Z"])]
    """When the new token ends: ISO 8601, in UTC, with `Z`."""


ControlMessage: TypeAlias = Gap | Joined | Drain | TokenExpiring | Refreshed
"""What Courier says on a connection for one channel."""

ConnectionMessage: TypeAlias = Connected | Subscribed | Ended
"""What it says beside these, but for `Joined`, on a connection for many channels."""


class StreamClosed(_Control):
    """The last message of an event stream: why it ends. On a WebSocket that is the close."""

    type: Literal["courier.closed"] = "courier.closed"
    code: Annotated[int, Field(examples=[1001])]
    """As of a close, whose table says whether to come back."""
    reason: Annotated[str, Field(examples=["Server shutting down for maintenance"])]


class Refresh(_Control):
    """What a subscriber by `courier.v1` says: here is a new token."""

    model_config = ConfigDict(hide_input_in_errors=True)

    type: Literal["courier.refresh"] = "courier.refresh"
    token: Annotated[str, Field(min_length=1, repr=False, examples=["<a token of the same user_id>"])]
    """Judged as at the join, for the same `user_id`."""

    @classmethod
    def parse(cls, message: str | bytes) -> "Refresh | None":
        """The refresh that a message is, or None when it is something else.

        Raises ValueError, without the token in it, for a refresh that is not as it must be.
        """
        try:
            said = from_json(message)
        except ValueError:
            return None
        if not isinstance(said, dict) or said.get("type") != "courier.refresh":
            return None
        return cls.model_validate(said)


class Unreadable(Exception):
    """A message is none that a subscriber may say. The text is the cause, for operators."""


class _Said(_Control):
    """What a subscriber says on a connection for many channels. A field that is not known is passed over."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class Subscribe(_Said):
    """What a subscriber says on a connection for many channels: let me read this one."""

    type: Literal["courier.subscribe"] = "courier.subscribe"
    ref: RefNumber
    """A number of its own, larger than each before it on this connection."""
    channel: ChannelText
    since: Annotated[str, Field(examples=["k3v9x0qa-42"])] | None = None
    """Where to start: after a position or after a time; left out: with the next event."""


class Unsubscribe(_Said):
    """What a subscriber says on a connection for many channels: no more of this one."""

    type: Literal["courier.unsubscribe"] = "courier.unsubscribe"
    ref: RefNumber
    """That of the `courier.subscribe`."""


SaidMessage: TypeAlias = Refresh | Subscribe | Unsubscribe
"""What a subscriber says."""

_SAID = {model.model_fields["type"].default: model for model in (Subscribe, Unsubscribe)}


def parse_said(message: str | bytes) -> SaidMessage:
    """What a subscriber says on a connection for many channels. Raises Unreadable for anything else, and
    ValueError, without the token in it, for a refresh that is not as it must be."""
    try:
        said = from_json(message)
    except ValueError:
        raise Unreadable("message is no JSON") from None
    kind = said.get("type") if isinstance(said, dict) else None
    if kind == "courier.refresh":
        return Refresh.model_validate(said)
    model = _SAID.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise Unreadable("message has no type that a subscriber may send")
    try:
        return model.model_validate(said)
    except ValidationError as error:
        fault = error.errors(include_input=False, include_url=False)[0]
        raise Unreadable(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from None
