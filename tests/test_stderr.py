"""Standard error, when whoever reads it is slow, gone, or a file."""

import fcntl
import logging
import os
import select
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from courier.stderr import PATIENCE_MS, StandardError


def record(text: str, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("courier", level, __file__, 1, text, None, None)


@contextmanager
def a_pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[StandardError, int]]:
    """Standard error as a pipe of the smallest size, and the end that it is read at."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        try:
            yield StandardError(), reading
        finally:
            os.close(reading)


def taken(reading: int) -> list[str]:
    """The lines that have come."""
    found = b""
    while select.select([reading], [], [], 0)[0]:
        found += os.read(reading, 65536)
    return found.decode().splitlines()


def test_a_reader_that_is_slow_never_holds_up_the_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_pipe(monkeypatch) as (handler, reading):
        began = time.monotonic()
        for number in range(1000):
            handler.emit(record(f"{number:04} {'x' * 100}"))
        assert time.monotonic() - began < 5, "it would wait for ever"
        lines = taken(reading)
        assert handler.lost == 1000 - len(lines)
        assert [line[:4] for line in lines] == [f"{number:04}" for number in range(len(lines))]
        handler.emit(record("taken again"))
        assert taken(reading) == ["taken again"]


def test_an_error_waits_a_moment_and_only_the_first_that_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_pipe(monkeypatch) as (handler, _):
        handler.emit(record("x" * 4095))
        began = time.monotonic()
        for _ in range(50):
            handler.emit(record("full", logging.ERROR))
        assert PATIENCE_MS <= (time.monotonic() - began) * 1000 < 10 * PATIENCE_MS
        assert handler.lost == 50


def test_a_long_line_that_is_cut_spoils_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_pipe(monkeypatch) as (handler, reading):
        handler.emit(record("x" * 10_000))
        assert handler.lost == 1
        assert taken(reading) == ["x" * 4096]
        handler.emit(record("whole"))
        assert taken(reading) == ["", "whole"]


def test_a_reader_that_has_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_pipe(monkeypatch) as (handler, reading):
        nobody = os.dup(reading)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, reading)
        os.close(null)
        os.close(nobody)
        handler.emit(record("for nobody"))
        assert handler.lost == 1


def test_a_file_takes_lines_of_any_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    stream: IO[str]
    with path.open("w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        handler = StandardError()
        handler.emit(record("é" * 100_000))
        handler.emit(record("\udc80"))
    assert path.read_text(encoding="utf-8").splitlines() == ["é" * 100_000, "\\udc80"]
    assert handler.lost == 0


def test_a_line_that_cannot_be_made_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with a_pipe(monkeypatch) as (handler, reading):
        handler.emit(logging.LogRecord("other", logging.INFO, __file__, 1, "%d", ("x",), None))
        assert (handler.lost, taken(reading)) == (1, [])
