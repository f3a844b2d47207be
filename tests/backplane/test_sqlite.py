"""The log on disk: what outlives the process, what is deleted, and what a bad file becomes."""

import math
import os
import sqlite3
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import trio

from courier.actors.hub import Hub, open_hub
from courier.actors.limits import Limits
from courier.backplane import Appended, BackplaneAway, DiskRefused, KeyConflict, Publication
from courier.backplane.errors import DataUnusable
from courier.backplane.revocations import Revocation
from courier.backplane.sqlite import SqliteBackplane, SqliteOptions, open_sqlite, schema
from courier.backplane.sqlite.file import LogFile
from courier.backplane.sqlite.pages import log_of
from courier.backplane.sqlite.store import Store
from courier.schemas.control import GapReason
from courier.schemas.history import Kept
from courier.schemas.position import Position
from tests.backplane.conformance import CHANNEL, OTHER, event, heard, join_alone, numbers_of, publish, read


@asynccontextmanager
async def opened(folder: Path, **options: Any) -> AsyncIterator[Hub]:
    """A node with its logs in that folder."""
    with trio.fail_after(30):
        async with (
            open_sqlite(SqliteOptions(folder, **options)) as log,
            open_hub(log, Limits()) as hub,
        ):
            yield hub


def disk(hub: Hub) -> LogFile:
    assert isinstance(hub.backplane, SqliteBackplane)
    file = hub.backplane._file
    assert file is not None
    return file


def table(folder: Path, query: str) -> list[Any]:
    """What stands in the file."""
    with closing(sqlite3.connect(folder / "courier.db")) as connection:
        return connection.execute(query).fetchall()


# What outlives the process


async def test_a_node_that_is_opened_again_goes_on_in_its_epoch(tmp_path: Path) -> None:
    async with opened(tmp_path) as hub:
        first = await publish(hub, 1, 2)
    async with opened(tmp_path) as hub:
        [third] = await publish(hub, 3)
        stretch = await read(hub, first[0].position)
    assert third.position == Position(first[0].position.epoch, 3)
    assert third.arrived_ms >= first[1].arrived_ms
    assert (numbers_of(stretch), stretch.gap) == ([2, 3], None)


async def test_a_subscriber_resumes_without_a_gap_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as hub:
        [first] = await publish(hub, 1)
        await publish(hub, 2, 3)
    async with opened(tmp_path) as hub:
        _, ear = await join_alone(hub, first.position)
        await publish(hub, 4)
        assert await heard(ear, 3) == [2, 3, 4]


async def test_a_repeat_after_a_restart_gets_the_first_receipt(tmp_path: Path) -> None:
    keyed = Publication(event(1), "shop/k1", b"digest")
    async with opened(tmp_path) as hub:
        [first] = await hub.publish(CHANNEL, [keyed], math.inf)
    async with opened(tmp_path) as hub:
        [again] = await hub.publish(CHANNEL, [keyed], math.inf)
        [other] = await hub.publish(CHANNEL, [keyed._replace(digest=b"another")], math.inf)
    assert isinstance(first, Appended)
    assert again == first._replace(deduplicated=True)
    assert isinstance(other, KeyConflict)


async def test_revocations_outlive_the_process(tmp_path: Path) -> None:
    entry = Revocation("r1", "user_id", "alice", 100, 2**40)
    async with opened(tmp_path) as hub:
        await hub.backplane.revoke([entry])
    async with opened(tmp_path) as hub:
        assert hub.backplane.revocations.held(0) == [entry]
        await hub.backplane.revoke([entry._replace(taken_back=True)])
    async with opened(tmp_path) as hub:
        assert hub.backplane.revocations.get("r1") is None


async def test_an_empty_channel_is_exact_over_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as hub:
        unborn = (await read(hub, None)).head
    async with opened(tmp_path) as hub:
        await publish(hub, 1)
        stretch = await read(hub, unborn)
    assert (numbers_of(stretch), stretch.gap) == ([1], None)


async def test_the_folder_and_its_files_are_their_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "courier"
    async with opened(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / "courier.lock").stat().st_mode) == 0o600


# New epochs


async def test_a_backup_begins_new_epochs_once_and_keeps_its_events(tmp_path: Path) -> None:
    folder, copy = tmp_path / "one", tmp_path / "two"
    async with opened(folder) as hub:
        [first, _] = await publish(hub, 1, 2)
        copy.mkdir()
        schema.back_up(folder / "courier.db", copy / "courier.db")
        await publish(hub, 3)
    async with opened(copy) as hub:
        stretch = await read(hub, first.position)
        assert (numbers_of(stretch), stretch.gap) == ([1, 2], GapReason.UNKNOWN_POSITION)
        [third] = await publish(hub, 3)
        assert third.position.epoch != first.position.epoch
    async with opened(copy) as hub:
        [fourth] = await publish(hub, 4)
        assert fourth.position == Position(third.position.epoch, third.position.offset + 1)


@pytest.mark.parametrize(
    ("fsync", "boot", "renewed"),
    [("never", "another", True), ("never", "", False), ("always", "another", False)],
)
async def test_an_unclean_end_of_the_machine_begins_new_epochs_where_nothing_was_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync: str, boot: str, renewed: bool
) -> None:
    async with opened(tmp_path, fsync=fsync) as hub:
        [first] = await publish(hub, 1)
    with closing(sqlite3.connect(tmp_path / "courier.db")) as connection, connection:
        connection.execute("UPDATE facts SET fact = 0 WHERE name = 'clean'")
    if boot:
        monkeypatch.setattr(schema, "boot_id", lambda: boot)
    async with opened(tmp_path) as hub:
        [second] = await publish(hub, 2)
    assert (second.position.epoch != first.position.epoch) is renewed


# Retention


async def test_what_is_over_its_number_or_its_time_is_not_given_and_then_deleted(tmp_path: Path) -> None:
    kinds = {"user": Kept(3, 3600.0)}
    async with opened(tmp_path, history_of_kinds=kinds) as hub:
        receipts = await publish(hub, *range(10))
        stretch = await read(hub, receipts[0].position)
        assert (numbers_of(stretch), stretch.gap) == ([7, 8, 9], GapReason.EXPIRED)
        while table(tmp_path, "SELECT count(*) FROM events") != [(3,)]:
            await trio.sleep(0.05)
        stretch = await read(hub, receipts[0].position)
        assert (numbers_of(stretch), stretch.gap) == ([7, 8, 9], GapReason.EXPIRED)
        assert (await read(hub, receipts[6].position)).gap is None
    async with opened(tmp_path, history_of_kinds={"user": Kept(3, 0.001)}) as hub:
        await trio.sleep(0.01)
        stretch = await read(hub, receipts[6].position)
        assert (stretch.records, stretch.gap) == ([], GapReason.EXPIRED)
        assert stretch.start == receipts[9].position
        assert (await read(hub, receipts[9].position)).gap is None


async def test_beyond_the_files_size_the_oldest_of_the_largest_channel_go(tmp_path: Path) -> None:
    large = b'{"n":%d,"x":"' % 0 + b"x" * 10_000 + b'"}'
    async with opened(tmp_path, limit_bytes=2_000_000) as hub:
        [small] = await publish(hub, 1, channel=OTHER)
        for _ in range(50):
            await hub.publish(CHANNEL, [Publication(large)] * 10, math.inf)
        while table(tmp_path, "SELECT count(*) FROM events")[0][0] > 250:
            await trio.sleep(0.05)
        stretch = await hub.read(OTHER, None, 10)
        assert numbers_of(stretch) == [1]
        assert stretch.head == small.position
        begin = await read(hub, Position((await read(hub, None)).head.epoch, 0))
        assert begin.gap is GapReason.EXPIRED


async def test_over_a_month_the_file_does_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each day a thousand events of 2 kB, which are kept for a day."""
    events = [Publication(b'{"n":1,"x":"' + b"x" * 2_000 + b'"}')] * 100
    sizes = []
    async with opened(tmp_path, history_seconds=86_400.0) as hub:
        for _ in range(30):
            for _ in range(10):
                await hub.publish(CHANNEL, events, math.inf)
            disk(hub).pass_time(86_400_000)
            with trio.fail_after(20):
                while table(tmp_path, "SELECT count(*) FROM events")[0][0] > 1_000:
                    await trio.sleep(0.02)
            sizes.append((tmp_path / "courier.db").stat().st_size)
    assert max(sizes[5:]) <= 1.5 * max(sizes[:5])


# A file that cannot be used


async def refused(folder: Path, **options: Any) -> str:
    """The sentence by which a start is refused."""
    with pytest.RaisesGroup(DataUnusable, flatten_subgroups=True) as caught:
        async with opened(folder, **options):
            pass
    [error] = caught.value.exceptions
    while isinstance(error, BaseExceptionGroup):
        [error] = error.exceptions
    return str(error)


async def test_another_programs_file_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "courier.db")) as connection:
        connection.execute("CREATE TABLE theirs (one)")
    assert "another program's file" in await refused(tmp_path)
    assert table(tmp_path, "SELECT name FROM sqlite_master") == [("theirs",)]


async def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "courier.db").write_bytes(b"something else" * 100)
    assert "cannot be read as Courier's" in await refused(tmp_path)


async def test_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / "courier.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert "written by a newer Courier" in await refused(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "Permission denied" in await refused(tmp_path / "below")


async def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be used" in await refused(tmp_path / "file")


async def test_a_second_node_waits_for_the_first_and_then_takes_over(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        leave = trio.Event()
        receipts: list[Appended] = []

        async def first(task_status: trio.TaskStatus[None]) -> None:
            async with opened(tmp_path) as hub:
                receipts.extend(await publish(hub, 1))
                task_status.started()
                await leave.wait()

        await nursery.start(first)
        async with opened(tmp_path) as hub:
            assert "Another process" in str(hub.backplane.trouble)
            with pytest.raises(BackplaneAway):
                await publish(hub, 2)
            leave.set()
            with trio.fail_after(5):
                while hub.backplane.trouble is not None:
                    await trio.sleep(0.01)
            [second] = await publish(hub, 2)
    assert second.position == Position(receipts[0].position.epoch, 2)


async def test_a_second_node_gives_up_when_the_first_stays(tmp_path: Path) -> None:
    async with opened(tmp_path):
        with pytest.RaisesGroup(DataUnusable, flatten_subgroups=True):
            async with opened(tmp_path, wait_seconds=0.1):
                await trio.sleep(5)


# A disk that takes nothing


async def test_a_full_disk_refuses_publishes_and_goes_on_when_there_is_room_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as hub:
        _, ear = await join_alone(hub)
        [first] = await publish(hub, 1)
        assert await heard(ear, 1) == [1]
        connection = disk(hub)._connection
        [pages] = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(DiskRefused, match="disk is full"):
            for _ in range(100):
                await hub.publish(CHANNEL, [Publication(b'{"n":0,"x":"' + b"x" * 50_000 + b'"}')], math.inf)
        assert str(hub.backplane.trouble) == "Disk is full"
        connection.execute("PRAGMA max_page_count = 1000000")
        with trio.fail_after(5):
            while hub.backplane.trouble is not None:
                await trio.sleep(0.01)
        stretch = await read(hub, first.position)
        [last] = await publish(hub, 2)
        assert last.position.offset == stretch.head.offset + 1
        assert stretch.gap is None


async def test_a_slow_disk_holds_up_who_publishes_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Store.answer

    def slowly(self: Store, requests: Any) -> Any:
        time.sleep(0.3)
        return answer(self, requests)

    async with opened(tmp_path) as hub:
        await publish(hub, 1)
        monkeypatch.setattr(Store, "answer", slowly)
        late = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish, hub, 2)
            for _ in range(20):
                begin = time.perf_counter()
                await trio.sleep(0.01)
                late.append(time.perf_counter() - begin - 0.01)
        assert sorted(late)[-2] < 0.1  # a machine with other work may wake a task late once


async def test_a_damaged_page_is_refused_and_not_given(tmp_path: Path) -> None:
    async with opened(tmp_path) as hub:
        await publish(hub, *range(2_000))
    whole = bytearray((tmp_path / "courier.db").read_bytes())
    for begin in range(4096 * 20, len(whole), 4096):
        whole[begin : begin + 64] = b"\xff" * 64
    (tmp_path / "courier.db").write_bytes(whole)
    async with opened(tmp_path) as hub:
        with pytest.raises(DiskRefused, match="damaged"):
            await read(hub, None)
        assert hub.backplane.trouble is None


async def test_a_file_that_is_read_only_at_the_start_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_only, open_writer = True, schema.open_writer

    def open_it(options: SqliteOptions) -> sqlite3.Connection:
        connection = open_writer(options)
        if read_only:
            connection.execute("PRAGMA query_only = ON")
            with closing(connection):
                connection.execute("DELETE FROM facts")
        return connection

    monkeypatch.setattr("courier.backplane.sqlite.file.open_writer", open_it)
    async with opened(tmp_path) as hub:
        assert "read-only" in str(hub.backplane.trouble)
        with pytest.raises(BackplaneAway):
            await publish(hub, 1)
        read_only = False
        with trio.fail_after(5):
            while hub.backplane.trouble is not None:
                await trio.sleep(0.01)
        await publish(hub, 1)


# Copies at random moments, as a machine that loses its power would leave them


async def test_a_copy_of_the_files_at_any_moment_has_all_that_was_acknowledged(tmp_path: Path) -> None:
    folder = tmp_path / "live"
    copies: list[tuple[int, Path]] = []
    async with opened(folder) as hub:
        for turn in range(40):
            await publish(hub, turn)
            if turn % 4 == 0:
                copy = tmp_path / f"copy-{turn}"
                copy.mkdir()
                for name in ("courier.db-wal", "courier.db"):  # the log first: what it lacks is in the file
                    if (folder / name).exists():
                        (copy / name).write_bytes((folder / name).read_bytes())
                copies.append((turn + 1, copy))
    for count, copy in copies:
        async with opened(copy) as hub:
            stretch = await read(hub, Position((await read(hub, None)).head.epoch, 0))
            assert numbers_of(stretch)[:count] == list(range(count))


def test_the_schema_of_the_first_version_is_what_it_was(tmp_path: Path) -> None:
    with closing(schema.open_writer(SqliteOptions(tmp_path))) as connection:
        tables = {
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        assert {"facts", "channels", "events", "keys", "revocations"} <= tables
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert log_of(connection, "global") is None
