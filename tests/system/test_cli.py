"""The command line as processes: what refuses to start, and a subscriber at a terminal."""

import json
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from courier.settings import DEVELOPMENT_SECRET
from courier.web.server import open_server
from tests.backplane.redis_servers import redis_server
from tests.system.processes import BIN, COMMANDS, ROOT, a_free_port, a_node, environment
from tests.web.servers import TestServer, announcement, settings_for, token

pytestmark = pytest.mark.system


async def run(
    command: Sequence[str], bind: str | None = None, **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end."""
    bind = bind or f"127.0.0.1:{a_free_port()}"
    program, *arguments = (part.replace("{bind}", bind) for part in command)
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
    assert result.returncode != 0
    said = result.stderr.decode()
    assert said.count("COURIER_RATE_LIMIT must be a whole number, not 'many'") == 1
    assert "Traceback" not in said


@pytest.mark.parametrize("name", ["courier serve", "hypercorn", "hypercorn -w 0"])
async def test_what_others_can_reach_is_not_served_by_any_command_while_anybody_can_publish(
    name: str,
) -> None:
    result = await run(COMMANDS[name], bind=f"0.0.0.0:{a_free_port()}")
    assert result.returncode != 0
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


PATIENCE_SECONDS = 40
"""Whoever comes back again and again may wait long for the last time."""


class Terminal:
    """A command that runs: what it has said so far, and its end."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdout is not None
        assert process.stderr is not None
        self.process = process
        self._streams = {"out": process.stdout, "err": process.stderr}
        self._said = {"out": b"", "err": b""}

    async def write(self, text: str) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send_all(text.encode())

    async def said(self, lines: int, where: str = "out") -> list[str]:
        """So many lines, once they have come."""
        with trio.fail_after(PATIENCE_SECONDS):
            while self._said[where].count(b"\n") < lines:
                chunk = await self._streams[where].receive_some()
                assert chunk, self._said
                self._said[where] += chunk
        return self._said[where].decode().splitlines()[:lines]

    async def end(self) -> tuple[int, list[str]]:
        """The exit code, and all lines of standard error."""
        with trio.fail_after(PATIENCE_SECONDS):
            while chunk := await self._streams["err"].receive_some():
                self._said["err"] += chunk
            return await self.process.wait(), self._said["err"].decode().splitlines()


@asynccontextmanager
async def running(*command: str, **variables: str) -> AsyncIterator[Terminal]:
    process = await trio.lowlevel.open_process(
        [str(BIN / "courier"), *command],
        env=environment(**variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # As at a terminal: a job in the background of a shell, as the tests may be, ignores Ctrl-C.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield Terminal(process)
    finally:
        if process.returncode is None:
            process.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream is not None
            await stream.aclose()
        await process.wait()


async def test_a_subscriber_at_a_terminal_gets_events_only_and_then_the_reason(tmp_path: Path) -> None:
    async with a_node(tmp_path / "log") as node:
        first = (await node.publish("user.u1", announcement("missed"))).json
        since = f"{first['id'].partition('-')[0]}-0"
        command = ("subscribe", "user.u1", "--since", since, "--json")
        async with running(*command, URL=node.url, TOKEN=token()) as terminal:
            await terminal.said(1)
            for number in range(10):
                assert (await node.publish("user.u1", announcement(str(number)))).status == 200
            titles = [json.loads(line)["title"] for line in await terminal.said(11)]
            assert titles == ["missed", *map(str, range(10))]
            node.signal_master()
            assert await terminal.end() == (1, ["Closed: 1001 Server shutting down for maintenance"])


async def test_a_subscriber_that_follows_comes_back_at_its_slot_and_is_told_what_it_missed(
    tmp_path: Path,
) -> None:
    bind = f"127.0.0.1:{a_free_port()}"
    async with a_node(tmp_path / "first", bind=bind) as node:
        first = (await node.publish("user.u1", announcement("before"))).json
        since = f"{first['id'].partition('-')[0]}-0"
        arguments = ("subscribe", "user.u1", "--since", since, "--follow")
        async with running(*arguments, URL=node.url, TOKEN=token()) as terminal:
            assert "title=before" in (await terminal.said(1))[0]
            node.signal_master()
            await node.exit_code()
            async with a_node(tmp_path / "second", bind=bind) as successor:
                told = await terminal.said(2, "err")
                while "Gap in user.u1" not in told[-1]:
                    told = await terminal.said(len(told) + 1, "err")
                assert "1001 Server shutting down for maintenance; coming back in 0.0 s" in told[0]
                assert f"some events after {first['id']} are missing (unknown_position)" in told[-1]
                await successor.publish("user.u1", announcement("after"))
                assert "title=after" in (await terminal.said(2))[1]
                terminal.process.send_signal(signal.SIGINT)
                code, said = await terminal.end()
                assert (code, said) == (130, told)


async def test_a_subscriber_that_follows_a_quiet_channel_misses_nothing_while_its_node_is_away(
    tmp_path: Path,
) -> None:
    bind = f"127.0.0.1:{a_free_port()}"
    with redis_server() as redis:
        shared = {"REDIS_URL": redis.url, "DRAIN_SECONDS": "1"}
        async with a_node(tmp_path / "other", **shared) as other, AsyncExitStack() as until_it_leaves:
            first = await until_it_leaves.enter_async_context(a_node(tmp_path / "first", bind=bind, **shared))
            command = ("subscribe", "user.u1", "--follow", "--json")
            async with running(*command, URL=first.url, TOKEN=token()) as terminal:
                while (await first.request("GET", "/health")).json["metrics"]["active_connections"] < 1:
                    await trio.sleep(0.02)
                first.signal_master()
                await first.exit_code()
                assert (await other.publish("user.u1", announcement("meanwhile"))).status == 200
                async with a_node(tmp_path / "second", bind=bind, **shared):
                    [line] = await terminal.said(1)
                    assert json.loads(line)["title"] == "meanwhile"


async def test_a_subscriber_that_follows_does_not_come_back_in_vain(tmp_path: Path) -> None:
    async with a_node(tmp_path / "log") as node:
        result = await run(["courier", "subscribe", "user.u2", "--follow"], URL=node.url, TOKEN=token())
        assert (result.returncode, result.stdout) == (1, b"")
        assert result.stderr.decode().strip() == "Closed: 1008 Unauthorized access to channel"


async def test_what_is_piped_in_is_published_line_by_line_as_it_comes(tmp_path: Path) -> None:
    async with a_node(tmp_path / "log") as node, running("publish", "global", "--json", URL=node.url) as shop:
        for number in (1, 2):
            await shop.write(json.dumps(announcement(str(number))) + "\n")
            receipt = json.loads((await shop.said(number))[-1])
            assert (receipt["line"], receipt["status"]) == (number, "published")
            assert receipt["id"].endswith(f"-{number}")
        await shop.write('{"type":"acme.unknown","source":"tests"}\n')
        assert json.loads((await shop.said(3))[-1])["code"] == 400
        assert shop.process.stdin is not None
        await shop.process.stdin.aclose()
        assert await shop.end() == (1, ["2 published, 1 refused"])


async def test_a_file_is_published_and_its_history_read_back(tmp_path: Path) -> None:
    events = tmp_path / "events.ndjson"
    events.write_text("".join(json.dumps(announcement(str(number))) + "\n" for number in range(2500)))
    async with a_node(tmp_path / "log") as node:
        result = await run(["courier", "publish", "user.u1", str(events)], URL=node.url)
        assert (result.returncode, result.stdout) == (0, b"")
        assert result.stderr.decode().strip() == "2,500 published, 0 refused"

        history = ["courier", "history", "user.u1", "--json"]
        newest = await run([*history, "--limit", "2"], URL=node.url, TOKEN=token())
        assert [json.loads(line)["title"] for line in newest.stdout.splitlines()] == ["2498", "2499"]
        epoch = json.loads(newest.stdout.splitlines()[0])["id"].partition("-")[0]
        asked = [*history, "--limit", "1700", "--since", f"{epoch}-500"]
        result = await run(asked, URL=node.url, TOKEN=token())
        titles = [json.loads(line)["title"] for line in result.stdout.splitlines()]
        assert titles == [str(number) for number in range(500, 2200)]
        assert (result.returncode, result.stderr) == (0, b"")


def _deep(levels: int) -> str:
    deep = f"{'[' * (levels - 2)}{']' * (levels - 2)}"
    fields = {
        "type": "backtest.started",
        "source": "tests",
        "backtest_id": "b",
        "job_id": "j",
        "user_id": "u1",
    }
    return json.dumps(fields)[:-1] + f',"parameters":{{"deep":{deep}}}}}'


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"type":"system.announcement","source":"tests","title":"\\ud800"}', "400 Event is no JSON"),
        (_deep(250), "400 Event is no JSON: it is nested too deeply"),
        (_deep(5_000), "400 Event is no JSON: it is nested too deeply"),
        (_deep(200), None),
        (_deep(197), None),
        ('{"type":"acme.none","source":"tests"}', "400 Invalid event schema"),
        ('{"source":"tests","type":"' + "x" * 1_100_000 + '"}', "413 Request body is too large"),
    ],
    ids=["surrogate", "250", "5000", "200", "197", "unknown", "large"],
)
async def test_one_bad_line_is_named_and_every_good_line_is_published(
    tmp_path: Path, line: str, why: str | None
) -> None:
    lines = [json.dumps(announcement("first")), line, json.dumps(announcement("last"))]
    (tmp_path / "events").write_text("\ufeff" + "\n".join(lines))
    async with open_server(settings_for()) as url:
        result = await run(["courier", "publish", "global", str(tmp_path / "events"), "--json"], URL=url)
    told = [json.loads(each) for each in result.stdout.splitlines()]
    failed = [f"{each['code']} {each['error']}" for each in told if each["status"] != "published"]
    assert [each["line"] for each in told] == [1, 2, 3]
    assert (result.returncode, len(failed)) == (int(bool(why)), int(bool(why))), told
    assert why is None or failed[0].startswith(why)


@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        (["history", "user.u2"], 1, "403 Unauthorized access to channel"),
        (["history", "user.u1", "--since", "x"], 1, "400 Unreadable since: expected a position"),
        (["publish", "user/u1"], 2, "Not a channel's name: expected segments of 1 to 128 of"),
        (["publish", "global", "{tmp}/none"], 2, "No such file or directory"),
        (["publish", "global", "{tmp}/empty"], 2, "There was no event to publish"),
        (["publish", "global", "{tmp}/two"], 1, 'line 1: 400 Event has no "source"'),
        (["subscribe", "global", "--url", "http://127.0.0.1:1"], 3, "No node at http://127.0.0.1:1: "),
        (["history", "global", "--url", "http://127.0.0.1:1"], 3, "No node at http://127.0.0.1:1: "),
        (
            ["publish", "global", "{tmp}/one", "--url", "http://127.0.0.1:1", "--patience", "0"],
            3,
            "No node at http://127.0.0.1:1: ",
        ),
    ],
)
async def test_a_command_that_fails_says_why_by_a_sentence_and_an_exit_code(
    tmp_path: Path, command: list[str], code: int, sentence: str
) -> None:
    (tmp_path / "empty").write_text("\n\n")
    (tmp_path / "one").write_text(json.dumps(announcement()))
    (tmp_path / "two").write_text("{}\n" + json.dumps(announcement()))
    async with open_server(settings_for()) as url:
        arguments = [part.replace("{tmp}", str(tmp_path)) for part in command]
        result = await run(["courier", *arguments], URL=url, TOKEN=token())
    assert result.returncode == code
    said = result.stderr.decode()
    assert sentence in said
    assert "Traceback" not in said
    assert result.stdout == b""


@pytest.mark.parametrize(
    ("arguments", "broken", "code"),
    [
        ("history user.u1 --json", "full", 4),
        ("history user.u1", "pipe", 4),
        ("subscribe user.u1 --since {first}", "pipe", 4),
        ("subscribe user.u1 --since {first} --json --follow", "full", 4),
        ("publish global {file} --json", "full", 4),
        ("publish global {file}", "full", 0),
        ("demo --seconds 10", "pipe", 4),
        ("demo --seconds 10", "full", 4),
        ("token user u1", "full", 4),
        ("contract json-schema", "pipe", 4),
        ("subscribe --help", "full", 4),
    ],
)
async def test_output_that_cannot_be_written_is_a_sentence_and_an_exit_code(
    tmp_path: Path, arguments: str, broken: str, code: int
) -> None:
    (tmp_path / "file").write_text(json.dumps(announcement()) + "\n")
    read_end, write_end = os.pipe()
    os.close(read_end)
    async with open_server(settings_for()) as url:
        first = (await TestServer(url).publish("user.u1", announcement("1"))).json["id"]
        await TestServer(url).publish("user.u1", announcement("2"))
        command = [str(BIN / "courier"), *arguments.format(first=first, file=tmp_path / "file").split()]
        with open(write_end, "wb") as pipe, open("/dev/full", "wb") as full, trio.fail_after(20):
            result = await trio.run_process(
                command,
                env=environment(URL=url, TOKEN="" if "publish" in arguments else token()),
                check=False,
                stdout={"full": full, "pipe": pipe}[broken],
                capture_stderr=True,
            )
    said = (result.stderr or b"").decode()
    reason = {"full": "No space left on device", "pipe": "Broken pipe"}[broken]
    sentences = [f"Cannot write to standard output: {reason}"] if code else []
    if "publish" in arguments:
        assert said.startswith("1 published, 0 refused, and no more were tried" if code else "Published as")
        said = "".join(said.splitlines(keepends=True)[1:])
    if "demo" in arguments:
        said = said.splitlines()[-1]  # the node's log comes before
    assert (result.returncode, said.splitlines()) == (code, sentences)


async def test_a_standard_error_that_cannot_be_written_changes_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("nope\n" + json.dumps(announcement()) + "\n")
    async with open_server(settings_for()) as url:
        with open("/dev/full", "wb") as full, trio.fail_after(20):
            result = await trio.run_process(
                [str(BIN / "courier"), "publish", "global", str(tmp_path / "file"), "--json"],
                env=environment(URL=url),
                check=False,
                capture_stdout=True,
                stderr=full,
            )
    assert [json.loads(line)["status"] for line in (result.stdout or b"").splitlines()] == [
        "failed",
        "published",
    ]
    assert result.returncode == 1


async def test_a_user_of_an_identity_provider_gets_events_by_every_command(tmp_path: Path) -> None:
    user = "auth0|urn:acme:7+b@example~"
    channel = f"user.{user}"
    (tmp_path / "file").write_text(json.dumps(announcement("hello")) + "\n")
    async with open_server(settings_for()) as url:
        minted = (await run(["courier", "token", "user", user])).stdout.decode().strip()
        published = await run(["courier", "publish", channel, str(tmp_path / "file"), "--json"], URL=url)
        receipt = json.loads(published.stdout)
        assert receipt["channel"] == channel
        result = await run(["courier", "history", channel, "--json"], URL=url, TOKEN=minted)
        assert json.loads(result.stdout)["channel"] == channel
        since = f"{receipt['id'].partition('-')[0]}-0"
        async with running(
            "subscribe", channel, "--since", since, "--json", URL=url, TOKEN=minted
        ) as terminal:
            [line] = await terminal.said(1)
            assert (json.loads(line)["channel"], json.loads(line)["title"]) == (channel, "hello")


async def test_a_subscriber_at_a_terminal_that_is_refused_is_told_why(tmp_path: Path) -> None:
    async with open_server(settings_for()) as url:
        for channel, bearer, reason in (
            ("user.u2", token(), "Closed: 1008 Unauthorized access to channel"),
            ("user.", token(), "Closed: 1008 Unknown channel"),
            ("user.u1", "junk", "Closed: 1008 Invalid token"),
        ):
            result = await run(["courier", "subscribe", channel], URL=url, TOKEN=bearer)
            assert (result.returncode, result.stdout) == (1, b"")
            assert result.stderr.decode().strip() == reason


def test_events_of_ones_own_are_found_as_the_readme_says(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [(name, module)] = re.findall(r"```python\n# (acme/\S+)\n(.*?)```", readme, re.DOTALL)
    (tmp_path / name).parent.mkdir()
    (tmp_path / name).write_text(module, encoding="utf-8")
    [variables] = re.findall(
        r"^(.*COURIER_EVENT_MODULES=\S+) \.venv/bin/courier serve$", readme, re.MULTILINE
    )
    for given, code in ((variables, 0), (variables.partition("PYTHONPATH=. ")[2], 1)):
        done = subprocess.run(
            ["sh", "-c", f"{given} {BIN}/courier check"],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == code, done.stderr


async def test_the_demo_shows_events_and_misses_none() -> None:
    result = await run(["courier", "demo", "--seconds", "2"])
    assert result.returncode == 0
    shown = re.search(rb"(\d+) events received, none missing", result.stdout + result.stderr)
    assert shown, result.stdout + result.stderr
    assert int(shown[1]) > 0
