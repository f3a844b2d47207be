"""Events of Prophet: what a conversation with the model yields."""

from typing import Literal

from courier.schemas.events.base import Event, JsonObject
from courier.schemas.names import Id


class _ConversationEvent(Event):
    conversation_id: Id


class MessageChunk(_ConversationEvent):
    """A piece of the answer as it is written; the last piece says so."""

    type: Literal["prophet.message_chunk"]
    chunk: str
    is_final: bool


class TsdlReady(_ConversationEvent):
    """The strategy that the conversation arrived at, in its own language."""

    type: Literal["prophet.tsdl_ready"]
    tsdl: str
    metadata: JsonObject


class ProphetError(_ConversationEvent):
    """The conversation failed."""

    type: Literal["prophet.error"]
    error_code: str
    message: str
    details: str = ""
