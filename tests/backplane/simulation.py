"""Several nodes on one shared log, on a clock that jumps: whatever happens, nothing is lost silently.

A run is its seed: `replay(seed)` does it again. `Simulation` takes random steps and judges what everyone saw;
the model is the `Witness` beside the real hubs.
"""

import math
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from unittest.mock import patch

import trio
from trio.testing import MockClock

from courier.actors.errors import ChannelFailed, Draining
from courier.backplane import Appended, BackplaneAway, KeyConflict, Publication
from courier.schemas.channels import ChannelName
from courier.schemas.closing import CloseReason
from courier.schemas.position import Position
from courier.serving.peer import Loss
from tests.actors.hubs import CHANNEL, OTHER, wall_clock
from tests.actors.nodes import Node
from tests.actors.simulation import leaf
from tests.actors.wires import FakeWire, Held
from tests.backplane.crowd import Crowd
from tests.backplane.ordeal import Nodes, Place
from tests.backplane.witness import Subscription
from tests.names import channel_name

QUIET = channel_name("user.u3")
CHANNELS = (CHANNEL, CHANNEL, CHANNEL, OTHER)
PUBLISHED_TO = (*CHANNELS, QUIET)
"""The last is subscribed to by crowds only."""
FAILURES = (BackplaneAway, ChannelFailed, Draining)
PEERS = 5
CROWDS = 2
STEPS = 160


@dataclass
class Peer:
    """Somebody who subscribes, and comes back with the last position seen."""

    number: int
    channel: ChannelName
    last: Position | None = None
    here: Subscription | None = None
    wire: FakeWire = field(default_factory=FakeWire)
    joining: bool = False
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


@dataclass
class Keyed:
    """A publication with a key: what it was answered, if it was."""

    channel: ChannelName
    publication: Publication
    receipt: Appended | None = None


class Simulation:
    """Takes steps, and judges."""

    def __init__(self, seed: int, nursery: trio.Nursery) -> None:
        self.random = random.Random(seed)
        self.nodes = Nodes(self.random, nursery)
        self.witness = self.nodes.witness
        self.peers = [Peer(number, self.random.choice(CHANNELS)) for number in range(PEERS)]
        self.crowds = [Crowd(number, PUBLISHED_TO[2:], self.nodes) for number in range(CROWDS)]
        self.numbers = 0
        """How many events there have been."""
        self.receipts: dict[int, Appended] = {}
        self.keyed: list[Keyed] = []
        self.kinds: list[tuple[int, Callable[[], Awaitable[None]]]] = [
            (20, self.publish),
            (12, self.come),
            (12, self.toggle),
            (4, self.leave),
            (4, self.stall),
            (4, self.relieve),
            (12, self.nodes.fault),
            (2, self.nodes.crash),
            (2, self.nodes.kill),
            (1, self.nodes.drain),
            (3, self.nodes.start),
            (2, self.nodes.lose),
            (2, self.nodes.fail_half_way),
            (1, self.nodes.set_clock),
            (8, self.wait),
        ]

    async def run(self) -> None:
        weights = [weight for weight, _ in self.kinds]
        with self.nodes.crashing():
            await self.nodes.start()
            for peer in self.peers[:3]:
                await self.come_at(peer, self.random.choice(self.nodes.places))
            for _ in range(STEPS):
                await self.random.choices(self.kinds, weights)[0][1]()
                await trio.sleep(self.random.choice([0, 0, 0.001, 0.01, 0.3]))
            await self.heal()
        await self.end()

    async def wait(self) -> None:
        seconds = self.random.choice([0.1, 1, 1, 4])
        self.nodes.say(f"{seconds} s pass")
        await trio.sleep(seconds)
        self.judge()

    # Publishers

    async def publish(self) -> None:
        if not self.nodes.up():
            return
        place, channel = self.random.choice(self.nodes.up()), self.random.choice(PUBLISHED_TO)
        assert place.tasks is not None
        known = [one for one in self.keyed if one.channel == channel]
        if known and self.random.random() < 0.15:
            one = self.random.choice(known)
            self.nodes.say(f"node {place.number} gets key {one.publication.key} of {channel} again")
            place.tasks.start_soon(self.repeat, place, one)
            return
        batch = self.random.choice([1, 1, 1, 2, 5])
        keyed = self.random.random() < 0.3
        publications = self.publications(batch, keyed)
        numbers = [int(publication.digest) for publication in publications]
        self.nodes.say(f"node {place.number} gets {numbers} for {channel}{' with keys' if keyed else ''}")
        place.tasks.start_soon(self.publish_at, place, channel, publications)

    def publications(self, count: int, keyed: bool = False) -> list[Publication]:
        """New ones; the digest of each is its number."""
        numbers = range(self.numbers, self.numbers + count)
        self.numbers += count
        return [
            Publication(b'{"n":%d}' % number, f"bot:{number}" if keyed else "", b"%d" % number)
            for number in numbers
        ]

    async def publish_at(self, place: Place, channel: ChannelName, publications: list[Publication]) -> None:
        node = place.node
        assert node is not None
        keyed = [Keyed(channel, publication) for publication in publications if publication.key]
        self.keyed += keyed
        try:
            outcomes = await node.hub.publish(channel, publications, math.inf)
        except FAILURES:
            return
        for publication, outcome in zip(publications, outcomes, strict=True):
            assert isinstance(outcome, Appended)
            number = int(publication.digest)
            given = node.given.setdefault(outcome.position, number)
            assert given == number, f"{outcome.position} was {given}, and the node has forgotten it"
            assert self.witness.lossy or (outcome.position, number) in self.witness.before
            self.receipts.setdefault(number, outcome)
        for one, outcome in zip(keyed, outcomes, strict=False):
            assert isinstance(outcome, Appended)
            one.receipt = outcome

    async def repeat(self, place: Place, one: Keyed) -> None:
        node, known = place.node, one.receipt
        assert node is not None
        other = known is not None and not self.nodes.losing and self.random.random() < 0.2
        publication = one.publication._replace(digest=b"another") if other else one.publication
        try:
            [outcome] = await node.hub.publish(one.channel, [publication], math.inf)
        except FAILURES:
            return
        if other:
            assert isinstance(outcome, KeyConflict)
            return
        assert isinstance(outcome, Appended)
        if known is not None and not self.witness.lossy:
            assert (outcome.position, outcome.deduplicated) == (known.position, True)
        one.receipt = outcome
        self.receipts.setdefault(int(one.publication.digest), outcome)

    # Peers

    async def come(self) -> None:
        if not self.nodes.up():
            return
        peer = self.random.choice(self.peers)
        peer.scope.cancel()
        await trio.sleep(0)
        await self.come_at(peer, self.random.choice(self.nodes.up()))

    async def come_at(self, peer: Peer, place: Place) -> None:
        if peer.joining or peer.here is not None or place.tasks is None:
            return
        peer.joining = True
        peer.scope = trio.CancelScope()
        since = peer.last if self.random.random() < 0.9 else None
        room = self.random.choice([math.inf, math.inf, 0, 100])
        self.nodes.say(
            f"peer {peer.number} comes to node {place.number} of {peer.channel} since {since}, {room=}"
        )
        place.tasks.start_soon(self.attend, peer, place, since, room)

    async def attend(self, peer: Peer, place: Place, since: Position | None, room: float) -> None:
        node = place.node
        assert node is not None
        try:
            with peer.scope:
                subscriber = None
                try:
                    with suppress(*FAILURES):
                        subscriber = await node.hub.join(peer.channel, f"u{peer.number}", since)
                    if subscriber is None:
                        return
                    assert subscriber.beginning is not None
                    peer.wire = FakeWire(room)
                    peer.here = Subscription(
                        peer.channel,
                        since,
                        peer.wire,
                        subscriber.beginning.position,
                        self.witness.head(peer.channel),
                    )
                    held = Held(subscriber, peer.wire)
                    held.open()
                    await held.over.wait()
                    self.nodes.say(f"peer {peer.number} is told {subscriber.reason}")
                    self.judge_end(subscriber.reason)
                finally:
                    if subscriber is not None:
                        subscriber.close()
        finally:
            peer.joining = False
            if peer.here is not None:
                peer.wire.lose(Loss.BROKEN)
                self.judge_one(peer.here)
                peer.last = peer.here.last
                peer.here = None

    async def leave(self) -> None:
        peer = self.random.choice(self.peers)
        if peer.here is not None:
            self.nodes.say(f"peer {peer.number} leaves")
            peer.scope.cancel()

    async def stall(self) -> None:
        peer = self.random.choice(self.peers)
        if peer.here is not None:
            room = self.random.choice([0, 50, 200])
            self.nodes.say(f"peer {peer.number} takes {room} bytes more")
            peer.wire.leave_room(room)

    async def relieve(self) -> None:
        peer = self.random.choice(self.peers)
        if peer.here is not None:
            self.nodes.say(f"peer {peer.number} takes everything")
            peer.wire.take(math.inf)

    # Crowds

    async def toggle(self) -> None:
        """A crowd comes, if it is not here, and subscribes and unsubscribes; or it goes, or takes less, or
        all."""
        crowd = self.random.choice(self.crowds)
        if crowd.here is None:
            if self.nodes.up():
                room = self.random.choice([math.inf, math.inf, 0, 300])
                await crowd.come(self.random.choice(self.nodes.up()), room)
        elif self.random.random() < 0.1:
            self.nodes.say(f"crowd {crowd.number} leaves")
            crowd.here.wire.lose(Loss.BROKEN)
            return
        elif self.random.random() < 0.3:
            room = self.random.choice([0, 200, math.inf])
            self.nodes.say(f"crowd {crowd.number} takes {room} bytes more")
            crowd.here.wire.leave_room(room)
            crowd.here.wire.take(0)
        if crowd.here is not None:
            crowd.judge()
            for _ in range(self.random.choice([1, 1, 2, 3, 5])):
                crowd.toggle(self.random.choice(crowd.channels))

    # Judgement

    def judge(self) -> None:
        for peer in self.peers:
            if peer.here is not None:
                self.judge_one(peer.here)
        for crowd in self.crowds:
            for subscription in crowd.judge():
                self.judge_gaps(subscription)
        if not self.witness.lossy:
            assert all(len(epochs) == 1 for epochs in self.witness.epochs.values()), "an epoch too many"
            places = [position for position, _ in self.witness.before]
            assert len(places) == len(set(places)), "a position was given twice"

    def judge_one(self, subscription: Subscription) -> None:
        subscription.judge(self.witness)
        self.judge_gaps(subscription)

    def judge_gaps(self, subscription: Subscription) -> None:
        nothing = self.nodes.calm and not self.witness.clock_set
        assert not (nothing and subscription.gaps), "a gap, and nothing was lost"

    def judge_end(self, reason: CloseReason | None) -> None:
        match reason:
            case CloseReason.TOO_SLOW:
                assert not self.nodes.calm, "too slow, and everything was there to be read"
            case CloseReason.CHANNEL_FAILED:
                assert self.nodes.crashed >= 5, "a channel was given up too early"
            case _:
                assert reason is CloseReason.SHUTTING_DOWN, "nobody told it why"

    async def heal(self) -> None:
        """End all faults, have everyone here and at ease, and let one more event show what is missing."""
        await self.nodes.heal()
        for _ in range(3):  # whoever was too slow comes back
            for peer in self.peers:
                await self.come_at(peer, self.random.choice(self.nodes.places))
            for crowd in self.crowds:
                await crowd.rest(self.random.choice(self.nodes.places))
            await trio.sleep(1)
            for peer in self.peers:
                if peer.here is not None:
                    peer.wire.take(math.inf)
            await trio.sleep(1)
        for channel in (CHANNEL, OTHER, QUIET):
            await self.publish_at(self.random.choice(self.nodes.places), channel, self.publications(1))
        await trio.sleep(5)

    async def end(self) -> None:
        """Everyone has everything, each node's log says the same, and a drain leaves nothing undelivered."""
        self.judge()
        for peer in self.peers:
            assert peer.here is not None, f"peer {peer.number} could not come back"
            head = self.witness.head(peer.channel)
            assert peer.here.last == head, f"peer {peer.number} has all up to {peer.here.last} of {head}"
        for crowd in self.crowds:
            crowd.judge_whole()
        for place in self.nodes.places:
            assert place.node is not None
            for channel in place.node.hub.supervisor:
                assert channel.log.position == self.witness.head(channel.name)
            await self.audit(place.node)
        for place in self.nodes.places:
            assert place.node is not None
            report = await place.node.hub.drain(trio.current_time() + 5)
            assert report.undelivered == 0
            place.scope.cancel()
        assert all(peer.here is None for peer in self.peers)
        assert all(crowd.here is None for crowd in self.crowds)

    async def audit(self, node: Node) -> None:
        """What was acknowledged is in the log, where its receipt says, as far as the log goes back."""
        if self.witness.lossy:
            return
        for channel in (CHANNEL, OTHER, QUIET):
            place, found = self.witness.tail(channel), {}
            while (stretch := await node.hub.read(channel, place, 100)).records:
                assert stretch.gap is None
                for record in stretch.records:
                    found[record.position] = record.event
                    place = record.position
            assert place == self.witness.head(channel)
            for number, receipt in self.receipts.items():
                expected = found.get(receipt.position, b'{"n":%d}' % number)
                if receipt.position.epoch == place.epoch:
                    assert expected == b'{"n":%d}' % number


async def simulate(seed: int, keep: list[Simulation]) -> None:
    with trio.fail_after(3600):
        async with trio.open_nursery() as nursery:
            simulation = Simulation(seed, nursery)
            keep.append(simulation)
            await simulation.run()


def replay(seed: int) -> None:
    """One run, in the order of tasks that its seed gives; a failure tells its steps."""
    state = random.getstate()
    random.seed(seed)
    trio._core._run._r.seed(seed)
    made: list[Simulation] = []
    try:
        with wall_clock.kept(), patch.object(trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True):
            trio.run(simulate, seed, made, clock=MockClock(autojump_threshold=0))
    except BaseException as error:
        steps = "\n".join(made[0].nodes.steps) if made else ""
        raise AssertionError(
            f"{leaf(error)!r} with seed {seed} after these steps:\n{steps}\n"
            f"Once more: COURIER_SEEDS={seed}:{seed + 1} pytest tests/backplane/test_simulation.py"
        ) from leaf(error)
    finally:
        random.setstate(state)
