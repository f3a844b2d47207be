"""Saboteur: makes channels raise where a plan says so, and buffers small."""

from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import trio

from courier.actors import channel as channel_module
from courier.actors import hub as hub_module
from courier.actors import log as log_module
from courier.actors import subscriber as subscriber_module
from courier.actors.channel import Channel
from courier.actors.frames import Page, event_frame
from courier.actors.messages import Message
from courier.actors.subscriber import Subscriber
from courier.actors.supervisor import Supervisor
from courier.schemas.position import Position
from courier.web import many as many_module
from tests.actors.plan import CHANNELS, SUBSCRIBES_A_SECOND, Crash, Point


class Saboteur:
    """Makes a channel raise at the points that steps have named."""

    def __init__(self) -> None:
        self.given_up: Counter[str] = Counter()
        self.fatal: Counter[str] = Counter()
        """Crashes that may each have cost one asker its answer."""
        self._armed: dict[tuple[str, Point], list[int]] = {}
        self._applying = False
        self._crashes: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=5))

    def arm(self, crash: Crash) -> None:
        self._armed[CHANNELS[crash.channel].name, crash.point] = [crash.passes, crash.times]

    def disarm(self) -> None:
        self._armed.clear()

    def passes(self, channel: str, point: Point) -> None:
        left = self._armed.get((channel, point))
        if left is None:
            return
        if left[0]:
            left[0] -= 1
            return
        left[1] -= 1
        if not left[1]:
            del self._armed[channel, point]
        self._crashes[channel].append(trio.current_time())
        self.fatal[channel] += point in ("apply", "append", "start")
        raise ZeroDivisionError(point)

    def gives_up(self, channel: str) -> None:
        """Only the fifth crash within a minute may end a channel."""
        self.given_up[channel] += 1
        crashes = self._crashes[channel]
        assert len(crashes) == 5
        assert crashes[-1] - crashes[0] < 60

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Within the block; there every buffer of the actors that has a fixed size is small, too."""
        apply, trim, give_up = Channel.apply, Channel.trim, Supervisor._give_up
        start, offer = Subscriber.start, Subscriber.offer

        def sabotaged_apply(channel: Channel, message: Message) -> None:
            self.passes(channel.name.name, "apply")
            self._applying = True
            try:
                apply(channel, message)
            finally:
                self._applying = False
            self.passes(channel.name.name, "applied")

        def sabotaged_event_frame(position: Position, channel: str, payload: bytes) -> bytes:
            self.passes(channel, "append")
            return event_frame(position, channel, payload)

        def sabotaged_trim(channel: Channel) -> None:
            self.passes(channel.name.name, "trim")
            trim(channel)
            self.passes(channel.name.name, "trimmed")

        def sabotaged_start(subscriber: Subscriber, *arguments: Any) -> None:
            if self._applying:  # else who asked for the join starts it, and no channel can crash there
                self.passes(subscriber.channel.name, "start")
            start(subscriber, *arguments)

        def sabotaged_offer(subscriber: Subscriber, page: Page) -> int:
            self.passes(subscriber.channel.name, "offer")
            return offer(subscriber, page)

        def watched_give_up(supervisor: Supervisor, channel: Channel) -> None:
            self.gives_up(channel.name.name)
            give_up(supervisor, channel)

        with ExitStack() as stack:
            for owner, name, value in (
                (Channel, "apply", sabotaged_apply),
                (Channel, "trim", sabotaged_trim),
                (Subscriber, "start", sabotaged_start),
                (Subscriber, "offer", sabotaged_offer),
                (Supervisor, "_give_up", watched_give_up),
                (channel_module, "event_frame", sabotaged_event_frame),
                (channel_module, "OFFERS_A_TURN", 2),
                (channel_module, "TURN_BYTES", 600),
                (subscriber_module, "PAGE_BYTES", 150),
                (many_module, "PAGE_BYTES", 150),
                (many_module, "SUBSCRIBES_A_SECOND", SUBSCRIBES_A_SECOND),
                (hub_module, "OLDER_EVENTS", 3),
                (log_module, "_COMPACT_AFTER", 2),
            ):
                stack.enter_context(patch.object(owner, name, value))
            yield
