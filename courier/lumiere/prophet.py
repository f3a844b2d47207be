"""Events of Prophet: what a conversation with the model yields."""

from typing import Annotated, Literal

from pydantic import Field

from courier.schemas.events.base import ErrorCode, ErrorText, Event, JsonObject
from courier.schemas.names import Id


class _ConversationEvent(Event):
    conversation_id: Id
    """The conversation with the model."""


class MessageChunk(_ConversationEvent):
    """A piece of the answer as it is written; the last piece says so."""

    type: Literal["prophet.message_chunk"]
    chunk: Annotated[str, Field(examples=["Buy when"])]
    """The next piece of the answer, to be put behind the ones before."""
    is_final: bool
    """Whether the answer ends with it."""


class TsdlReady(_ConversationEvent):
    """The strategy that the conversation arrived at, in its own language."""

    type: Literal["prophet.tsdl_ready"]
    tsdl: Annotated[str, Field(examples=["buy when rsi(14) < 30"])]
    """The strategy, as source text."""
    metadata: JsonObject
    """What Prophet says about it."""


class ProphetError(_ConversationEvent):
    """The conversation failed."""

    type: Literal["prophet.error"]
    error_code: ErrorCode
    message: ErrorText
    details: str = ""
    """More details, for people."""
