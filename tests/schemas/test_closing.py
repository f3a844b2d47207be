from courier.schemas.closing import CloseReason, ComeBack

TABLE = {
    (1000, "Unsubscribed", ComeBack.NO),
    (1001, "Server shutting down for maintenance", ComeBack.AT_THE_SLOT),
    (1008, "Authentication token required", ComeBack.WITH_NEW_TOKEN),
    (1008, "Invalid token", ComeBack.WITH_NEW_TOKEN),
    (1008, "Token expired", ComeBack.WITH_NEW_TOKEN),
    (1008, "Token revoked", ComeBack.WITH_NEW_TOKEN),
    (1008, "Unauthorized access to channel", ComeBack.NO),
    (1008, "Unknown channel", ComeBack.NO),
    (1008, "Subprotocol required", ComeBack.NO),
    (1008, "Origin not allowed", ComeBack.NO),
    (1008, "Unreadable since", ComeBack.NO),
    (1009, "Message too big", ComeBack.YES),
    (1011, "Channel failed", ComeBack.WITH_SINCE),
    (1013, "Try again later", ComeBack.BACKING_OFF),
    (4008, "Too slow", ComeBack.WITH_SINCE),
    (4009, "No heartbeat", ComeBack.YES),
    (4010, "Already subscribed", ComeBack.NO),
    (4011, "Too many channels", ComeBack.NO),
    (4012, "Unreadable message", ComeBack.NO),
}


def test_the_close_reasons_are_the_rows_of_the_contract() -> None:
    assert {(each.code, each.reason, each.come_back) for each in CloseReason} == TABLE
    assert len(CloseReason) == len(TABLE)


def test_every_reason_fits_a_control_frame() -> None:
    assert all(len(each.reason.encode()) <= 123 for each in CloseReason)
