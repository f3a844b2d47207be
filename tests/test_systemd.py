"""systemd, without one: what a manager's socket hears, and which sockets are taken."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from courier.systemd import handed_down, open_manager
from tests.system.managers import Ear


@pytest.fixture
def ear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ear]:
    with Ear(f"{tmp_path}/notify") as ear:
        monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/notify")
        yield ear


def status() -> str:
    return "As ever"


async def test_a_manager_hears_that_it_is_ready_that_it_stops_and_that_it_needs_time(
    ear: Ear, autojump_clock: trio.testing.MockClock
) -> None:
    async with open_manager(status) as manager:
        await trio.sleep(60)
        assert ear.heard() == [], "it is not ready yet"
        manager.ready()
        assert ear.heard() == [["READY=1", "STATUS=As ever"]]
        manager.stopping()
        assert ear.heard() == [["STOPPING=1", "STATUS=As ever", "EXTEND_TIMEOUT_USEC=15000000"]]
        await trio.sleep(60)
        assert 10 <= len(ear.heard()) <= 12, "three times as often as it must"


async def test_a_watchdog_is_fed_twice_in_its_time_also_while_the_node_drains(
    ear: Ear, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    async with open_manager(status) as manager:
        for begin in (manager.ready, manager.stopping):
            begin()
            await trio.sleep(4.5)
            heard = ear.heard()
            assert len(heard) in (5, 6), "once at first, and then each second"
            assert all("WATCHDOG=1" in message for message in heard)


async def test_a_loop_that_stands_feeds_no_watchdog(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    async with open_manager(status) as manager:
        manager.ready()
        with trio.fail_after(5):
            while len(ear.heard()) < 1:
                await trio.sleep(0.01)
        time.sleep(0.2)
        assert ear.heard() == []
        with trio.fail_after(5):
            while len(ear.heard()) < 1:
                await trio.sleep(0.01)


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({}, id="none is asked for"),
        pytest.param({"WATCHDOG_USEC": "0"}, id="it is off"),
        pytest.param({"WATCHDOG_USEC": "20000", "WATCHDOG_PID": "1"}, id="it is for another process"),
        pytest.param({"WATCHDOG_USEC": "soon"}, id="it is no number"),
    ],
)
async def test_no_watchdog_is_fed_where(
    ear: Ear,
    variables: dict[str, str],
    autojump_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    async with open_manager(status) as manager:
        manager.ready()
        await trio.sleep(12)
    assert ear.heard() == [["READY=1", "STATUS=As ever"]] * 3


async def test_an_abstract_address_is_spoken_to(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"courier-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
    with Ear(f"\0{name}") as ear:
        async with open_manager(status) as manager:
            manager.ready()
        assert ear.heard() == [["READY=1", "STATUS=As ever"]]


async def test_a_manager_that_is_gone_or_full_holds_nobody_up(
    ear: Ear, autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    async with open_manager(status) as manager:
        manager.ready()
        await trio.sleep(3600)
        assert len(ear.heard()) > 10, "as many as the socket holds"
        (tmp_path / "notify").unlink()
        manager.stopping()
        await trio.sleep(60)


async def test_what_was_asked_of_this_process_is_not_asked_of_its_children(
    ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
        monkeypatch.setenv(name, "1")
    async with open_manager(status):
        handed_down()
        assert not [name for name in os.environ if name.startswith(("NOTIFY_", "WATCHDOG_", "LISTEN_"))]


@pytest.mark.parametrize(
    ("count", "process", "taken"),
    [
        pytest.param("2", str(os.getpid()), [3, 4], id="two for this process"),
        pytest.param("1", "1", [], id="for another process"),
        pytest.param("0", str(os.getpid()), [], id="none"),
        pytest.param("-1", str(os.getpid()), [], id="no number"),
        pytest.param(None, None, [], id="nothing is said"),
    ],
)
def test_the_sockets_that_are_handed_down_are(
    count: str | None, process: str | None, taken: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "set_inheritable", lambda *_: None)  # pytest's own descriptors stand there
    for name, value in (("LISTEN_FDS", count), ("LISTEN_PID", process)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert handed_down() == taken
