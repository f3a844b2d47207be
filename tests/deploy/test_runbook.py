"""The runbook: each alert has its section, each setting is one, and each file is there."""

import re

from courier.settings import CLIENT_VARIABLES
from tests.deploy.files import ROOT, SETTINGS, read_yaml

RUNBOOK = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^### (Courier\w+)$", RUNBOOK, re.MULTILINE)


def test_each_alert_has_a_section_where_it_says_and_each_section_an_alert() -> None:
    rules = [rule for group in read_yaml("prometheus/alerts.yml")["groups"] for rule in group["rules"]]
    assert sorted(rule["alert"] for rule in rules) == sorted(SECTIONS)
    for rule in rules:
        assert rule["annotations"]["runbook"].endswith(f"docs/operations.md#{rule['alert'].lower()}")


def test_each_setting_in_it_is_one() -> None:
    named = set(re.findall(r"COURIER_[A-Z_]+", RUNBOOK))
    assert len(named) > 15
    assert named <= SETTINGS | CLIENT_VARIABLES


def test_each_file_in_it_is_there() -> None:
    named = set(re.findall(r"deploy/[\w./@-]+\w", RUNBOOK)) - {"deploy/.env", "deploy/prometheus/alerts.yml"}
    assert len(named) > 8
    assert [name for name in named if not (ROOT / name).exists()] == []
