"""The nodes of a simulation, and what befalls them."""

import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

import trio

from courier.actors.channel import Channel
from courier.actors.limits import Limits
from courier.actors.messages import Message
from tests.actors.hubs import wall_clock
from tests.actors.nodes import Node, a_node
from tests.backplane.fake import FakeBackplane
from tests.backplane.witness import Witness

FAULTS = ("away", "cut", "deaf", "echoing", "holding", "shuffling", "losing_answers", "slow")


@dataclass
class Place:
    """Where a node runs, is killed, and is started anew."""

    number: int
    node: Node | None = None
    tasks: trio.Nursery | None = None
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    draining: bool = False


class Nodes:
    """Starts, kills and drains nodes, and makes them suffer, all at random."""

    def __init__(self, chance: random.Random, nursery: trio.Nursery) -> None:
        self.random = chance
        self.steps: list[str] = []
        """What has happened, and when."""
        self.losing = chance.random() < 0.4
        """Whether the shared log loses events in this run."""
        keep = chance.choice([10_000, 10_000, 40, 12])
        self.witness = Witness(keep, chance.choice([1, 3, 20, 500]))
        self.calm = keep == 10_000 and not self.losing
        """Nothing is lost, so nobody is told of a gap."""
        self.places = [Place(number) for number in range(chance.choice([2, 2, 3]))]
        self.crashed = 0
        """How often a channel has crashed."""
        self._nursery = nursery
        self._memory = self.witness.remembered()
        self._healing: list[trio.CancelScope] = []
        self._crashes = 0

    def say(self, step: str) -> None:
        self.steps.append(f"{trio.current_time():8.3f} {step}")

    def up(self) -> list[Place]:
        """Those that take events and subscribers."""
        return [place for place in self.places if place.node is not None and not place.draining]

    async def heal(self) -> None:
        """End all faults, and have all nodes there."""
        self.say("all is healed")
        self._crashes = 0
        self.witness.failing = ""
        for scope in self._healing:
            scope.cancel()
        await trio.sleep(8)  # drains end
        await self.start()

    async def start(self) -> None:
        for place in self.places:
            if place.node is None:
                await self._start(place)

    async def _start(self, place: Place) -> None:
        limits = Limits(
            history_events=self.random.choice([1000, 30, 4]), inbox_events=self.random.choice([1000, 5, 1])
        )
        self.say(f"node {place.number} starts: {limits.history_events=} {limits.inbox_events=}")
        place.scope, place.draining = trio.CancelScope(), False
        await self._nursery.start(self._live, place, limits)

    async def _live(self, place: Place, limits: Limits, task_status: trio.TaskStatus[None]) -> None:
        node = None
        try:
            with place.scope:
                async with a_node(self.witness, limits) as node, trio.open_nursery() as tasks:
                    place.node, place.tasks = node, tasks
                    task_status.started()
                    await trio.sleep_forever()
        finally:
            place.node = None
            if node is not None:
                self.witness.listeners.remove(node.backplane)

    async def kill(self) -> None:
        place = self.random.choice(self.places)
        if place.node is not None and sum(other.node is not None for other in self.places) > 1:
            self.say(f"node {place.number} is killed")
            place.scope.cancel()
            while place.node is not None:
                await trio.lowlevel.checkpoint()

    async def drain(self) -> None:
        place = self.random.choice(self.places)
        if place.node is not None and not place.draining:
            self.say(f"node {place.number} drains")
            place.draining = True
            self._nursery.start_soon(self._drain, place, place.node)

    async def _drain(self, place: Place, node: Node) -> None:
        await node.hub.drain(trio.current_time() + 3)
        if place.node is node:
            self.say(f"node {place.number} has drained")
            place.scope.cancel()

    # Faults

    async def fault(self) -> None:
        place = self.random.choice(self.places)
        if place.node is not None:
            self._begin(place, place.node, self.random.choice(FAULTS))

    def _begin(self, place: Place, node: Node, name: str) -> None:
        seconds = self.random.choice([0.005, 0.05, 0.5, 2, 5])
        self.say(f"node {place.number} is {name} for {seconds} s")
        self._nursery.start_soon(self._suffer, self._block(node.backplane, name, seconds), seconds)

    def _block(self, backplane: FakeBackplane, name: str, seconds: float) -> AbstractContextManager[None]:
        match name:
            case "slow":
                return backplane.slow(min(seconds, 1))
            case "shuffling":
                return backplane.holding(random.Random(self.random.random()))
            case _:
                fault: Callable[[], AbstractContextManager[None]] = getattr(backplane, name)
                return fault()

    async def _suffer(self, block: AbstractContextManager[None], seconds: float) -> None:
        with block, trio.move_on_after(seconds) as scope:
            self._healing.append(scope)
            await trio.sleep_forever()

    async def lose(self) -> None:
        if self.random.random() < 0.4:
            self._memory = self.witness.remembered()
            self.say("the shared log is saved")
        elif self.losing:
            self.say("the shared log goes back")
            for place in self.places:
                if place.node is not None and self.random.random() < 0.7:
                    self._begin(place, place.node, self.random.choice(["cut", "cut", "away"]))
            await trio.sleep(0.002)
            self.witness.lose(self.random.choice([self._memory, self._memory, None]))
            await trio.sleep(0.002)

    async def fail_half_way(self) -> None:
        self.witness.failing = self.random.choice(["at first", "at last"])
        self.say(f"the next script that appends fails {self.witness.failing}")

    async def set_clock(self) -> None:
        wall_clock.ahead_ms = self.random.choice([0, 50, -50, 3_600_000, -3_600_000])
        self.witness.clock_set = True
        self.say(f"the clock is set {wall_clock.ahead_ms} ms from what it should be")

    async def crash(self) -> None:
        self._crashes = self.random.choice([1, 1, 2, 6])
        self.say(f"channels crash {self._crashes} times")

    @contextmanager
    def crashing(self) -> Iterator[None]:
        """Within the block, channels crash as `crash` says: before a message is handled, or just after."""
        apply = Channel.apply

        def sabotaged(channel: Channel, message: Message) -> None:
            early = self.random.random() < 0.5
            if self._crashes and early:
                self._crashes -= 1
                self.crashed += 1
                raise ZeroDivisionError
            apply(channel, message)
            if self._crashes:
                self._crashes -= 1
                self.crashed += 1
                raise ZeroDivisionError

        with patch.object(Channel, "apply", sabotaged):
            yield
