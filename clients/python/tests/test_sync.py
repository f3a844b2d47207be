"""The client for scripts."""

import gc
import multiprocessing
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from courier_client import (
    ClientClosed,
    CourierSyncClient,
    Ended,
    Event,
    Gap,
    InvalidEvent,
    PublishTimeout,
    SubscriptionRefused,
)
from nodes import Node, service_token, token
from usual import told

FORKING = multiprocessing.get_context("fork")


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


def test_channels_come_and_go_on_one_connection_while_a_thread_reads_it(shared: Node) -> None:
    with open_client(shared) as courier, courier.connect(token=token()) as events:
        one, two = "backtest.sync1", "backtest.sync2"
        before = [courier.publish(*told(f"before {channel}", channel)) for channel in (one, two)]
        came: list[Event | Gap | Ended] = []
        reading = threading.Thread(target=lambda: came.extend(events))
        reading.start()
        for receipt in before:
            time.sleep(0.05)  # so that the thread waits for what comes
            events.subscribe(receipt.channel, since=receipt.position)
        with pytest.raises(ValueError, match="subscribed already"):
            events.subscribe(one)
        last = [courier.publish(*told(f"first {channel}", channel)) for channel in (one, two)]
        wait_until(lambda: len(came) == 2)
        assert dict(events.positions) == {receipt.channel: receipt.position for receipt in last}
        events.unsubscribe(one)
        courier.publish(*told("nobody wants it", one))
        courier.publish(*told("last", two))
        wait_until(lambda: len(came) == 3)
        events.subscribe(one, since=last[0].position)
        events.subscribe("user.somebody-else")
        wait_until(lambda: len(came) == 5)
        assert [item.data["title"] for item in came if isinstance(item, Event)] == [
            f"first {one}",
            f"first {two}",
            "last",
            "nobody wants it",
        ]
        assert [item.reason for item in came if isinstance(item, Ended)] == ["Unauthorized access to channel"]
        events.close()
        reading.join(10)
        assert not reading.is_alive()


def wait_until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.005)


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


def test_without_a_block_it_opens_at_its_first_use_and_closes_once(shared: Node) -> None:
    threads = threading.active_count()
    courier = open_client(shared)
    assert courier.publish(*told("t"))
    events = courier.subscribe("global", token=token())
    courier.close()
    courier.close()
    events.close()
    assert threading.active_count() == threads
    with pytest.raises(ClientClosed):
        courier.publish(*told("t"))


def test_a_publish_ends_in_its_time_whatever_holds_up_the_clients_thread(shared: Node) -> None:
    held = threading.Event()

    def give() -> str:
        held.wait()
        return service_token()

    with CourierSyncClient(shared.url, "tests", token=give, timeout=0.2) as courier:
        began = time.monotonic()
        with pytest.raises(PublishTimeout, match="held up") as caught:
            courier.publish(*told("t"))
        assert time.monotonic() - began < 2
        assert caught.value.unknown
        held.set()


@pytest.mark.parametrize("used_before", [False, True])
def test_a_forked_process_has_connections_of_its_own(shared: Node, used_before: bool) -> None:
    channel = f"backtest.fork_{used_before}"
    courier = open_client(shared)
    events = courier.subscribe(channel, token=token())
    positions = []
    if used_before:
        courier.publish(*told("before", channel))
        events.__enter__()

    def child(results: Any) -> None:
        nonlocal events
        try:
            receipts = [courier.publish(*told(str(number), channel), timeout=5) for number in range(3)]
            with courier.subscribe(channel, since=receipts[0].position, token=token()) as mine:
                assert next(mine).id == receipts[1].position  # type: ignore[union-attr]
            if used_before:
                with pytest.raises(RuntimeError, match="stays with the process"):
                    next(events)
            del events
            gc.collect()
            courier.close()
            results.send([receipt.position for receipt in receipts])
        except BaseException as error:
            results.send(repr(error))
            raise

    mine, its = FORKING.Pipe()
    for _ in range(2):
        process = FORKING.Process(target=child, args=(its,))
        process.start()
        assert mine.poll(10), "the child waits"
        positions.append(mine.recv())
        process.join(10)
        assert process.exitcode == 0, positions
    last = courier.publish(*told("after", channel))
    if used_before:
        got = [next(events) for _ in range(7)]
        assert [one.id for one in got if isinstance(one, Event)] == [
            *positions[0],
            *positions[1],
            last.position,
        ]
    courier.close()
