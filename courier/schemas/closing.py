"""CloseReason: why Courier closes a WebSocket, and whether the subscriber should come back."""

from enum import Enum, StrEnum


class ComeBack(StrEnum):
    """What a subscriber that was closed should do next, in the words of the protocol's table."""

    YES = "yes"
    WITH_SINCE = "yes, with since"
    AT_THE_SLOT = "yes, at the slot, with since"
    BACKING_OFF = "yes, backing off"
    WITH_NEW_TOKEN = "with a new token"  # noqa: S105
    NO = "no"


class CloseReason(Enum):
    """One row of the close-code table: the code and the reason of the close frame, and what to do next.

    Codes below 1012 are used as RFC 6455 section 7.4.1 defines them; 1013 comes from the IANA registry that
    section 11.7 set up; 4000 to 4999 are private (section 7.4.2). A reason fits a control frame, which
    leaves it 123 bytes (section 5.5). Several reasons share code 1008, so the reason tells them apart.
    """

    UNSUBSCRIBED = 1000, "Unsubscribed", ComeBack.NO
    SHUTTING_DOWN = 1001, "Server shutting down for maintenance", ComeBack.AT_THE_SLOT
    TOKEN_REQUIRED = 1008, "Authentication token required", ComeBack.WITH_NEW_TOKEN
    INVALID_TOKEN = 1008, "Invalid token", ComeBack.WITH_NEW_TOKEN
    TOKEN_EXPIRED = 1008, "Token expired", ComeBack.WITH_NEW_TOKEN
    TOKEN_REVOKED = 1008, "Token revoked", ComeBack.WITH_NEW_TOKEN
    UNAUTHORIZED = 1008, "Unauthorized access to channel", ComeBack.NO
    UNKNOWN_CHANNEL = 1008, "Unknown channel", ComeBack.NO
    SUBPROTOCOL_REQUIRED = 1008, "Subprotocol required", ComeBack.NO
    ORIGIN_NOT_ALLOWED = 1008, "Origin not allowed", ComeBack.NO
    UNREADABLE_SINCE = 1008, "Unreadable since", ComeBack.NO
    MESSAGE_TOO_BIG = 1009, "Message too big", ComeBack.YES
    CHANNEL_FAILED = 1011, "Channel failed", ComeBack.WITH_SINCE
    TRY_AGAIN_LATER = 1013, "Try again later", ComeBack.BACKING_OFF
    TOO_SLOW = 4008, "Too slow", ComeBack.WITH_SINCE
    NO_HEARTBEAT = 4009, "No heartbeat", ComeBack.YES
    ALREADY_SUBSCRIBED = 4010, "Already subscribed", ComeBack.NO
    TOO_MANY_CHANNELS = 4011, "Too many channels", ComeBack.NO
    UNREADABLE_MESSAGE = 4012, "Unreadable message", ComeBack.NO

    def __init__(self, code: int, reason: str, come_back: ComeBack) -> None:
        self.code = code
        self.reason = reason
        self.come_back = come_back

    @property
    def word(self) -> str:
        """Its name as a label."""
        return self.name.lower()


class Departure(StrEnum):
    """How a subscription ended for which Courier had no reason of its own."""

    LEFT = "left"
    """The peer closed the WebSocket, with a code or without one."""
    GONE = "gone"
    """The connection broke without a close: code 1006 stands for that (RFC 6455 section 7.1.5)."""
    BROKE_PROTOCOL = "broke_protocol"
    """The peer sent what is no WebSocket frame or no UTF-8, and was closed with 1002 or 1007 (7.4.1)."""

    @property
    def word(self) -> str:
        """Its name as a label."""
        return self.value
