"""Rules, dashboard and documents speak of metrics that there are; and the rules do what they say."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric

from courier.metrics import Metrics
from courier.metrics.disk import Disk
from courier.metrics.exposition import registry_of
from tests.test_docs import ROOT

DOCUMENT = ROOT / "docs" / "metrics.md"
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
RULES_TEST = RULES.with_name("alerts_test.yml")
CONFIG = RULES.with_name("prometheus.yml")
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "courier.json"

_NAME = re.compile(r"\b(?:courier|process|python)_[a-z_]+\b(?![\"'])")
_ROW = re.compile(r"^\| `([a-z_]+)` \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)


def families() -> Iterator[Metric]:
    metrics = Metrics()
    metrics.disk = Disk(1)
    return iter(registry_of(metrics).collect())


def told_name(family: Metric) -> str:
    return family.name + "_total" * (family.type == "counter")


def sample_names() -> set[str]:
    """The names that a query may use."""
    names = set()
    for family in families():
        parts = ("_bucket", "_count", "_sum") if family.type == "histogram" else ("",)
        names |= {told_name(family) + part for part in parts}
    return names


def labels(family: Metric) -> set[str]:
    sampled = {label for sample in family.samples for label in sample.labels}
    return {*getattr(family, "_labelnames", ()), *sampled} - {"le"}


def promtool(*arguments: str | Path) -> None:
    """Run it, and fail with what it says when it is not content."""
    command = shutil.which("promtool")
    assert command, "promtool is missing: it is in the package prometheus of Debian"
    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    return found


def queries() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel.get("targets", ())]


def test_the_document_has_a_row_for_each_metric_with_its_labels_and_for_no_other() -> None:
    found = _ROW.findall(DOCUMENT.read_text(encoding="utf-8"))
    rows = {name: set(re.findall(r"`(\w+)`", cell)) for name, cell, *_ in found}
    assert len(rows) == len(found)
    assert rows == {told_name(family): labels(family) for family in families()}


def test_the_rules_and_the_configuration_are_what_prometheus_takes(tmp_path: Path) -> None:
    for file in (RULES, CONFIG):
        shutil.copy(file, tmp_path)
    [secret] = re.findall(r"credentials_file: (\S+)", CONFIG.read_text(encoding="utf-8"))
    (tmp_path / secret).write_text("a token")
    promtool("check", "config", tmp_path / CONFIG.name)


def test_the_rules_fire_and_stay_quiet_as_their_tests_say() -> None:
    promtool("test", "rules", RULES_TEST)


def test_each_alert_is_seen_to_fire_and_to_stay_quiet_and_says_what_to_do() -> None:
    text = RULES.read_text(encoding="utf-8")
    alerts = re.findall(r"- alert: (\w+)", text)
    tests = re.findall(r"- name: (\w+) (fires|stays quiet)$", RULES_TEST.read_text("utf-8"), re.MULTILINE)
    assert len(alerts) > 10
    assert tests == [(alert, what) for alert in alerts for what in ("fires", "stays quiet")]
    assert re.findall(r"runbook: docs/operations\.md#(\w+)", text) == [alert.lower() for alert in alerts]
    for fact in ("severity: (?:critical|warning|info)", "summary: .+", "description: .+"):
        assert len(re.findall(fact, text)) == len(alerts)


def test_alerts_and_dashboard_ask_for_metrics_that_there_are() -> None:
    asked = set(_NAME.findall("\n".join(re.findall("expr: (.+)", RULES.read_text("utf-8")))))
    shown = set(_NAME.findall("\n".join(queries())))
    assert len(asked) > 10
    assert asked | shown <= sample_names()


def test_the_dashboard_shows_every_metric_of_couriers_own_that_can_move() -> None:
    shown = "\n".join(queries())
    own = {told_name(family) for family in families() if family.name.startswith("courier_")}
    assert {name for name in own if name not in shown} == set()


def test_the_dashboards_queries_can_be_read(tmp_path: Path) -> None:
    rules = [
        {"record": f"query:{number}", "expr": query.replace("$__rate_interval", "5m")}
        for number, query in enumerate(queries())
    ]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", "--lint=none", file)


def test_the_dashboards_panels_lie_side_by_side_under_five_rows() -> None:
    rows = [panel["title"] for panel in panels() if panel["type"] == "row"]
    assert rows == ["Traffic", "Latency", "Subscribers and lag", "Losses and refusals", "Node"]
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())


@pytest.mark.parametrize("name", ["datasources/prometheus.yml", "dashboards/courier.yml"])
def test_grafana_is_told_of_both(name: str) -> None:
    text = (DASHBOARD.parents[1] / "provisioning" / name).read_text(encoding="utf-8")
    assert text.startswith("apiVersion: 1\n")
