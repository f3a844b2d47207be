"""The client for scripts."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from courier_client import CourierSyncClient, Event, InvalidEvent, SubscriptionRefused
from nodes import Node, service_token, token
from usual import told


def open_client(node: Node) -> CourierSyncClient:
    return CourierSyncClient(url=node.url, service_name="tests", token=service_token())


def test_a_script_publishes_and_subscribes(shared: Node) -> None:
    channel = "backtest.script"
    with open_client(shared) as courier:
        with courier.subscribe(channel, token=token()) as events:
            first = courier.publish(*told("first", channel))
            rest = courier.publish_many(told(str(number), channel) for number in range(10))
            got = [next(events) for _ in range(11)]
            assert events.position == rest[-1].position
        assert list(events) == []
        assert [event.id for event in got if isinstance(event, Event)] == [
            receipt.position for receipt in [first, *rest]
        ]
        for event in courier.subscribe(channel, since=first.position, token=token()):
            assert event == got[1]
            break


def test_threads_may_share_it(shared: Node) -> None:
    with open_client(shared) as courier, ThreadPoolExecutor(8) as threads:
        receipts = list(threads.map(lambda number: courier.publish(*told(str(number))), range(100)))
    assert len({receipt.position for receipt in receipts}) == 100


def test_errors_are_raised_as_they_are(shared: Node) -> None:
    with open_client(shared) as courier:
        with pytest.raises(InvalidEvent, match="title: Field required"):
            courier.publish("global", "system.announcement", {"message": "m", "severity": "info"})
        with pytest.raises(SubscriptionRefused, match="Unknown channel"):
            next(courier.subscribe("no such", token=token()))


def test_outside_its_block_it_cannot_be_used(shared: Node) -> None:
    with pytest.raises(RuntimeError, match="`with` block"):
        open_client(shared).publish(*told("t"))
