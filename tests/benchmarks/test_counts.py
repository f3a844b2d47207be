"""What a process says of its objects and its collections is so."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.counts import count, counted
from benchmarks.process import Running
from benchmarks.servers import NODE, Server

PROGRAM = """
import sys
kept = []
print("ready", *sys.argv[1:], flush=True)
for line in sys.stdin:
    for _ in range(int(line)):
        kept.append([])
    print("done", flush=True)
"""


class Program:
    """A process that keeps as many lists more as it is told, and counts them."""

    def __init__(self, process: subprocess.Popen[str], running: Running) -> None:
        self._process = process
        self.running = running

    def keep(self, lists: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{lists}\n")
        self._process.stdin.flush()
        assert self.line() == "done"

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def program(folder: Path) -> Iterator[Program]:
    (folder / "program.py").write_text(PROGRAM)
    server = counted(
        Server("program", (sys.executable, "program.py", "a", "word"), interpreter=sys.executable)
    )
    with subprocess.Popen(
        server.command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Program(process, Running(server, 0, "", process.pid, folder))
        finally:
            process.kill()


def test_every_object_more_and_every_collection_is_counted(tmp_path: Path) -> None:
    with program(tmp_path) as one:
        assert one.line() == "ready a word"
        first = count(one.running, collect=True)
        one.keep(10_000)
        second = count(one.running)
        assert 10_000 <= second.objects - first.objects <= 10_050
        assert second.blocks - first.blocks >= 10_000
        assert second.pauses[0].count >= 10_000 // 700 - 2
        assert second.pauses[0].total_ms >= second.pauses[0].longest_ms > 0
        milliseconds, generation = second.longest
        assert milliseconds == max(some.longest_ms for some in second.pauses.values())
        assert second.pauses[generation].longest_ms == milliseconds
        assert second.full_ms is None


def test_a_collection_that_was_asked_for_is_timed_and_is_no_pause(tmp_path: Path) -> None:
    with program(tmp_path) as one:
        one.line()
        few = count(one.running, collect=True)
        one.keep(300_000)
        count(one.running)
        many = count(one.running, collect=True)
        assert many.full_ms is not None
        assert few.full_ms is not None
        assert many.full_ms > few.full_ms
        assert not many.pauses


def test_what_is_no_python_program_stays_as_it_is() -> None:
    assert counted(NODE) is NODE
