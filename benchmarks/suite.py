"""Suite: which scenarios make up one comparison, what each must come to, and what they came to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.batch import BATCH
from benchmarks.fanout import FANOUT
from benchmarks.idle import IDLE, OBJECTS
from benchmarks.joins import JOINS
from benchmarks.latency import LATENCY
from benchmarks.outcome import Outcome, row
from benchmarks.pauses import FULL, P99, PAUSES
from benchmarks.publish import PUBLISH
from benchmarks.report import number
from benchmarks.scenario import Scenario
from benchmarks.servers import COURIER, FASTAPI, JOINING_SENDER, NCHAN, NODE, Server
from benchmarks.stalled import STALLED
from benchmarks.storm import STORM
from benchmarks.tape import Faults
from benchmarks.wide import WIDE

PEERS = (FASTAPI, NODE, NCHAN)
"""What Courier is measured beside; ratios are to the first."""

ONCE = (NODE, NCHAN)
"""Measured once where the others are measured several times, to keep the whole short."""

BUSY_PERCENT = 95.0
"""A client that is as busy as that may be what limits a closed loop: the server could do more."""


@dataclass(frozen=True)
class Result:
    """What one scenario came to, for every server that was asked."""

    part: "Part"
    asked: str
    """The scenario's text, filled in."""
    outcomes: Mapping[str, Sequence[Outcome]]
    beside: float | None = None
    """What the hub is taken to have reached where it was not asked: in a scenario for Courier alone."""

    def value(self, server: Server) -> float | None:
        """The median of the part's figure; None when there is none."""
        outcomes = self.outcomes.get(server.name, ())
        values = [outcome.figures[self.unit] for outcome in outcomes if self.unit in outcome.figures]
        if values:
            return median(values)
        return self.beside if server is FASTAPI else None

    def times(self, server: Server) -> float | None:
        """How many times better than the hub `server` is."""
        mine, hub = self.value(server), self.value(FASTAPI)
        if not mine or not hub:
            return None
        return hub / mine if self.part.less_is_better else mine / hub

    def failed(self, server: Server) -> str:
        """Why there is no figure; empty when there is one, or when `server` was not asked."""
        return next((outcome.failed for outcome in self.outcomes.get(server.name, ()) if outcome.failed), "")

    def faults(self, server: Server) -> Faults:
        """Everything that the subscribers of all runs have to complain of."""
        return sum((outcome.faults for outcome in self.outcomes.get(server.name, ())), Faults())

    def limited_by_client(self, server: Server) -> bool:
        """Whether `server` might have reached more with a quicker client."""
        busy = [outcome.figures.get("client busy %", 0) for outcome in self.outcomes.get(server.name, ())]
        return self.part.closed_loop and bool(busy) and median(busy) >= BUSY_PERCENT

    @property
    def met(self) -> bool | None:
        """Whether Courier is where it should be; None when nothing is asked, or when a figure lacks.

        A fault is a target missed, whatever the speed.
        """
        if self.failed(COURIER) or self.faults(COURIER) != Faults():
            return False
        return self.part.judge(self)

    @property
    def unit(self) -> str:
        return self.part.figure or self.part.scenario.figure

    def rows(self) -> list[dict[str, str]]:
        """All figures, for a table."""
        return [row(name, some) for name, some in self.outcomes.items()]


@dataclass(frozen=True)
class Part:
    """One scenario of the suite."""

    title: str
    scenario: Scenario
    peers: tuple[Server, ...]
    target: str = ""
    judge: Callable[[Result], bool | None] = lambda result: None
    closed_loop: bool = False
    in_quick: bool = False
    beside: str = ""
    """The title of the part whose value for the hub stands here, where the hub has no such thing."""
    note: str = ""
    """What the picture says beside the hub's figure."""
    ceiling: bool = False
    """Whether the client's ceiling is measured too."""
    figure: str = ""
    """Another figure than the scenario's first, and less of it is better; an earlier part has the runs."""

    @property
    def less_is_better(self) -> bool:
        return bool(self.figure) or self.scenario.less_is_better

    @property
    def servers(self) -> tuple[Server, ...]:
        return (COURIER, *self.peers)


def _times(least: float) -> Callable[[Result], bool | None]:
    def judge(result: Result) -> bool | None:
        times = result.times(COURIER)
        return None if times is None else times >= least

    return judge


def _batch(result: Result) -> bool | None:
    rate = result.value(COURIER)
    enough = rate is not None and rate >= 25_000
    return enough and _times(8)(result)


def _latency(result: Result) -> bool | None:
    mine, hub = result.value(COURIER), result.value(FASTAPI)
    return None if mine is None or hub is None else mine < 50 and mine <= 0.85 * hub


def _at_most(most: float) -> Callable[[Result], bool | None]:
    def judge(result: Result) -> bool | None:
        mine = result.value(COURIER)
        return None if mine is None else mine <= most

    return judge


PARTS = (
    Part(
        "Fan-out: 1 channel, 1,000 subscribers",
        FANOUT,
        PEERS,
        "≥ 3.5×",
        _times(3.5),
        True,
        True,
        ceiling=True,
    ),
    Part(
        "Fan-out: the server's processor",
        FANOUT,
        PEERS,
        "≤ 1.0 µs",
        _at_most(1.0),
        in_quick=True,
        figure="µs each",
    ),
    Part("Wide: 1,000 channels, 1 subscriber each", WIDE, PEERS, "≥ 4×", _times(4), True, ceiling=True),
    Part("Single publishes", PUBLISH, PEERS, "≥ 5×", _times(5), True, True, ceiling=True),
    Part(
        "Batch publishes, 100 events each",
        BATCH,
        (),
        "≥ 25,000/s, ≥ 8×",
        _batch,
        closed_loop=True,
        in_quick=True,
        beside="Single publishes",
        ceiling=True,
    ),
    Part("Latency p99 at 1,000 events/s", LATENCY, PEERS, "≤ 0.85 of hub", _latency, in_quick=True),
    Part("Joins: 5,000 one after the other", JOINS, PEERS, "≥ 6×", _times(6), True, True, ceiling=True),
    Part("Join storm: 1,000 at once", STORM, PEERS, "≤ 0.25 s", _at_most(0.25), note="only Courier replays"),
    Part("Memory an idle connection, 5,000", IDLE, PEERS, "≤ 4 KiB", _at_most(4)),
    Part("Collector: objects an idle connection", IDLE, (FASTAPI,), "≤ 12", _at_most(12), figure=OBJECTS),
    Part("Collector: longest pause, 12,000 join", PAUSES, (FASTAPI,), "≤ 20 ms", _at_most(20)),
    Part("Collector: everything, 12,000 there", PAUSES, (FASTAPI,), "≤ 60 ms", _at_most(60), figure=FULL),
    Part("Deliveries while 12,000 join, leave", PAUSES, (FASTAPI,), figure=P99),
    Part("p99 beside a stalled one", STALLED, (FASTAPI,), "≤ 1.2", _at_most(1.2)),
)


@dataclass
class Run:
    """One comparison: all results, and what could not be had."""

    quick: bool
    results: list[Result] = field(default_factory=list)
    ceilings: dict[str, float] = field(default_factory=dict)
    """For a part's title, the most that the client took: of ready-made bytes, or from a peer."""
    absent: dict[str, str] = field(default_factory=dict)

    def measure(self, part: Part) -> None:
        """Ask all servers of `part` that are here, and the ceiling once."""
        scenario = part.scenario
        if part.figure:
            earlier = next(one for one in self.results if one.part.scenario is scenario)
            self.results.append(Result(part, earlier.asked, earlier.outcomes))
            return
        shape = scenario.shaped(quick=self.quick)
        servers = [server for server in part.servers if server.name not in self.absent]
        if self.quick:
            servers = [server for server in servers if server not in ONCE]
        outcomes = scenario.compare(servers, shape, 1 if self.quick else scenario.repeat, ONCE)
        beside = next((one.value(FASTAPI) for one in self.results if one.part.title == part.beside), None)
        self.results.append(Result(part, scenario.text.format_map(vars(shape)), outcomes, beside))
        if part.ceiling and not self.quick:
            [ceiling] = scenario.compare([JOINING_SENDER], scenario.shaped(quick=True), 1).values()
            reached = [one.first for some in (ceiling, *outcomes.values()) for one in some if not one.failed]
            self.ceilings[part.title] = max(reached)


def cell(result: Result, server: Server) -> str:
    """The figure of `server`, for a table."""
    if result.failed(server):
        return "fails ¹"
    value = result.value(server)
    if value is None:
        return "–"
    alone = server is FASTAPI and result.beside is not None
    prefix = "≥ " if result.limited_by_client(server) else ""
    return f"{prefix}{number(value)}{' (single)' if alone else ''}"
