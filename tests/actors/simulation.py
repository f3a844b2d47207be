"""A whole hub in memory, put through a list of steps, with what everyone saw checked against the promise.

Publishers, subscribers and their sockets are tasks that run while the steps go on. `Plan` is one run, as
data; `replay` does it. A plan that fails is printed: give it to `replay`.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from courier.actors.errors import ChannelFailed, Draining
from courier.actors.hub import LAST_WORD_SECONDS, DrainReport, Hub
from courier.actors.log import Log
from courier.actors.messages import Deliver
from courier.actors.subscriber import GOODBYE_SECONDS, OVERRUN_SECONDS, Subscriber
from courier.backplane import Appended, Outcome
from courier.backplane import Publication as Event
from courier.backplane.reply import Reply
from courier.schemas.closing import CloseReason
from courier.schemas.position import Moment, Position, Since
from courier.serving.peer import Loss
from tests.actors.crowd import Crowd
from tests.actors.hubs import a_hub, wall_clock
from tests.actors.ledger import Ledger, Publication
from tests.actors.many import a_site
from tests.actors.plan import (
    AUDITOR,
    CHANNELS,
    PEERS,
    Busy,
    Crash,
    Fault,
    Join,
    Plan,
    Publish,
    Room,
    SetClock,
    Settle,
    Step,
    Tick,
    Toggle,
    Wait,
)
from tests.actors.saboteur import Saboteur
from tests.actors.subscription import Connection, Socket, Watching, judge_beginning, judge_start, judge_stream
from tests.actors.wires import CLOSE, Held

DRAIN_SECONDS = 10.0
RELIEF_SECONDS = 2.0
"""How long after the start of the drain the peers that recover take everything again. Of the others, those
with an odd number take what they are sent last."""


class Simulation:
    """Does the steps of a plan to a hub, and judges what becomes of everyone."""

    def __init__(self, plan: Plan, hub: Hub, nursery: trio.Nursery, saboteur: Saboteur) -> None:
        self.plan = plan
        self.hub = hub
        self.nursery = nursery
        self.saboteur = saboteur
        self.ledger = Ledger()
        self.connections: list[Connection] = []
        """All subscriptions that there have been."""
        self.crowds: dict[int, Crowd] = {}
        """By peer, its last connection for many channels."""
        self.site = a_site(hub)
        self.wrong: list[AssertionError] = []
        self.draining = False

    def connection(self, peer: int) -> Connection | None:
        """The peer's subscription, if it has one or has asked for one."""
        mine = [one for one in self.connections if one.peer == peer and one.there]
        return mine[-1] if mine else None

    def on_socket(self, peer: int) -> tuple[Socket, list[Connection]] | None:
        """The peer's socket, if it has one, and its subscriptions there."""
        crowd, connection = self.crowds.get(peer), self.connection(peer)
        if crowd is not None:
            return None if crowd.ended_at is not None else (crowd.socket, crowd.here)
        return None if connection is None else (connection.socket, [connection])

    def log(self, channel: int) -> Log | None:
        """The log of the channel, if it is running."""
        return next((one.log for one in self.hub.supervisor if one.name == CHANNELS[channel]), None)

    # Steps

    async def do(self, step: Step) -> None:
        match step:
            case Tick(turns):
                for _ in range(turns):
                    await trio.lowlevel.checkpoint()
            case Settle():
                await self.settle()
            case Wait(seconds):
                await trio.sleep(seconds)
            case Publish(channel, batches):
                for batch in batches:
                    self.nursery.start_soon(self.publish, self.ledger.open(channel, batch), step)
            case Join(peer):
                if (connection := self.connection(peer)) is not None:
                    self.strike(connection.socket, [connection], "leave")
                self.come(step)
            case Toggle():
                self.toggle(step)
            case Room(peer) | Busy(peer) | Fault(peer):
                if (found := self.on_socket(peer)) is not None:
                    self.befall(step, *found)
            case Crash():
                self.saboteur.arm(step)
            case SetClock(ahead_seconds):
                wall_clock.ahead_ms = 1000 * ahead_seconds

    def befall(self, step: Room | Busy | Fault, socket: Socket, there: list[Connection]) -> None:
        """Do something to a socket."""
        for connection in there:
            connection.steady = False
        match step:
            case Room():
                socket.leave_room(step.room)
                socket.take(0)
            case Busy():
                socket.busy = step.writes
            case Fault():
                self.strike(socket, there, step.fault)

    def strike(self, socket: Socket, there: list[Connection], fault: str) -> None:
        for connection in there:
            connection.steady = False
            connection.gone = connection.gone or fault in ("leave", "close")
        match fault:
            case "leave" if isinstance(socket.endpoint, Crowd):
                socket.leave()
            case "leave":
                for connection in there:
                    connection.scope.cancel()
            case "close":
                socket.lose(Loss.BROKEN)
            case "stall":
                socket.leave_room(0)
                socket.lose(Loss.STALLED)
            case _:
                socket.error = ZeroDivisionError("socket")

    def toggle(self, step: Toggle) -> None:
        crowd = self.crowds.get(step.peer)
        if crowd is None or crowd.ended_at is not None:
            crowd = self.crowds[step.peer] = Crowd(self, step.peer, step.room)
        for channel in step.channels:
            if crowd.ended_at is None:
                crowd.toggle(channel, self.since(step, channel))

    @contextmanager
    def patience(self, turns: int | None) -> Iterator[trio.CancelScope]:
        """Cancel the block after so many turns of the other tasks."""
        with trio.CancelScope() as scope:
            if turns is not None:

                async def lose_it() -> None:
                    await self.do(Tick(turns))
                    scope.cancel()

                self.nursery.start_soon(lose_it)
            yield scope

    async def publish(self, publication: Publication, step: Publish) -> None:
        receipts: list[Appended] | None = None
        with self.patience(step.patience) as scope:
            try:
                receipts = await self.append(publication, step.hold_seconds)
            except (ChannelFailed, Draining) as error:
                publication.error = error
        publication.cancelled = scope.cancelled_caught
        if receipts is not None:
            publication.receipts = receipts
            with self.judging():
                self.ledger.record(publication, receipts)

    async def append(self, publication: Publication, hold_seconds: float) -> list[Appended]:
        """Publish; or do what the hub does, with a pause between the room and the message."""
        channel = CHANNELS[publication.channel]
        events = [Event(event(number)) for number in publication.numbers]
        if not hold_seconds:
            outcomes = await self.hub.publish(channel, events, math.inf)
        elif self.hub.draining:
            raise Draining
        else:
            inbox = self.hub.supervisor.inbox(channel)
            self.hub._publishing += 1
            try:
                await inbox.reserve(len(events))
                publication.holding = True
                with trio.CancelScope(shield=True):  # whoever has room uses it
                    await trio.sleep(hold_seconds)
                publication.holding = False
                reply = Reply[list[Outcome]]()
                inbox.put(Deliver(events, reply))
                outcomes = await reply.wait()
            finally:
                self.hub._publishing -= 1
                self.hub._changed.set()
        return [outcome for outcome in outcomes if isinstance(outcome, Appended)]

    def come(self, step: Join) -> None:
        channel = PEERS[step.peer] if step.peer < len(PEERS) else step.peer - AUDITOR
        socket = Socket(step.room, lambda gap: self.judge_gap(connection, gap))
        connection = self.asked(step.peer, channel, self.since(step, channel), socket)
        self.nursery.start_soon(self.attend, connection, step)

    def asked(self, peer: int, channel: int, since: Since | None, socket: Socket) -> Connection:
        """A peer asks for a subscription."""
        log = self.log(channel)
        connection = Connection(
            peer,
            channel,
            since,
            socket,
            asked_ms=wall_clock(),
            asked_at=None if log is None else log.position,
            given_up_before=self.saboteur.given_up[CHANNELS[channel].name],
        )
        self.connections.append(connection)
        return connection

    def joined(self, connection: Connection, subscriber: Subscriber) -> None:
        """It has been answered: it has joined."""
        log = self.log(connection.channel)
        connection.beginning = subscriber.beginning
        connection.joined_at = None if log is None else log.position
        connection.given_up = self.saboteur.given_up[connection.name]

    def since(self, step: Join | Toggle, channel: int) -> Since | None:
        heads = list(self.ledger.heads[channel].items())
        match step.since:
            case "last":
                mine = [
                    one.last for one in self.connections if (one.peer, one.channel) == (step.peer, channel)
                ]
                return next((last for last in reversed(mine) if last is not None), None)
            case "first" if heads:
                return Position(heads[-1][0], 0)
            case "ahead" if heads:
                return Position(heads[-1][0], heads[-1][1] + 1000)
            case "junk":
                return Position("00000000", 3)
            case "moment":
                then = wall_clock() - step.ago_ms
                return Moment(then, datetime.fromtimestamp(then / 1000, UTC).isoformat())
            case _:
                return None

    async def attend(self, connection: Connection, step: Join) -> None:
        """What the task of a WebSocket does."""
        try:
            with connection.scope:
                try:
                    with self.patience(step.patience):
                        connection.subscriber = await self.hub.join(
                            CHANNELS[connection.channel], f"u{step.peer}", connection.since
                        )
                except (ChannelFailed, Draining) as error:
                    connection.error = error
                if connection.subscriber is not None:
                    self.joined(connection, connection.subscriber)
                    await self.do(Tick(step.opens_after))
                    await self.serve(connection, connection.subscriber)
        finally:
            if connection.subscriber is not None:
                connection.subscriber.close()
            connection.socket.lose(Loss.BROKEN)
            connection.ended_at = trio.current_time()

    async def serve(self, connection: Connection, subscriber: Subscriber) -> None:
        connection.opened = True
        subscriber.home = Watching(self.hub, connection)
        held = Held(subscriber, connection.socket)
        held.open()
        await held.over.wait()
        connection.aborted = subscriber.aborted

    # Judgement

    @contextmanager
    def judging(self) -> Iterator[None]:
        """Keep what a block finds wrong for the next `settle`: it may stand below the hub's own code."""
        try:
            yield
        except AssertionError as error:
            self.wrong.append(error)

    def judge_gap(self, connection: Connection, gap: dict[str, str]) -> None:
        """A gap goes out: at this moment, is what it says is missing really not to be had?"""
        with self.judging():
            log, now = self.log(connection.channel), trio.current_time()
            assert log is not None, "a channel that is not running told a gap"
            oldest, resumed = Position(log.epoch, log.offset - len(log)), Position.parse(gap["resumed_from"])
            # What was read may have left the log since: it comes next, and `judge_stream` sees to that.
            assert resumed in (oldest, connection.shelf), f"the log holds all that came after {oldest}"
            assert gap["channel"] == connection.name
            if gap["reason"] == "overrun":
                assert not connection.steady, "whoever took everything at once was overrun"
                last = max(connection.overruns, default=-math.inf)
                assert now - last >= OVERRUN_SECONDS, "twice within a minute is too slow"
                connection.overruns.append(now)
            socket = connection.socket
            connection.given_next = resumed != log.position and socket._room == math.inf and not socket.busy

    async def settle(self) -> None:
        """When nobody has anything left to do, everyone who can have an answer has it."""
        await wait_all_tasks_blocked()
        self.ledger.check()
        self.judge_askers()
        self.judge_budget()
        for crowd in self.crowds.values():
            self.judge_crowd(crowd)
        for connection in self.connections:
            self.judge_connection(connection)
        if self.wrong:
            raise self.wrong[0]

    def judge_askers(self) -> None:
        busy = {one.channel for one in self.ledger.publications if one.holding}
        for publication in self.ledger.publications:
            assert publication.answered or publication.channel in busy, f"no answer to {publication}"
        for channel, name in enumerate(CHANNELS):
            errors = [one.error for one in self.ledger.publications if one.channel == channel]
            errors += [one.error for one in self.connections if one.channel == channel]
            failed = sum(isinstance(error, ChannelFailed) for error in errors)
            assert self.saboteur.given_up[name.name] or failed <= self.saboteur.fatal[name.name]

    def judge_budget(self) -> None:
        supervisor = self.hub.supervisor
        held = 0
        for channel in supervisor:
            log = channel.log
            entries = log._entries[log._skip :]
            assert len(entries) == len(log) <= self.plan.limits.history_events
            assert log.bytes == sum(entry.cost for entry in entries)
            held += log.bytes
        assert supervisor.budget.used_bytes == held

    def judge_connection(self, connection: Connection) -> None:
        if connection.judged:
            return
        judge_stream(connection, self.ledger)
        subscriber = connection.subscriber
        in_turn = connection.begins_by > trio.current_time()
        assert not connection.there or connection.opened or in_turn, "a join was not answered"
        if subscriber is not None:
            assert connection.beginning is not None
            judge_beginning(connection, connection.beginning)
            if subscriber.reason is not None or subscriber.left:
                self.judge_end(connection)
            elif connection.opened:
                self.judge_life(connection)
        connection.judged = not connection.there

    def judge_crowd(self, crowd: Crowd) -> None:
        """What came there belongs to its subscriptions, and who takes everything was told of each."""
        crowd.sort()
        for stream in crowd.streams:
            mine = crowd.subscriptions[stream.ref]
            if stream.begun is not None:
                assert mine.beginning is not None
                position, *others = mine.beginning
                told = [stream.begun[name] for name in ("position", "recovered", "replayed")]
                assert told == [str(position), *others], "it was told of another beginning"
            if crowd.ended_at is None and crowd.socket._room == math.inf and crowd.connection.reason is None:
                assert (stream.begun is not None) == mine.opened
                assert (stream.ended is None) == mine.there, "nobody told it of its end"

    def judge_life(self, connection: Connection) -> None:
        """A connection that nobody has ended: if its socket takes everything, it has everything."""
        socket = connection.socket
        given_up, log = self.saboteur.given_up[connection.name], self.log(connection.channel)
        assert connection.given_up == given_up, "its channel was given up, and it was not told"
        assert log is not None, "its channel is not running, and it was not told"
        assert connection.joined_at is None or connection.joined_at.epoch == log.epoch
        if socket._room < math.inf or socket.error or socket.loss:
            return
        self.judge_whole(connection, log.position)
        connection.steady = not socket.busy

    def judge_whole(self, connection: Connection, head: Position) -> None:
        """The connection must have all, up to the head of its log."""
        if connection.last is not None:
            assert connection.last == head, f"it has all up to {connection.last}, and the log goes to {head}"
        else:
            judge_start(connection, self.ledger, head)

    def judge_end(self, connection: Connection) -> None:
        """Why a subscription ended is true."""
        match connection.reason:
            case CloseReason.CHANNEL_FAILED:
                given_up = self.saboteur.given_up[connection.name] > connection.given_up_before
                assert connection.socket.error or given_up, "neither its socket nor its channel failed"
            case CloseReason.TOO_SLOW if connection.socket.loss is not Loss.STALLED:
                assert not connection.steady, "it took everything at once"
                assert connection.overruns, "the first time it is told a gap"
                told = connection.messages[-1]
                assert not connection.given_next or "n" in told, "it was told a gap, and then given nothing"
            case CloseReason.TOO_SLOW:
                pass
            case CloseReason.SHUTTING_DOWN:
                assert self.draining
            case reason:
                assert reason is None
                assert connection.gone, "nobody told it why"

    # The end

    async def end(self) -> None:
        """Drain, and judge the drain and all that has been."""
        if self.plan.calm:
            self.saboteur.disarm()
            await self.audit()
        await self.quiet(lambda one: one.answered or one.holding)
        await self.drain()
        if self.plan.remembered >= len(CHANNELS):
            assert all(len(heads) <= 1 for heads in self.ledger.heads.values()), "a channel was forgotten"
        await self.do(Publish(0, (1,)))
        await self.do(Join(0))
        await self.settle()
        assert isinstance(self.ledger.publications[-1].error, Draining)
        assert isinstance(self.connections[-1].error, Draining)
        assert not self.hub.connections

    async def quiet(self, served: Callable[[Publication], bool]) -> None:
        """Wait until every publisher is served."""
        with trio.fail_after(1000):
            while not all(map(served, self.ledger.publications)):
                await trio.sleep(0.1)

    async def audit(self) -> None:
        """Nobody waits, no byte is over the budget, and the logs hold what the ledger says."""
        await self.quiet(lambda one: one.answered)
        await trio.sleep(4)
        await self.settle()
        assert self.hub.supervisor.budget.excess_bytes == 0
        for channel in range(len(CHANNELS)):
            await self.do(Join(AUDITOR + channel, "first"))
            await self.do(Publish(channel, (2,)))
        await self.settle()
        assert all(publication.answered for publication in self.ledger.publications)

    async def drain(self) -> None:
        leaving = [connection for connection in self.connections if connection.there]
        crowds = [crowd for crowd in self.crowds.values() if crowd.ended_at is None]
        at_ease = [crowd for crowd in crowds if crowd.at_ease and all(one.steady for one in crowd.here)]
        steady = [connection for connection in leaving if connection.steady]
        ended = [one for one in leaving if one.subscriber is not None and one.subscriber.reason is not None]
        logs = [self.log(connection.channel) for connection in leaving]
        heads = [None if log is None else log.position for log in logs]
        sockets = [socket for socket, _ in filter(None, map(self.on_socket, self.plan.recovering))]
        everyone: list[Connection | Crowd] = [*leaving, *crowds]
        recovering = [one for one in everyone if any(one.socket is socket for socket in sockets)]
        self.draining = True
        start = trio.current_time()

        async def recover() -> None:
            await trio.sleep(RELIEF_SECONDS)
            for peer in self.plan.recovering:
                await self.do(Room(peer, math.inf))
            await trio.sleep(DRAIN_SECONDS - RELIEF_SECONDS + LAST_WORD_SECONDS / 2)
            for peer in range(1, AUDITOR, 2):
                await self.do(Room(peer, 400))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(recover)
            report = await self.hub.drain(start + DRAIN_SECONDS)
            nursery.cancel_scope.cancel()
        await wait_all_tasks_blocked()
        for each in everyone:
            assert each.ended_at is not None, "the drain is over, and a subscriber is still there"
            assert each.ended_at <= start + DRAIN_SECONDS + LAST_WORD_SECONDS
        for connection in ended:
            assert connection.ended_at is not None
            assert connection.ended_at <= start + GOODBYE_SECONDS, "its last word was prolonged"
        if self.plan.calm:
            unhindered: list[Connection | Crowd] = [*steady, *at_ease]
            for each in unhindered:
                assert each.ended_at is not None
                assert each.ended_at <= start + 1, "it had everything and was kept waiting"
            for each in recovering:
                assert each.ended_at is not None
                assert each.ended_at <= start + RELIEF_SECONDS + 1, "it had everything and was kept"
            on_sockets: list[tuple[Connection | Crowd, list[Connection]]]
            on_sockets = [(one, [one]) for one in leaving if one.crowd is None]
            on_sockets += [(crowd, [one for one in leaving if one.crowd is crowd]) for crowd in crowds]
            self.judge_report(report, dict(zip(map(id, leaving), heads, strict=True)), on_sockets)

    def judge_report(
        self,
        report: DrainReport,
        heads: dict[int, Position | None],
        leaving: list[tuple[Connection | Crowd, list[Connection]]],
    ) -> None:
        """The report sums up how it was for everyone who was there."""
        sums: Counter[str] = Counter()
        cut = 0
        for holder, subscriptions in leaving:
            lag = 0
            aborted = holder.connection.aborted if isinstance(holder, Crowd) else holder.aborted
            reason = holder.connection.reason if isinstance(holder, Crowd) else holder.reason
            told = reason is CloseReason.SHUTTING_DOWN and not aborted
            if told:
                assert holder.socket.frames[-1][0] == CLOSE, "it was not told of the shutdown"
                assert not holder.socket.holding
            if isinstance(holder, Crowd):
                holder.sort()
            for connection in subscriptions:
                subscriber, head = connection.subscriber, heads[id(connection)]
                if subscriber is None:
                    assert connection.begins_by > -math.inf, "a join was not answered"
                    continue
                if connection.crowd and subscriber.reason not in (None, CloseReason.SHUTTING_DOWN):
                    continue  # it ended by itself, and its connection went on
                lag += subscriber.lag
                if told and not subscriber.lag:
                    assert head is not None
                    self.judge_whole(connection, head)
            sums["aborted" if aborted else "flushed" if lag else "closed"] += 1
            sums["undelivered"] += lag
            cut += holder.socket.holding
        undelivered = sums["undelivered"]
        assert (
            report == DrainReport(sums["closed"], sums["flushed"], sums["aborted"], undelivered)
            or undelivered < report.undelivered <= undelivered + cut
        ), f"{report} of {sums}, {cut}"


def event(number: int) -> bytes:
    """An event of that number; every seventh is long enough for the longer frame header."""
    return b'{"n":%d,"text":"%b"}' % (number, b"x" * (150 if number % 7 == 6 else 0))


async def simulate(plan: Plan) -> None:
    """Do the plan; raises AssertionError when something that was promised is not so."""
    before = trio.lowlevel.current_statistics().tasks_living
    saboteur = Saboteur()
    with saboteur.at_work():
        async with a_hub(plan.limits, remembered=plan.remembered) as hub, trio.open_nursery() as nursery:
            simulation = Simulation(plan, hub, nursery, saboteur)
            alone = trio.lowlevel.current_statistics().tasks_living
            for step in plan.steps:
                await simulation.do(step)
            await simulation.end()
            saboteur.disarm()
            await trio.sleep(plan.limits.history_seconds + 4)
            assert not nursery.child_tasks, "somebody still waits"
            assert len(hub.supervisor) == hub.supervisor.budget.used_bytes == 0
            assert trio.lowlevel.current_statistics().tasks_living == alone, "a task was left behind"
    assert trio.lowlevel.current_statistics().tasks_living == before


def replay(plan: Plan) -> None:
    """Do the plan on a clock of its own that jumps, in the order of tasks that its seed gives."""
    trio._core._run._r.seed(plan.seed)
    try:
        with wall_clock.kept():
            trio.run(simulate, plan, clock=MockClock(autojump_threshold=0))
    except BaseExceptionGroup as group:
        raise leaf(group) from None


def leaf(error: BaseException) -> BaseException:
    """What was wrong first, without the nurseries that it passed."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
