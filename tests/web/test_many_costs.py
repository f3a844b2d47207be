"""What a subscription costs on a connection for many channels, in what can be counted."""

import gc
import json
import logging
import time
import tracemalloc

import pytest
from trio.testing import wait_all_tasks_blocked

from courier.schemas.claims import SubscriberClaims
from courier.web.auth import Identity
from courier.web.grants import Grants
from courier.web.many import ManySession
from courier.web.site import Site
from tests.actors.hubs import a_hub
from tests.actors.many import a_site
from tests.actors.wires import FakeWire

CHANNELS = [f"user.{number}" for number in range(20)]
GRANTS = Grants(CHANNELS)
CONNECTIONS = 50
BYTES_A_SUBSCRIPTION = 576
"""A kibibyte is promised."""
OBJECTS_A_SUBSCRIPTION = 3
"""Among those that the garbage collector walks: the line, the subscriber, and the name of its channel."""


def connect(site: Site, user: str) -> FakeWire:
    now = int(time.time())
    claims = SubscriberClaims(user_id=user, iat=now, exp=now + 3600)
    wire = FakeWire()
    wire.endpoint = ManySession(site, site.node.hub.connect(user), {}, Identity(claims, GRANTS, {}), wire)
    wire.endpoint.start()
    return wire


async def subscribe(wire: FakeWire) -> None:
    """To all channels; what is answered is counted and forgotten."""
    for ref, channel in enumerate(CHANNELS):
        wire.hear(json.dumps({"type": "courier.subscribe", "ref": ref, "channel": channel}))
    await wait_all_tasks_blocked()
    assert wire.received.count(b"courier.subscribed") == len(CHANNELS)
    wire.received = bytearray()


def held() -> tuple[int, int]:
    """Bytes and objects."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0], len(gc.get_objects())


async def test_a_subscription_of_a_connection_for_many_channels_takes_at_most_a_kibibyte(
    autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "courier")  # what was logged would be held by the test
    async with a_hub() as hub:
        site = a_site(hub)
        await subscribe(connect(site, "first"))  # so that the channels run
        tracemalloc.start()
        try:
            wires = [connect(site, f"u{number}") for number in range(CONNECTIONS)]
            bytes_before, objects_before = held()
            for wire in wires:
                await subscribe(wire)
            bytes_after, objects_after = held()
        finally:
            tracemalloc.stop()
        subscriptions = CONNECTIONS * len(CHANNELS)
        assert (bytes_after - bytes_before) / subscriptions <= BYTES_A_SUBSCRIPTION
        assert (objects_after - objects_before) / subscriptions <= OBJECTS_A_SUBSCRIPTION
        for wire in wires:
            wire.leave()
