"""The event log in SQLite: the suite, and what is SQLite's own."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from benchmarks.faults.old_logs import version_1, version_2
from common.errors import CorruptArtifact, LimitExceeded, ResourceInUse, StorageFull, Unavailable
from common.positions import LEGACY_EPOCH, Position
from common.testing import wait_until
from events_service.domain import Entity
from events_service.log import Bounds, Divergence, LogRemoval, LogTable, TableLag
from events_service.log._limits import MAX_GROUP_BYTES, MAX_WAITING_BYTES
from events_service.log._writer import GroupWriter
from events_service.log.sqlite import DATABASE, SqliteEventLog
from events_service.records import content_of, log_entry
from tests.events_service.log.suite import EventLogSuite, offsets
from tests.events_service.samples import (
    GROUP,
    ITEMS_SCHEMA_TEXT,
    NOW_MILLIS,
    SCHEMA_TEXT,
    SINK,
    TRACKING_ID,
    avro,
    entries,
    entry,
    event,
    table,
)

#: What logs of earlier versions are made of.
OLD = {
    "location": table().location,
    "group": GROUP,
    "schema": SCHEMA_TEXT,
    "tracking_id": TRACKING_ID,
    "millis": NOW_MILLIS,
}


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
    first.mark_consumed(SINK, table().location, 1)
    first.close()

    second = SqliteEventLog(tmp_path / "x", clock=clock)
    assert offsets(second) == [1, 2]
    assert second.lags(SINK)[0].committed_offset == 1
    assert second.append(entries(1), seconds=20) == (1,)
    second.close()


def test_call_with_old_new_and_repeated_records_gets_the_offset_of_each(log):
    log.append(entries(1, 2), seconds=20)
    item = log_entry(LogTable("items", GROUP, ITEMS_SCHEMA_TEXT, "ITEMS"), Entity("i"))

    appended = log.append([*entries(3, 2, 3), item, item, *entries(*range(100, 1100)), *entries(1)], seconds=60)

    assert appended == (3, 2, 3, 4, 5, *range(6, 1006), 1)
    assert offsets(log) == list(range(1, 1006))


def test_every_opening_that_is_written_to_begins_an_epoch(tmp_path, clock):
    for number in (1, 2, None, 3):
        opened = SqliteEventLog(tmp_path / "x", clock=clock)
        if number is not None:
            opened.append(entries(number), seconds=20)
        lineage = opened.lineage()
        opened.close()

    assert [item.first_offset for item in lineage] == [1, 2, 3]
    assert len({item.epoch for item in lineage} - {LEGACY_EPOCH}) == 3


def test_positions_of_what_was_appended_before_are_of_the_epochs_of_then(tmp_path, clock):
    for number in (1, 2):
        opened = SqliteEventLog(tmp_path / "x", clock=clock)
        opened.append(entries(number), seconds=20)
        opened.close()
    opened = SqliteEventLog(tmp_path / "x", clock=clock)
    repeated = opened.append(entries(1), seconds=20)
    unwritten = [opened.position(offset) for offset in (*repeated, 2)]
    opened.append(entries(3), seconds=20)

    positions = [opened.position(offset) for offset in (1, 2, 3)]

    assert positions == [opened.lineage().at(offset) for offset in (1, 2, 3)]
    assert unwritten == positions[:2]
    assert len({position.epoch for position in positions}) == 3
    opened.close()


def test_log_that_is_restored_from_a_backup_parts_from_the_one_it_was(tmp_path, clock):
    first = SqliteEventLog(tmp_path / "x", clock=clock)
    first.append(entries(1, 2), seconds=20)
    first.close()
    shutil.copytree(tmp_path / "x", tmp_path / "backup")
    first = SqliteEventLog(tmp_path / "x", clock=clock)
    first.append(entries(3, 4), seconds=20)
    ahead = first.lineage().at(4)
    first.close()

    restored = SqliteEventLog(tmp_path / "backup", clock=clock)
    restored.append(entries(5, 6, 7), seconds=20)
    lineage = restored.lineage()
    restored.close()

    assert (lineage.has(ahead), lineage.shared(ahead)) == (False, 0)
    assert lineage.has(Position(next(iter(lineage)).epoch, 2))


def test_log_that_lost_its_end_shares_what_is_left(tmp_path, clock):
    first = SqliteEventLog(tmp_path / "x", clock=clock)
    first.append(entries(1, 2), seconds=20)
    first.close()
    shutil.copytree(tmp_path / "x", tmp_path / "backup")
    # The same opening went on after the copy was made, as it is with a snapshot of the disk.
    epoch = next(iter(first_lineage(tmp_path / "x", clock))).epoch

    restored = SqliteEventLog(tmp_path / "backup", clock=clock)
    restored.append(entries(5), seconds=20)
    lineage = restored.lineage()
    restored.close()

    assert lineage.shared(Position(epoch, 2350)) == 2


def first_lineage(folder, clock):
    opened = SqliteEventLog(folder, clock=clock)
    lineage = opened.lineage()
    opened.close()
    return lineage


def test_log_of_version_one_goes_on_as_an_epoch_of_its_own(tmp_path, clock):
    (tmp_path / "x").mkdir()
    with closing(sqlite3.connect(tmp_path / "x" / DATABASE)) as connection:
        connection.executescript(version_1(**OLD))
    log = SqliteEventLog(tmp_path / "x", clock=clock)

    assert offsets(log) == [1, 2]
    assert log.append(entries(1, 3), seconds=20) == (1, 3)
    assert log.lags(SINK) == [TableLag(table(), 1, 3)]
    assert log.lineage().at(2) == Position(LEGACY_EPOCH, 2)
    assert log.lineage().at(3).epoch != LEGACY_EPOCH
    log.close()


def test_log_of_version_two_keeps_its_records_cursors_and_offsets(tmp_path, clock):
    (tmp_path / "x").mkdir()
    with closing(sqlite3.connect(tmp_path / "x" / DATABASE)) as connection:
        connection.executescript(version_2(**OLD))
    log = SqliteEventLog(tmp_path / "x", clock=clock)

    page = log.read(2, max_records=10)
    assert [content_of(record) for record in page.records] == [
        event(1, user_id=None, item_id=None),
        event(
            2,
            event_value=0.5,
            properties_json='{"a":1}',
            recommendation_id="RID-1",
            impression=("i1", "i2"),
            attribution_source="front page",
        ),
    ]
    assert page.removals == [LogRemoval(4, f"{GROUP}-before", "INTERACTIONS", 1)]
    assert (log.bounds(), log.lineage().at(3)) == (Bounds(2, 5), Position(4711, 3))
    assert log.lags(SINK) == [TableLag(table(), 2, 3, Divergence(0, 1))]
    assert log.append(entries(2, 3), seconds=20) == (3, 5)
    log.close()


def test_clock_that_runs_ahead_removes_nothing_before_its_time(tmp_path, clock):
    passed = 0.0
    log = SqliteEventLog(tmp_path / "x", clock=clock, monotonic=lambda: passed)
    log.append(entries(1), seconds=20)
    log.mark_consumed(SINK, table().location, 1)
    clock.advance(seconds=60 * 86_400)
    passed = 3600.0

    removed = log.remove_old(timedelta(hours=720), kept_for=[SINK])
    log.append(entries(2), seconds=20)
    log.close()
    again = SqliteEventLog(tmp_path / "x", clock=clock, monotonic=lambda: passed)
    again.mark_consumed(SINK, table().location, 2)

    assert removed + again.remove_old(timedelta(hours=720), kept_for=[SINK]) == 0
    assert offsets(again) == [1, 2]
    again.close()


def test_clock_that_was_behind_makes_no_event_older_than_it_is(tmp_path, clock):
    passed = 0.0
    log = SqliteEventLog(tmp_path / "x", clock=clock, monotonic=lambda: passed)
    log.append(entries(1), seconds=20)
    clock.advance(seconds=-60 * 86_400)
    log.append(entries(2), seconds=20)
    log.mark_consumed(SINK, table().location, 2)
    clock.advance(seconds=60 * 86_400)

    assert log.remove_old(timedelta(hours=720), kept_for=[SINK]) == 0
    log.close()


def test_removed_table_is_in_no_file_any_more(tmp_path, log):
    marked = [entry(event(n, user_id=f"marked-{n}")) for n in range(300)]
    other = table("datasets/books")
    log.append([entry(event(0, user_id="stays"), to=other)], seconds=20)
    log.append(marked, seconds=20)

    log.remove_table(table().location)

    files = b"".join(path.read_bytes() for path in (tmp_path / "log").iterdir())
    assert b"stays" in files
    assert b"marked-" not in files


def test_removed_records_are_in_no_file_any_more(tmp_path, log):
    marked = [entry(event(n, user_id=f"marked-{n}")) for n in range(300)]
    log.append([*marked, entry(event(999, user_id="stays"))], seconds=20)

    assert log.remove_records(table().location, range(1, 301)) == 300

    files = b"".join(path.read_bytes() for path in (tmp_path / "log").iterdir())
    assert b"stays" in files
    assert b"marked-" not in files


def test_log_of_version_three_takes_up_deletions_of_users(tmp_path, clock):
    with closing(SqliteEventLog(tmp_path / "x", clock=clock)) as log:
        log.append(entries(1), seconds=20)
    with closing(sqlite3.connect(tmp_path / "x" / DATABASE)) as connection:
        connection.executescript("DROP TABLE user_removals; PRAGMA user_version = 3;")

    with closing(SqliteEventLog(tmp_path / "x", clock=clock)) as log:
        assert log.append_user_removal(GROUP, location="datasets/a/g/deletions/1", up_to_offset=1) == 2
        assert len(log.read(1, max_records=10).records) == 1


def test_files_are_their_owners_whatever_the_umask(tmp_path, clock):
    before = os.umask(0)
    try:
        log = SqliteEventLog(tmp_path / "x", clock=clock)
        log.append(entries(1), seconds=20)
    finally:
        os.umask(before)

    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "x").iterdir()}
    assert set(modes.values()) == {0o600}
    assert f"{DATABASE}-wal" in modes
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o700
    log.close()


def test_full_disk_is_an_error_in_the_log_and_nothing_is_acknowledged(log):
    log._writer.submit(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchone()).result(20)

    with capture_logs() as logs:
        for start in (0, 1000):
            with pytest.raises(StorageFull, match="full"):
                log.append(entries(*range(start, start + 1000)), seconds=20)
        log._writer.submit(lambda connection: connection.execute("PRAGMA max_page_count = 1000000").fetchone())
        assert log.append(entries(1), seconds=20) == (1,)

    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("disk_full", "error"),
        ("event_log_writable", "info"),
    ]


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


def test_file_that_is_not_a_database_is_an_error_and_left_as_it_is(tmp_path, clock):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / DATABASE).write_bytes(b"somebody's letters" * 100)

    with pytest.raises(CorruptArtifact, match="cannot be opened"):
        SqliteEventLog(tmp_path / "x", clock=clock)

    assert (tmp_path / "x" / DATABASE).read_bytes() == b"somebody's letters" * 100


def test_log_of_a_newer_program_is_refused(tmp_path, clock):
    SqliteEventLog(tmp_path / "x", clock=clock).close()
    with closing(sqlite3.connect(tmp_path / "x" / DATABASE)) as connection:
        connection.execute("PRAGMA user_version = 5")

    with pytest.raises(CorruptArtifact, match="got a database of version 5, want 4"):
        SqliteEventLog(tmp_path / "x", clock=clock)


def test_every_commit_is_synced(log):
    setting: Future[object] = log._writer.submit(lambda connection: connection.execute("PRAGMA synchronous").fetchone())

    assert setting.result(20) == (2,)  # FULL


def test_appends_that_wait_together_share_a_commit(tmp_path, log, held_disk):
    commits = []
    log._writer._on_commit = commits.append
    threads = [
        threading.Thread(target=log.append, args=[entries(number)], kwargs={"seconds": 60}) for number in range(40)
    ]
    threads[0].start()
    wait_until(lambda: not log._writer._queue)
    for thread in threads[1:]:
        thread.start()
    wait_until(lambda: len(log._writer._queue) == 39)

    held_disk.execute("COMMIT")
    for thread in threads:
        thread.join()

    assert len(commits) == 2
    assert offsets(log) == list(range(1, 41))


def test_append_that_is_cancelled_before_its_turn_is_left_out(log, held_disk):
    first = log.submit(entries(1))
    wait_until(first.running)
    second, third = log.submit(entries(2)), log.submit(entries(3))

    assert second.cancel()
    assert not first.cancel()
    held_disk.execute("COMMIT")

    assert (first.result(20), third.result(20)) == ((1,), (2,))
    assert offsets(log) == [1, 2]


def test_widest_schema_of_appends_that_wait_together_holds(log, held_disk):
    wider = replace(table(), schema=avro(*[(name, "string") for name in "abcdefghijk"]))
    first = log.submit(entries(1))
    wait_until(first.running)
    futures = [log.submit(entries(2, to=wider)), log.submit(entries(2)), log.submit(entries(3))]

    held_disk.execute("COMMIT")

    assert [future.result(20) for future in futures] == [(2,), (2,), (3,)]
    assert [lag.table for lag in log.lags(SINK)] == [wider]


def test_slow_disk_is_an_error_and_a_repeated_call_adds_nothing_twice(log, held_disk):
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
        wait_until(lambda: not log._writer._queue)
        log._writer.submit(lambda connection: None)

        with pytest.raises(LimitExceeded):
            log.append(entries(1), seconds=20)
        other.execute("COMMIT")
    log.close()


def test_large_writes_are_divided_and_refused_when_too_many_wait(tmp_path):
    may_commit, sizes = threading.Event(), []
    connection = sqlite3.connect(tmp_path / "x", isolation_level=None, check_same_thread=False)
    writer = GroupWriter(
        connection, tmp_path / "x", max_waiting=100, max_group=100, checkpoint_pages=1000, on_commit=lambda _: None
    )
    writer.submit(lambda _: may_commit.wait(20))
    wait_until(lambda: not writer._queue)

    def count(_, parts):
        sizes.append(len(parts))
        return parts

    half = MAX_GROUP_BYTES // 2
    futures = [writer.submit_part(count, number, size=half) for number in range(MAX_WAITING_BYTES // half)]
    with pytest.raises(LimitExceeded, match=f"{MAX_WAITING_BYTES} bytes"):
        writer.submit_part(count, 0, size=1)
    bookkeeping = writer.submit(lambda _: "no payload")
    may_commit.set()

    assert [future.result(20) for future in futures] == list(range(len(futures)))
    assert bookkeeping.result(20) == "no payload"
    assert sizes == [2] * (len(futures) // 2)
    assert writer.submit_part(count, 9, size=1).result(20) == 9
    writer.close()


def test_failed_write_does_not_fail_the_others_of_its_group(tmp_path):
    connection = sqlite3.connect(tmp_path / "x", isolation_level=None, check_same_thread=False)
    connection.execute("CREATE TABLE t (x UNIQUE)")
    may_commit = threading.Event()
    writer = GroupWriter(
        connection, tmp_path / "x", max_waiting=10, max_group=10, checkpoint_pages=1000, on_commit=lambda _: None
    )
    writer.submit(lambda _: may_commit.wait(20))

    def insert(value):
        return writer.submit(lambda held: held.execute("INSERT INTO t VALUES (?)", (value,)).rowcount)

    good, bad, other = insert(1), insert(1), insert(2)
    may_commit.set()

    assert good.result(20) == 1
    failure = bad.exception(20)
    assert isinstance(failure, Unavailable)
    assert isinstance(failure.__cause__, sqlite3.IntegrityError)
    assert other.result(20) == 1
    writer.close()


def test_writes_of_one_kind_are_done_together_and_alone_when_that_fails(tmp_path):
    connection = sqlite3.connect(tmp_path / "x", isolation_level=None, check_same_thread=False)
    connection.execute("CREATE TABLE t (x UNIQUE)")
    may_commit, sizes = threading.Event(), []
    writer = GroupWriter(
        connection, tmp_path / "x", max_waiting=10, max_group=10, checkpoint_pages=1000, on_commit=lambda _: None
    )
    writer.submit(lambda _: may_commit.wait(20))

    def insert(held, values):
        sizes.append(len(values))
        held.executemany("INSERT INTO t VALUES (?)", [(value,) for value in values])
        return [2 * value for value in values]

    futures = [writer.submit_part(insert, value) for value in (1, 2, 1, 3)]
    may_commit.set()

    assert [future.result(20) for future in (futures[0], futures[1], futures[3])] == [2, 4, 6]
    assert isinstance(futures[2].exception(20), Unavailable)
    assert sizes == [4, 1, 1, 1, 1]
    writer.close()


def test_close_writes_what_is_queued(tmp_path, clock):
    log = SqliteEventLog(tmp_path / "x", clock=clock)
    futures = [log._writer.submit(lambda connection: connection.execute("SELECT 1").fetchone()) for _ in range(100)]

    log.close()

    assert [future.result(0) for future in futures] == [(1,)] * 100


def test_large_removal_is_cut_into_pieces(tmp_path, clock):
    log = SqliteEventLog(tmp_path / "x", clock=clock)
    for start in range(0, 12_000, 1000):
        log.append(entries(*range(start, start + 1000)), seconds=60)
    log.mark_consumed(SINK, table().location, 12_000)
    clock.advance(seconds=10)
    commits = []
    log._writer._on_commit = commits.append

    assert log.remove_old(timedelta(0), kept_for=[SINK]) == 12_000
    # Three pieces, one that removes nothing, and the one that stores the first offset.
    assert len(commits) == 5
    log.close()
