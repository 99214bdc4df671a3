"""The event log in SQLite: the suite, and what is SQLite's own."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import Future
from contextlib import closing

import pytest

from common.errors import CorruptArtifact, LimitExceeded, ResourceInUse, Unavailable
from common.testing import wait_until
from events_service.log._writer import GroupWriter
from events_service.log.sqlite import DATABASE, SqliteEventLog
from tests.events_service.log_suite import EventLogSuite, offsets
from tests.events_service.samples import entries, table


class TestSqliteEventLog(EventLogSuite):
    """The suite on SQLite."""


@pytest.fixture
def held_disk(tmp_path, log):
    """The log's database, held by somebody else, so that no write ends before `commit`."""
    with closing(sqlite3.connect(tmp_path / "log" / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def test_contents_and_marks_survive_a_restart(tmp_path, clock):
    first = SqliteEventLog(tmp_path / "x", clock=clock)
    first.append(entries(1, 2), seconds=20)
    first.mark_sealed(table().location, 1)
    first.close()

    second = SqliteEventLog(tmp_path / "x", clock=clock)
    assert offsets(second) == [1, 2]
    assert second.backlogs()[0].sealed_offset == 1
    assert second.append(entries(1), seconds=20) == (1,)
    second.close()


def test_folder_belongs_to_one_log_at_a_time(tmp_path, clock, log):
    with pytest.raises(ResourceInUse, match="`data_dir`"):
        SqliteEventLog(tmp_path / "log", clock=clock)


def test_folder_belongs_to_one_process_at_a_time(tmp_path, log):
    code = (
        "import sys\nfrom pathlib import Path\nfrom common.clock import SystemClock\n"
        "from events_service.log.sqlite import SqliteEventLog\n"
        "SqliteEventLog(Path(sys.argv[1]), clock=SystemClock())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "log")]

    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert ended.returncode != 0
    assert "ResourceInUse" in ended.stderr


def test_file_that_is_no_database_is_told_and_left_as_it_is(tmp_path, clock):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / DATABASE).write_bytes(b"somebody's letters" * 100)

    with pytest.raises(CorruptArtifact, match="cannot be opened"):
        SqliteEventLog(tmp_path / "x", clock=clock)

    assert (tmp_path / "x" / DATABASE).read_bytes() == b"somebody's letters" * 100


def test_log_of_a_newer_program_is_refused(tmp_path, clock):
    SqliteEventLog(tmp_path / "x", clock=clock).close()
    with closing(sqlite3.connect(tmp_path / "x" / DATABASE)) as connection:
        connection.execute("PRAGMA user_version = 2")

    with pytest.raises(CorruptArtifact, match="got a database of version 2, want 1"):
        SqliteEventLog(tmp_path / "x", clock=clock)


def test_every_commit_is_synced(log):
    setting: Future[object] = log._writer.submit(lambda connection: connection.execute("PRAGMA synchronous").fetchone())

    assert setting.result(20) == (2,)  # FULL


def test_appends_that_wait_together_share_a_commit(tmp_path, log, held_disk):
    commits = []
    log._writer._committed = commits.append
    threads = [
        threading.Thread(target=log.append, args=[entries(number)], kwargs={"seconds": 60}) for number in range(40)
    ]
    threads[0].start()
    wait_until(lambda: not log._writer._waiting)
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: len(log._writer._waiting) == 39)

    held_disk.execute("COMMIT")
    for thread in threads:
        thread.join()

    assert len(commits) == 2
    assert offsets(log) == list(range(1, 41))


def test_slow_disk_is_told_and_a_repeated_call_adds_nothing_twice(log, held_disk):
    with pytest.raises(Unavailable, match="repeat the call"):
        log.append(entries(1), seconds=0.05)

    held_disk.execute("COMMIT")

    assert log.append(entries(1), seconds=20) == (1,)
    assert offsets(log) == [1]


def test_too_many_waiting_appends_are_refused(tmp_path, clock):
    log = SqliteEventLog(tmp_path / "x", clock=clock, max_waiting=1)
    with closing(sqlite3.connect(tmp_path / "x" / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        log._writer.submit(lambda connection: None)
        wait_until(lambda: not log._writer._waiting)
        log._writer.submit(lambda connection: None)

        with pytest.raises(LimitExceeded):
            log.append(entries(1), seconds=20)
        other.execute("COMMIT")
    log.close()


def test_failed_work_takes_none_of_its_neighbours_along(tmp_path):
    connection = sqlite3.connect(tmp_path / "x", isolation_level=None, check_same_thread=False)
    connection.execute("CREATE TABLE t (x UNIQUE)")
    gate = threading.Event()
    writer = GroupWriter(connection, max_waiting=10, max_group=10, committed=lambda _: None)
    writer.submit(lambda _: gate.wait(20))

    def insert(value):
        return writer.submit(lambda held: held.execute("INSERT INTO t VALUES (?)", (value,)).rowcount)

    good, bad, other = insert(1), insert(1), insert(2)
    gate.set()

    assert good.result(20) == 1
    assert isinstance(bad.exception(20), sqlite3.IntegrityError)
    assert other.result(20) == 1
    writer.close()


def test_close_writes_what_waits(tmp_path, clock):
    log = SqliteEventLog(tmp_path / "x", clock=clock)
    futures = [log._writer.submit(lambda connection: connection.execute("SELECT 1").fetchone()) for _ in range(100)]

    log.close()

    assert [future.result(0) for future in futures] == [(1,)] * 100


def test_large_removal_is_cut_into_pieces(tmp_path, clock):
    log = SqliteEventLog(tmp_path / "x", clock=clock)
    for start in range(0, 12_000, 1000):
        log.append(entries(*range(start, start + 1000)), seconds=60)
    log.mark_sealed(table().location, 12_000)
    clock.advance(seconds=10)
    commits = []
    log._writer._committed = commits.append

    assert log.remove_before(clock.now()) == 12_000
    assert len(commits) == 3
    log.close()
