"""The rest of the benchmark's tools: plans, ledgers, joins from the middle of a tape, the report."""

import socket
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, replace

import pytest

from benchmarks import frames
from benchmarks.joiner import Joiner
from benchmarks.ledger import Ledger
from benchmarks.outcome import Outcome
from benchmarks.plan import Plan
from benchmarks.report import number, table
from benchmarks.results import behind
from benchmarks.scenario import Scenario
from benchmarks.servers import COURIER, FASTAPI, NCHAN, SENDER, Server
from benchmarks.subscriber import Subscriber
from benchmarks.suite import PARTS, Part, Result, Run, cell
from benchmarks.tape import Faults, Mark, Tape, event

CHANNEL = "backtest.test"


def receipt(offset: int, *, channel: str = CHANNEL, epoch: str = "abcdefgh") -> bytes:
    return (
        b'{"status":"published","channel":"%b","event_type":"prophet.message_chunk","clients_reached":0,'
        b'"timestamp":"2026-01-01T00:00:00.000Z","id":"%b-%d"}' % (channel.encode(), epoch.encode(), offset)
    )


def frame(number: int) -> bytes:
    body = event(Mark(0, number), 200)
    return frames.text(b'{"id":"abcdefgh-%d","channel":"backtest.test",%b' % (number + 1, body[1:]))


def test_receipts_that_count_to_n_in_any_order_are_no_fault() -> None:
    ledger = Ledger()
    ledger.note(b'{"results":[%b,%b]}' % (receipt(2), receipt(1, channel="global")))
    ledger.note(receipt(1))
    ledger.note(b"queued messages: 0")
    assert ledger.faults == Faults()
    assert ledger.beginning(CHANNEL) == "abcdefgh-0"
    assert ledger.beginning("backtest.other") is None


@pytest.mark.parametrize(
    ("receipts", "faults"),
    [
        ([receipt(1), receipt(3)], Faults(misnumbered=1)),
        ([receipt(2)], Faults(misnumbered=1)),
        ([receipt(1), receipt(1)], Faults(repeated=1)),
        ([receipt(2), receipt(2), receipt(1)], Faults(repeated=1)),
        ([receipt(1), receipt(4), receipt(4), receipt(1)], Faults(repeated=2, misnumbered=1)),
        ([receipt(1), receipt(2, epoch="hgfedcba")], Faults(misnumbered=1)),
    ],
)
def test_a_position_missing_or_told_twice_is_noticed(receipts: list[bytes], faults: Faults) -> None:
    ledger = Ledger()
    for one in receipts:
        ledger.note(one)
    assert ledger.faults == faults


def test_a_plan_goes_through_its_channels_in_batches_and_ends_with_what_is_left() -> None:
    plan = Plan(["a", "b", "c"], events=8, size=200, rate=None, start=0, batch=5)
    assert plan.take() == ["a", "b", "c", "a", "b"]
    assert plan.take() == ["c", "a", "b"]
    assert plan.done


def test_a_stopped_plan_is_done_with_what_it_has_sent() -> None:
    plan = Plan(["a"], events=8, size=200, rate=None, start=0)
    plan.take()
    plan.stop()
    assert plan.done
    assert plan.events == 1


def test_an_event_of_an_open_loop_is_due_whatever_became_of_those_before() -> None:
    plan = Plan(["a"], events=8, size=200, rate=1000, start=5)
    for _ in range(3):
        plan.take()
    assert plan.due(now=10**12) == 3_000_005


def test_who_comes_back_in_the_middle_needs_what_follows_and_nothing_before() -> None:
    tape = Tape(CHANNEL)
    for ordinal in range(3):
        tape.place(frame(ordinal))
    assert tape.after("abcdefgh-3") == 3
    server, client = socket.socketpair()
    with server, client:
        subscriber = Subscriber(client, tape, tape.after("abcdefgh-3"))
        assert subscriber.complete
        subscriber.take(frame(3) + frame(5))
        assert subscriber.received == 2
        assert tape.faults.misnumbered == 1
        subscriber.take(frame(2))
        assert subscriber.faults.repeated == 1


def test_who_reads_from_the_beginning_must_get_all_of_a_tape() -> None:
    tape = Tape(CHANNEL)
    for ordinal in range(3):
        tape.place(frame(ordinal))
    server, client = socket.socketpair()
    with server, client:
        subscriber = Subscriber(client, tape, tape.after("abcdefgh-0"))
        assert not subscriber.complete
        subscriber.take(frame(0) + frame(2))
        assert subscriber.faults.lost == 1
        subscriber.take(frame(1))
        assert subscriber.complete


def test_a_joiner_hands_over_what_follows_its_101_however_that_is_cut() -> None:
    server, client = socket.socketpair()
    got: list[bytes] = []
    sent: list[None] = []
    with server, client:
        joiner = Joiner(client, b"GET", got.append, lambda: sent.append(None))
        joiner.on_ready()
        assert server.recv(10) == b"GET"
        assert len(sent) == 1
        for piece in (frames.upgraded()[:40], frames.upgraded()[40:] + frame(0)[:7]):
            assert not joiner.done
            server.sendall(piece)
            joiner.on_ready()
        assert joiner.done
    assert got == [frame(0)[:7]]


@dataclass(frozen=True)
class Shape:
    size: int = 1


def scenario(*, less: bool = False) -> Scenario:
    def measure(server: Server, shape: Shape) -> Outcome:
        return Outcome({"things/s": float(shape.size)})

    return Scenario("thing", "{size} things", Shape(), {}, measure, "things/s", less_is_better=less)


def result(mine: float, hub: float, *, less: bool = False, faults: Faults | None = None) -> Result:
    part = Part("Things", scenario(less=less), (FASTAPI,), "≥ 4×", lambda result: result.times(COURIER) == 4)
    outcomes = {
        "Courier": [Outcome({"things/s": mine}, faults or Faults())],
        "FastAPI hub": [Outcome({"things/s": hub})],
    }
    return Result(part, "things", outcomes)


def test_a_ratio_says_how_many_times_better_whichever_way_better_is() -> None:
    assert result(400, 100).times(COURIER) == 4
    assert result(25, 100, less=True).times(COURIER) == 4


def test_a_target_is_missed_by_a_fault_however_quick() -> None:
    assert result(400, 100).met
    assert not result(300, 100).met
    assert result(400, 100, faults=Faults(lost=1)).met is False


def test_a_server_that_fails_is_told_and_not_asked_again() -> None:
    asked = 0

    def measure(server: Server, shape: Shape) -> Outcome:
        nonlocal asked
        asked += 1
        raise OSError("no such thing")

    failing = Scenario("thing", "", Shape(), {}, measure, "things/s")
    outcomes = failing.compare([SENDER], Shape(), 3)
    assert asked == 1
    one = Result(Part("Things", failing, ()), "", outcomes)
    assert one.failed(SENDER) == "no such thing"
    assert cell(one, SENDER) == "fails ¹"
    assert one.met is None


def test_a_figure_that_the_client_may_have_limited_says_so() -> None:
    part = Part("Things", scenario(), (NCHAN,), closed_loop=True)
    outcomes = {"nginx + nchan": [Outcome({"things/s": 9_000, "client busy %": 99})]}
    assert cell(Result(part, "things", outcomes), NCHAN) == "≥ 9,000"


def test_another_figure_of_a_scenario_is_of_the_same_runs_and_less_of_it_is_better() -> None:
    asked = 0

    def measure(server: Server, shape: Shape) -> Outcome:
        nonlocal asked
        asked += 1
        return Outcome({"things/s": 1.0, "µs each": 2.0 if server is COURIER else 5.0})

    thing = replace(scenario(), measure=measure, repeat=1)
    run = Run(quick=False)
    for part in (Part("Things", thing, (FASTAPI,)), Part("Of it", thing, (FASTAPI,), figure="µs each")):
        run.measure(part)
    assert asked == 2
    assert [one.times(COURIER) for one in run.results] == [1.0, 2.5]
    assert [cell(one, COURIER) for one in run.results] == ["1.00", "2.00"]


def test_each_field_of_a_shape_is_an_option_of_its_own_type(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def measure(server: Server, shape: Varied) -> Outcome:
        asked.append(shape)
        return Outcome({"things/s": 1.0})

    monkeypatch.setattr("benchmarks.scenario.take_client_core", lambda: None)
    monkeypatch.setattr(
        sys, "argv", ["thing", "--servers", "sender", "--repeat", "1", "--things", "7", "--seconds", "1.5"]
    )
    Scenario("thing", "{things} {name}", Varied(), {}, measure, "things/s").main()
    assert asked == [Varied(7, 1.5, "x")]
    assert "7 x" in capsys.readouterr().out


@dataclass(frozen=True)
class Varied:
    things: int = 1
    seconds: float = 4
    name: str = "x"


def test_a_server_without_a_parts_figure_has_an_empty_cell() -> None:
    part = Part("Of it", scenario(), (FASTAPI,), figure="objects")
    one = Result(part, "things", {"Courier": [Outcome({"things/s": 1.0})]})
    assert cell(one, COURIER) == "–"
    assert one.met is None


def test_every_figure_of_a_part_has_its_runs_in_an_earlier_part() -> None:
    for place, part in enumerate(PARTS):
        assert not part.figure or part.scenario in [one.scenario for one in PARTS[:place] if not one.figure]


def test_where_courier_is_behind_whom_is_said_and_nothing_else() -> None:
    storm = result(3, 2, less=True)
    ahead = result(400, 100)
    both = result(10, 20)
    both = replace(both, outcomes={**both.outcomes, "Node ws hub": [Outcome({"things/s": 5_000.0})]})
    alone = Result(
        replace(ahead.part, title="Alone"), "", {"Courier": [Outcome({"things/s": 1.0})]}, beside=9
    )
    rows = behind(Run(quick=False, results=[storm, ahead, both, alone]))
    assert [row["Courier"] for row in rows] == ["3.00", "10.0"]
    assert [row["ahead of it"] for row in rows] == ["FastAPI hub 2.00", "FastAPI hub 20.0, Node ws hub 5,000"]


def test_tables_line_up_and_a_row_may_lack_cells() -> None:
    rows = [{"server": "a"}, {"server": "bb", "events/s": "1,000"}]
    lines = table(rows).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[0] == "| server | events/s |"


@pytest.mark.parametrize(
    ("value", "text"), [(0.123, "0.12"), (12.34, "12.3"), (123.4, "123"), (9999.6, "10,000")]
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_the_picture_is_well_formed_and_names_every_part() -> None:
    from benchmarks.chart import chart

    picture = chart(Run(quick=False, results=[result(400, 100), result(10, 100)]), "here · load average 1.0")
    texts = [element.text for element in ElementTree.fromstring(picture).iter() if element.text]
    assert texts.count("Things") == 2
    assert "4.00×" in texts
    assert "0.10×" in texts
    assert not any("load average" in text for text in texts)


def test_every_part_fills_in_what_is_asked() -> None:
    for part in PARTS:
        for quick in (False, True):
            assert "{" not in part.scenario.text.format_map(vars(part.scenario.shaped(quick=quick)))
