"""What is counted, and under which labels, without a node."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import courier
from courier import metrics as metrics_module
from courier.metrics import COMPONENTS, Buckets, Metrics, Sources
from courier.metrics.exposition import NodeCollector
from courier.metrics.histogram import Histogram
from courier.metrics.sources import MOST_NAMES
from courier.metrics.traffic import GAP, LATENCY_SECONDS, Traffic
from courier.schemas.closing import CloseReason


class An(NamedTuple):
    """An entry of a log."""

    event_type: str
    arrived_ms: int


@given(
    entries=st.lists(st.builds(An, st.sampled_from(["a", "b", "strange"]), st.integers(0, 3000)), max_size=9),
    subscribers=st.integers(1, 5),
)
def test_a_page_counts_as_its_entries_one_by_one_for_each_who_got_it(
    entries: list[An], subscribers: int
) -> None:
    entries.sort(key=lambda entry: entry.arrived_ms)
    at_once, one_by_one = Traffic(["a", "b"]), Traffic(["a", "b"])
    at_once.deliver(entries, subscribers, 2000)
    for entry in entries:
        for _ in range(subscribers):
            one_by_one.deliver([entry], 1, 2000)
    assert at_once.delivered == one_by_one.delivered
    assert at_once.message_latency.counts == one_by_one.message_latency.counts
    assert at_once.message_latency.sum == pytest.approx(one_by_one.message_latency.sum)
    assert sum(at_once.delivered.values()) == len(entries) * subscribers


def test_a_gap_within_a_page_is_a_gap_for_each_and_no_event() -> None:
    traffic = Traffic(["a"])
    page = [An("a", 0), An(GAP + "unknown_position", 5), An("a", 10)]
    traffic.deliver(page, 3, 10)
    traffic.replay(page)
    assert traffic.delivered == {"a": 8, "other": 0}
    assert traffic.gaps == {"expired": 0, "unknown_position": 4, "overrun": 0}
    assert (sum(traffic.message_latency.counts), traffic.replayed) == (6, 2)


def test_a_value_on_a_bound_belongs_to_the_bucket_that_it_ends() -> None:
    histogram = Histogram((1.0, 2.0))
    for value, times in ((0.0, 1), (1.0, 2), (1.1, 3), (2.0, 4), (2.1, 5)):
        histogram.observe(value, times)
    assert histogram.counts == [3, 7, 5]
    assert histogram.sum == pytest.approx(2 + 3.3 + 8 + 10.5)


def test_an_event_that_seems_to_come_before_it_arrived_took_no_time() -> None:
    traffic = Traffic(["a"])
    traffic.deliver([An("a", 100)], 1, 40)
    assert (traffic.message_latency.counts[0], traffic.message_latency.sum) == (1, 0)


def test_with_open_publishing_the_first_names_that_published_are_known() -> None:
    sources = Sources(["named"], newcomers=2)
    assert [sources.label(name) for name in ("named", "one", None)] == ["named", "other", "other"]
    assert [sources.published(name) for name in ("one", "one", "two", "three", "named", "one")] == [
        "one",
        "one",
        "two",
        "other",
        "named",
        "one",
    ]
    assert [sources.label(name) for name in ("one", "two", "three")] == ["one", "two", "other"]


def test_with_tokens_only_who_has_shown_a_good_one_is_known_and_of_those_not_too_many() -> None:
    sources = Sources()
    assert sources.published("unverified") == "other"
    for number in range(MOST_NAMES + 5):
        sources.verified(f"s{number}")
    labels = {sources.label(f"s{number}") for number in range(MOST_NAMES + 5)}
    assert len(labels) == MOST_NAMES + 1


def test_what_callers_can_spread_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "MOST_SERIES", 3)
    types = [f"type.{number}" for number in range(5)]
    metrics = Metrics(types, Sources(["named"]))
    for _ in range(2):
        for event_type in types:
            metrics.published("user", "named", [event_type], 0.0)
            metrics.invalid_event(event_type, "named")
    named = {("user", event_type, "named"): 2 for event_type in types[:3]}
    others = {("user", event_type, "other"): 2 for event_type in types[3:]}
    assert metrics.events == named | others
    assert len(metrics.invalid) == 6
    assert metrics.invalid["type.4", "other"] == 2


def test_errors_have_as_many_classes_as_there_is_room_for() -> None:
    metrics = Metrics()
    for number in range(200):
        metrics.error("wire", type(f"Error{number}", (Exception,), {})())
    assert len(metrics.errors) == 100
    assert metrics.errors["other", "wire"] == 200


def test_the_first_error_of_a_class_is_a_rise_of_what_was_there_before() -> None:
    metrics = Metrics()
    assert set(metrics.errors.values()) == {0}
    before = dict(metrics.errors)
    metrics.error("wire", ValueError())
    assert metrics.errors == before | {("other", "wire"): 1, ("ValueError", "wire"): 0}
    metrics.error("wire", ValueError())
    assert metrics.errors == before | {("other", "wire"): 1, ("ValueError", "wire"): 1}


def test_every_component_that_the_code_names_is_counted_from_the_start() -> None:
    calls = re.compile(r"""\b_?error\(\s*"(\w+)",|metrics\.error, "(\w+)"\)""")
    code = "".join(file.read_text(encoding="utf-8") for file in Path(courier.__file__).parent.rglob("*.py"))
    named = {one or other for one, other in calls.findall(code)}
    assert named == set(COMPONENTS)


def test_totals_are_over_all_kinds_and_do_not_change_afterwards() -> None:
    metrics = Metrics(["a"], Sources(["s"]), ["global", "user", "strategy"])
    metrics.published("user", "s", ["a", "a"], 0.003)
    metrics.published("global", "s", ["a"], 2.0)
    metrics.traffic["user"].deliver([An("a", 0)], 4, 30)
    metrics.traffic["global"].replay([An("a", 0)])
    metrics.traffic["strategy"].gap("expired")
    metrics.evicted("stalled")
    metrics.publish_refused(400)
    metrics.publish_refused(429)
    metrics.rate_exceeded("s")
    metrics.join_refused(CloseReason.INVALID_TOKEN)
    metrics.error("wire", ValueError())
    totals = metrics.totals()
    metrics.evicted("stalled")
    assert (totals.published, totals.delivered, totals.replayed, totals.gaps) == (3, 5, 1, 1)
    assert (totals.evictions, totals.refused_publishes, totals.refused_joins) == (1, 2, 1)
    assert (totals.errors, totals.rate_limited) == (1, 1)
    assert totals.publish_latency == Buckets(LATENCY_SECONDS, (0, 2, 0, 0, 0, 0, 0, 0, 0, 1))
    assert totals.message_latency == Buckets(LATENCY_SECONDS, (0, 0, 0, 0, 4, 0, 0, 0, 0, 0))


def test_buckets_are_told_as_prometheus_has_them() -> None:
    metrics = Metrics()
    metrics.lagging([5, 20_000], current=3)
    [lag] = [f for f in NodeCollector(metrics).collect() if f.name == "courier_subscriber_lag_events"]
    told = {sample.labels.get("le", sample.name): sample.value for sample in lag.samples}
    assert told == {
        "0.0": 3,
        "1.0": 3,
        "10.0": 4,
        "100.0": 4,
        "1000.0": 4,
        "10000.0": 4,
        "+Inf": 5,
        "courier_subscriber_lag_events_count": 5,
        "courier_subscriber_lag_events_sum": 20_005,
    }
