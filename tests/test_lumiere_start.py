"""What `make lumiere` says when it cannot start as it should."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.lumiere.node import NodeFailed, keep_a_node
from examples.lumiere.pace import choose_pace
from examples.lumiere.ports import choose_port
from tests.browser.conftest import a_node
from tests.web.servers import SECRET

VARIABLE = "LUMIERE_PORT"


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_another_port_is_told_when_the_usual_one_is_taken(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    told: list[str] = []
    port = choose_port(VARIABLE, taken, told.append)
    assert port != taken
    assert told == [f"Port {taken} is taken, so it is {port} this time ({VARIABLE} names another)."]


def test_a_port_that_one_names_is_had_or_the_program_ends(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for said, why in (
        (str(taken), "this port is taken"),
        ("x", "this is no port"),
        ("65536", "this is no port"),
    ):
        monkeypatch.setenv(VARIABLE, said)
        with pytest.raises(SystemExit, match=f"^{VARIABLE}={said}: {why}$"):
            choose_port(VARIABLE, 8780, pytest.fail)


@pytest.mark.parametrize("said", ["0", "-1", "nan", "inf", "fast"])
def test_what_is_no_pace_ends_the_program(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUMIERE_PACE", said)
    with pytest.raises(SystemExit, match=f"^LUMIERE_PACE={said}: a pace is a number above 0"):
        choose_pace()


def test_a_node_whose_port_another_node_has_is_not_started_for_ever(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[str] = []
    with a_node(tmp_path / "log") as node, pytest.raises(NodeFailed, match="Courier has failed"):
        bind = node.url.removeprefix("http://")
        asyncio.run(keep_a_node(bind, SECRET, "http://127.0.0.1:1", told.append))
    assert len(told) == 1  # the other node is taken for it, until it ends
    assert f"cannot listen on {bind}" in capfd.readouterr().err
