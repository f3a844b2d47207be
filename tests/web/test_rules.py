"""Rules: matched as Quart's own, and their URLs made when they are asked for."""

import pytest
from quart.routing import QuartRule
from werkzeug.routing import Map

from courier.web.rules import Rule


def test_making_a_rule_compiles_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[bool] = []
    monkeypatch.setattr(QuartRule, "_compile_builder", lambda self, unknown=True: compiled.append(unknown))
    urls = Map([Rule("/history/<path:channel>", endpoint="history")]).bind("node")
    assert urls.match("/history/user.u1") == ("history", {"channel": "user.u1"})
    assert compiled == []


def test_a_url_is_made_when_it_is_asked_for() -> None:
    urls = Map([Rule("/history/<path:channel>", endpoint="history")]).bind("node")
    assert urls.build("history", {"channel": "user.u1"}) == "/history/user.u1"
    assert urls.build("history", {"channel": "user.u1", "limit": "1"}) == "/history/user.u1?limit=1"
