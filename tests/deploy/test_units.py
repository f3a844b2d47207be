"""systemd's units: it takes them as they are, and they fit the node that they run."""

import shutil
import subprocess
from pathlib import Path

import pytest

from courier.settings import load_settings
from tests.deploy.files import AFTERWARDS_SECONDS, DEPLOY, read_unit
from tests.system.processes import BIN

PROGRAM = "/opt/courier/current/bin"
MOST_EXPOSED = 1.5

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed (Debian: systemd)"
)


def analyze(*arguments: str) -> str:
    """What it says, which is nothing but its answer."""
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@needs_systemd
@pytest.mark.parametrize("instance", ["courier", "courier@8767"])
def test_systemd_takes_the_units_without_a_word(instance: str, tmp_path: Path) -> None:
    for unit in DEPLOY.glob("courier*.s*"):
        text = unit.read_text(encoding="utf-8")
        (tmp_path / unit.name).write_text(text.replace(PROGRAM, str(BIN)), encoding="utf-8")
    units = [str(tmp_path / f"{instance}.{kind}") for kind in ("service", "socket")]
    assert analyze("verify", "--man=no", *units) == ""


@needs_systemd
def test_a_node_is_hardly_exposed() -> None:
    threshold = f"--threshold={10 * MOST_EXPOSED:.0f}"
    assert "Overall exposure level" in analyze(
        "security", "--offline=true", threshold, str(DEPLOY / "courier.service")
    )


def test_the_two_services_differ_in_their_socket_and_their_folder_alone() -> None:
    one, many = read_unit("courier.service"), read_unit("courier@.service")
    own = {
        key: (one["Service"].pop(key), many["Service"].pop(key)) for key in ("StateDirectory", "Environment")
    }
    assert own == {
        "StateDirectory": ("courier", "courier/%i"),
        "Environment": ("COURIER_DATA=%S/courier", "COURIER_DATA=%S/courier/%i"),
    }
    assert one["Service"] == many["Service"]
    assert many["Unit"]["Requires"] == "courier@%i.socket"
    assert read_unit("courier@.socket")["Socket"]["ListenStream"] == "127.0.0.1:%i"


def test_the_socket_is_where_a_node_listens_by_itself() -> None:
    assert read_unit("courier.socket")["Socket"]["ListenStream"] == load_settings({}).bind


def test_a_node_has_the_time_to_drain_and_the_files_for_its_connections() -> None:
    service, settings = read_unit("courier.service")["Service"], load_settings({})
    seconds = settings.drain_delay_seconds + settings.drain_seconds + AFTERWARDS_SECONDS
    assert float(service["TimeoutStopSec"]) > seconds
    assert int(service["LimitNOFILE"]) > settings.max_connections + 4096


def test_a_node_is_ended_by_itself_alone_and_comes_back_whatever_ended_it() -> None:
    service = read_unit("courier.service")["Service"]
    assert service["Type"] == "notify"
    assert service["KillMode"] == "mixed"
    assert service["Restart"] == "always"
    assert float(service["WatchdogSec"]) > 0
    assert read_unit("courier.service")["Unit"]["StartLimitIntervalSec"] == "0"
