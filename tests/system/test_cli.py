"""The command line as processes: what refuses to start, and a subscriber at a terminal."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from courier.settings import DEVELOPMENT_SECRET
from tests.system.processes import BIN, COMMANDS, ROOT, a_free_port, a_node, environment
from tests.web.servers import announcement, token

pytestmark = pytest.mark.system

WITHOUT_A_MASTER = ("courier serve", "hypercorn -w 0")
"""The commands whose exit code tells of a refusal: Hypercorn's master ends with 0 whatever a worker says."""


async def run(
    command: Sequence[str], bind: str | None = None, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end."""
    program, *arguments = (part.format(bind=bind or f"127.0.0.1:{a_free_port()}") for part in command)
    with trio.fail_after(20):
        return await trio.run_process(
            [str(BIN / program), *arguments],
            cwd=ROOT,
            env=environment(**variables),
            check=False,
            capture_stdout=True,
            capture_stderr=True,
        )


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_wrong_setting_stops_every_command_with_one_sentence_and_no_traceback(name: str) -> None:
    result = await run(COMMANDS[name], RATE_LIMIT="many")
    assert (result.returncode == 1) == (name in WITHOUT_A_MASTER)
    said = result.stderr.decode()
    assert said.count("COURIER_RATE_LIMIT must be a whole number, not 'many'") == 1
    assert "Traceback" not in said


@pytest.mark.parametrize("name", ["courier serve", "hypercorn", "hypercorn -w 0"])
async def test_what_others_can_reach_is_not_served_by_any_command_while_anybody_can_publish(
    name: str,
) -> None:
    result = await run(COMMANDS[name], bind=f"0.0.0.0:{a_free_port()}")
    assert (result.returncode == 1) == (name in WITHOUT_A_MASTER)
    said = result.stderr.decode()
    assert "COURIER_PUBLISH_AUTH must be" in said
    assert "Traceback" not in said


REFUSED_IN_PRODUCTION = {
    "COURIER_JWT_SECRET (or JWT_SECRET) must be set": {"JWT_SECRET": ""},
    "COURIER_JWT_SECRET (or JWT_SECRET) must have at least 32 bytes": {"JWT_SECRET": "hunter2"},
    "COURIER_JWT_SECRET (or JWT_SECRET) must be set in production, because everybody": {
        "JWT_SECRET": DEVELOPMENT_SECRET
    },
}


async def test_production_refuses_to_start_with_one_sentence_that_names_the_variable() -> None:
    async def start(sentence: str, variables: dict[str, str]) -> None:
        result = await run(COMMANDS["courier serve"], ENV="production", **variables)
        assert result.returncode == 1
        [said] = result.stderr.decode().splitlines()
        assert said.startswith(f"Courier does not start: {sentence}")
        assert "hunter2" not in said

    async with trio.open_nursery() as nursery:
        for sentence, variables in REFUSED_IN_PRODUCTION.items():
            nursery.start_soon(start, sentence, variables)


@pytest.mark.parametrize("worker", ["asyncio", "trio"])
async def test_more_than_one_worker_is_refused(worker: str) -> None:
    result = await run(["hypercorn", "-w", "2", "-k", worker, "-b", "{bind}", "courier.web:app"])
    said = result.stderr.decode()
    assert "start it with one worker, not 2" in said
    assert "Traceback" not in said


async def test_quic_is_refused_and_not_ignored() -> None:
    quic = ["--quic-bind", "127.0.0.1:0"]
    result = await run(["hypercorn", "-w", "0", "-k", "trio", *quic, "-b", "{bind}", "courier.web:app"])
    assert result.returncode == 1
    assert "it does not speak QUIC; leave out --quic-bind" in result.stderr.decode()


@pytest.mark.parametrize("name", ["courier serve"])
async def test_an_address_that_is_taken_is_told_in_one_sentence(name: str, tmp_path: Path) -> None:
    async with a_node(tmp_path / "log") as node:
        result = await run(COMMANDS[name], bind=f"{node.host}:{node.port}")
        assert result.returncode == 1
        said = result.stderr.decode()
        assert f"cannot listen on {node.host}:{node.port}" in said
        assert "Traceback" not in said
        assert (await node.request("GET", "/health/live")).status == 200


async def test_a_subscriber_at_a_terminal_gets_events_only_and_then_the_reason(tmp_path: Path) -> None:
    async with a_node(tmp_path / "log") as node:
        first = (await node.publish("user.u1", announcement("missed"))).json
        since = f"{first['id'].partition('-')[0]}-0"
        process = await trio.lowlevel.open_process(
            [str(BIN / "courier"), "subscribe", "user.u1", "--since", since],
            env=environment(URL=node.url, TOKEN=token()),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            received = b""
            with trio.fail_after(15):
                while b"missed" not in received:
                    received += await process.stdout.receive_some()
                for number in range(10):
                    assert (await node.publish("user.u1", announcement(str(number)))).status == 200
                while received.count(b"\n") < 11:
                    received += await process.stdout.receive_some()
                node.signal_master()
                said = b""
                while chunk := await process.stderr.receive_some():
                    said += chunk
                assert await process.wait() == 1
        finally:
            if process.returncode is None:
                process.kill()
            await process.stdout.aclose()
            await process.stderr.aclose()
        titles = [json.loads(line)["title"] for line in received.splitlines()]
        assert titles == ["missed", *map(str, range(10))]
        assert said.decode().strip() == "Closed: 1001 Server shutting down for maintenance"


async def test_a_subscriber_at_a_terminal_that_is_refused_is_told_why(tmp_path: Path) -> None:
    async with a_node(tmp_path / "log") as node:
        for channel, bearer, reason in (
            ("user.u2", token(), "Closed: 1008 Unauthorized access to channel"),
            ("user.", token(), "Closed: 1008 Unknown channel"),
            ("user.u1", "junk", "Closed: 1008 Invalid token"),
        ):
            result = await run(["courier", "subscribe", channel], URL=node.url, TOKEN=bearer)
            assert (result.returncode, result.stdout) == (1, b"")
            assert result.stderr.decode().strip() == reason
