"""How a subscription ended is told and counted as what it was."""

import json
import socket
import struct

import pytest
import trio

from tests.web.servers import TestServer, a_server, announcement
from tests.web.test_hypercorn import masked, open_raw
from tests.web.test_scrape import figures, of


def close(code: int, reason: bytes = b"") -> bytes:
    return masked(8, code.to_bytes(2, "big") + reason)


async def end(server: TestServer, sent: bytes, how: str = "") -> None:
    """Join, send this, and wait until the server has nothing more to say."""
    async with await open_raw(server) as stream:
        if how == "reset":
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how == "half-closed":
            await stream.send_eof()
        else:
            await stream.send_all(sent)
            with trio.fail_after(5):
                while await stream.receive_some():
                    pass


@pytest.mark.parametrize(
    ("sent", "how", "code", "reason", "label"),
    [
        (close(1000), "", 1000, "Peer has left", "left"),
        (close(1001, b"going away"), "", 1001, "Peer has left", "left"),
        (close(4077, b"their own reason"), "", 4077, "Peer has left", "left"),
        (masked(8, b""), "", 1005, "Peer has left", "left"),
        (b"", "reset", 1006, "Peer has gone", "gone"),
        (b"", "half-closed", 1006, "Peer has gone", "gone"),
        (b"\xff\xff\xff\xff", "", 1002, "Peer broke the protocol", "broke_protocol"),
        (masked(1, b"\xff"), "", 1007, "Peer broke the protocol", "broke_protocol"),
        (masked(1, b"x" * 70_000), "", 1009, "Message too big", "message_too_big"),
    ],
)
async def test_a_subscription_is_said_to_have_ended_as_it_did(
    sent: bytes, how: str, code: int, reason: str, label: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_server(log_format="json") as server:
        await end(server, sent, how)
        with trio.fail_after(5):
            while (moved := await figures(server))[
                of("courier_websocket_connections_active", channel="user")
            ]:
                await trio.sleep(0.01)
    assert moved[of("courier_websocket_disconnections_total", channel="user", reason=label)] == 1
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    [left] = [line for line in lines if line["message"] == "Subscriber left"]
    assert (left["code"], left["reason"], left["aborted"]) == (code, reason, False)
    assert "their own reason" not in str(lines)


async def test_a_close_amid_many_events_is_no_broken_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is written just then finds the wire closed, and knows no code."""

    async def publish(server: TestServer) -> None:
        while True:
            await server.publish("user.u1", announcement())

    async with a_server(log_format="json") as server, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(publish, server)
        for _ in range(30):
            await end(server, close(1000))
        nursery.cancel_scope.cancel()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {line["code"] for line in lines if line["message"] == "Subscriber left"} == {1000}
