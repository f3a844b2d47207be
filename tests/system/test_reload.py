"""SIGHUP: certificates and the log level are taken anew, and no node ends."""

import signal
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio
import trustme

from tests.system.processes import BIN, COMMANDS, NodeProcess, a_free_port, a_node, environment
from tests.web.servers import announcement

pytestmark = pytest.mark.system


async def until_said(log: Path, sentence: str, times: int = 1) -> None:
    with trio.fail_after(10):
        while log.read_text().count(sentence) < times:
            await trio.sleep(0.02)


@pytest.mark.parametrize(
    "command", [COMMANDS["courier serve"], COMMANDS["hypercorn -w 0"]], ids=["serve", "-w 0"]
)
async def test_a_hangup_ends_no_node(command: Sequence[str], tmp_path: Path) -> None:
    async with a_node(tmp_path / "log", command) as node, node.subscribe() as websocket:
        for times in (1, 2):
            node.signal_master(signal.SIGHUP)
            await until_said(tmp_path / "log", "Settings reloaded", times)
        await node.publish("user.u1", announcement("after"))
        with trio.fail_after(5):
            assert "after" in await websocket.get_message()


async def test_under_hypercorns_master_a_hangup_is_a_restart_with_a_drain(tmp_path: Path) -> None:
    async with a_node(tmp_path / "log", COMMANDS["hypercorn"]) as node:
        node.signal_master(signal.SIGHUP)
        await until_said(tmp_path / "log", '"Drained"')
        await until_said(tmp_path / "log", '"Listening"', 2)
        assert node.process.returncode is None


def certificate(authority: trustme.CA, folder: Path) -> None:
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "pem")


def serial_number(port: int, authority: trustme.CA) -> object:
    """Of the certificate that a new connection is shown."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as shown,
    ):
        found = shown.getpeercert()
        assert found is not None
        return found["serialNumber"]


async def test_new_connections_get_a_renewed_certificate_and_a_broken_one_changes_nothing(
    tmp_path: Path,
) -> None:
    authority, port, log = trustme.CA(), a_free_port(), tmp_path / "log"
    certificate(authority, tmp_path)
    (tmp_path / ".env").write_text("COURIER_LOG_LEVEL=info\n")
    pem = str(tmp_path / "pem")
    with log.open("wb") as stderr:
        process = await trio.lowlevel.open_process(
            [
                str(BIN / "courier"),
                "serve",
                f"--bind=127.0.0.1:{port}",
                f"--certfile={pem}",
                f"--keyfile={pem}",
            ],
            cwd=tmp_path,
            env=environment(),
            stderr=stderr,
        )
    try:
        await until_said(log, "Listening")
        first = serial_number(port, authority)
        assert serial_number(port, authority) == first

        certificate(authority, tmp_path)
        (tmp_path / ".env").write_text("COURIER_LOG_LEVEL=debug\n")
        process.send_signal(signal.SIGHUP)
        await until_said(log, '"log_level": "debug"')
        second = serial_number(port, authority)
        assert second != first

        Path(pem).write_text("no certificate")
        (tmp_path / ".env").write_text("COURIER_LOG_LEVEL=loud\n")
        process.send_signal(signal.SIGHUP)
        await until_said(log, "Certificate not renewed: the one before is in use")
        await until_said(log, "Settings not reloaded")
        assert serial_number(port, authority) == second
        assert process.returncode is None
    finally:
        process.kill()
        await process.wait()


async def test_a_node_whose_log_level_becomes_debug_tells_of_each_event(tmp_path: Path) -> None:
    log, port = tmp_path / "log", a_free_port()
    with log.open("wb") as stderr:
        process = await trio.lowlevel.open_process(
            [str(BIN / "courier"), "serve", f"--bind=127.0.0.1:{port}"],
            cwd=tmp_path,
            env=environment(),
            stderr=stderr,
        )
    try:
        node = NodeProcess(f"http://127.0.0.1:{port}", process, log)
        await until_said(log, "Listening")
        await node.publish("user.u1", announcement())
        (tmp_path / ".env").write_text("COURIER_LOG_LEVEL=debug\n")
        process.send_signal(signal.SIGHUP)
        await until_said(log, "Settings reloaded")
        assert "Event published" not in log.read_text()
        await node.publish("user.u1", announcement())
        await until_said(log, "Event published")
    finally:
        process.kill()
        await process.wait()
