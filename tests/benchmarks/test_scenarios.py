"""Each scenario that looks at a node's connections, against a real node, with few of them."""

import math

from benchmarks import idle, joins, pauses
from benchmarks.outcome import Outcome
from benchmarks.servers import COURIER
from benchmarks.tape import Faults


def sound(outcome: Outcome) -> bool:
    finite = all(math.isfinite(value) and value >= 0 for value in outcome.figures.values())
    return finite and not outcome.failed and outcome.faults == Faults() and outcome.published > 0


def test_joins_are_timed_and_everybody_who_joined_gets_an_event() -> None:
    outcome = joins.measure(COURIER, joins.Shape(connections=30, channels=3, in_flight=4))
    assert sound(outcome)
    assert outcome.first > 0
    assert outcome.figures["CPU µs a join"] > 1


def test_an_idle_connection_has_memory_and_objects() -> None:
    outcome = idle.measure(COURIER, idle.Shape(connections=40, channels=2, settle_seconds=0.1))
    assert outcome.faults == Faults()
    assert outcome.figures[idle.OBJECTS] > 1


def test_pauses_are_counted_while_a_crowd_comes_and_goes_and_others_get_events() -> None:
    shape = pauses.Shape(
        connections=1500, channels=3, joins_per_second=1500, leaves_per_second=3000, readers=5, rate=50
    )
    outcome = pauses.measure(COURIER, shape)
    assert sound(outcome)
    assert outcome.figures["pauses"] >= 1
    assert outcome.figures[pauses.FULL] > 0
    assert outcome.figures["objects a connection"] > 1
    assert outcome.figures[pauses.P99] > 0
