"""Which of a host's addresses a subscription connects to."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from courier_client.sockets import Socket, _alternating
from nodes import Node, token
from usual import client, open_sockets

pytestmark = pytest.mark.anyio

V4, V6 = (socket.AF_INET, socket.SOCK_STREAM, 0, ""), (socket.AF_INET6, socket.SOCK_STREAM, 0, "")


@asynccontextmanager
async def swallowing() -> AsyncIterator[int]:
    """A port that lets nobody in and says nothing: its backlog is full, so the kernel drops what comes."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(3):
            waiting.append(one := socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        try:
            yield listener.getsockname()[1]
        finally:
            for one in waiting:
                one.close()


def resolve_to(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    async def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        return [(*V4, ("127.0.0.1", port)) for port in ports]

    monkeypatch.setattr(anyio, "getaddrinfo", getaddrinfo)


async def test_an_address_that_swallows_what_is_sent_holds_no_subscription_up(
    shared: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_sockets()
    async with swallowing() as port:
        resolve_to(monkeypatch, port, port, shared.port)
        began = anyio.current_time()
        async with client(shared.url) as courier, courier.subscribe("global", token=token()):
            assert 0.5 <= anyio.current_time() - began < 2
    assert open_sockets() <= before


async def test_an_address_that_refuses_is_followed_by_the_next_at_once(
    shared: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch, 1, 1, shared.port)
    began = anyio.current_time()
    (await Socket.connect("courier.test", 80, None)).close()
    assert anyio.current_time() - began < 0.2


async def test_when_no_address_answers_the_last_ones_fault_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, 1, 1)
    with pytest.raises(ConnectionRefusedError):
        await Socket.connect("courier.test", 80, None)
    resolve_to(monkeypatch)
    with pytest.raises(OSError, match=r"courier\.test has no address"):
        await Socket.connect("courier.test", 80, None)


async def test_a_race_that_is_cancelled_leaves_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    async with swallowing() as port:
        resolve_to(monkeypatch, port, port, port)
        before = open_sockets()
        with anyio.move_on_after(0.6) as scope:
            await Socket.connect("courier.test", 80, None)
        assert scope.cancelled_caught
        assert open_sockets() == before


def test_families_take_turns() -> None:
    mixed = [(*V6, 1), (*V6, 2), (*V6, 3), (*V4, 4), (*V4, 5)]
    assert [one[-1] for one in _alternating(mixed)] == [1, 4, 2, 5, 3]
    assert _alternating([]) == []
