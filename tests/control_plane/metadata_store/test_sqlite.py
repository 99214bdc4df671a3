"""The metadata store in SQLite: the suite, and what is specific to SQLite."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel

from common.errors import InvalidInput, Unavailable
from control_plane.metadata_store.sql import _MIGRATIONS, _use_write_ahead_log, open_metadata_store
from control_plane.metadata_store.tables import DatasetGroup, EventTracker, Job, JobAttempt, Tag
from tests.control_plane.metadata_store.suite import (
    MINE,
    MOMENT,
    MetadataStoreSuite,
    add,
    arn,
    attempt,
    group,
    group_arn,
    job,
    next_attempt,
)


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'data' / 'metadata_store.db'}"


@pytest.fixture
def metadata_store(url):
    opened = open_metadata_store(url)
    yield opened
    opened.close()


class TestSqliteMetadataStore(MetadataStoreSuite):
    """The suite on SQLite."""


def test_migrations_make_the_tables_that_the_code_has(metadata_store):
    with metadata_store._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []


def test_contents_survive_the_newest_migrations(url):
    metadata_store = open_metadata_store(url)
    moments = {"creation_date_time": MOMENT, "last_updated_date_time": MOMENT}
    rows = [group(1), group(2), job(1), attempt("job-1", second=1), tracker(1, name="films", **moments)]
    add(metadata_store, *rows, Tag(resource_arn=group_arn(1), tag_key="k", tag_value="v"))
    downgrade(metadata_store, "0003")
    metadata_store.close()

    def look(unit) -> None:
        assert unit.count(JobAttempt) == unit.count(Job) == 1
        assert {row.account for row in unit.find(DatasetGroup)} == {row.account for row in unit.find(Tag)} == {MINE}
        assert [row.arn for row in unit.find(EventTracker, name="films", order=["arn"])] == [
            arn("event-tracker", "1"),
            arn("event-tracker", "2"),
        ]

    metadata_store = open_metadata_store(url)
    add(metadata_store, tracker(2, name="films", **moments))
    metadata_store.view(look)
    with pytest.raises(IntegrityError):
        add(metadata_store, tracker(2, arn=arn("event-tracker", "other"), **moments))
    metadata_store.close()


def downgrade(metadata_store, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with metadata_store._engine.connect().execution_options(immediate=True) as connection:
        connection.connection.driver_connection.execute("PRAGMA foreign_keys = OFF")
        with connection.begin():
            config.attributes["connection"] = connection
            command.downgrade(config, revision)


def test_due_schedules_are_found_by_an_index(metadata_store):
    statements = []
    engine = metadata_store._engine
    event.listen(engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2:4]))
    assert metadata_store.view(lambda unit: unit.due_schedules(now=MOMENT, limit=20)) == []

    (statement, parameters) = statements[-1]
    with engine.connect() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]

    assert plan == ["SEARCH schedule USING INDEX ix_schedule_next_run_at (next_run_at<?)"]


def tracker(number: int, **extra) -> EventTracker:
    columns = {"arn": arn("event-tracker", number), "name": f"tracker-{number}", **extra}
    return EventTracker(dataset_group_arn=group_arn(number), tracking_id=columns["arn"][-30:], **columns)


def test_contents_survive_a_restart(url):
    first = open_metadata_store(url)
    add(first, group(1))
    first.close()

    second = open_metadata_store(url)
    assert second.view(lambda unit: unit.count(DatasetGroup)) == 1
    second.close()


def test_two_processes_may_start_on_a_new_database_at_once(url):
    with ThreadPoolExecutor(3) as threads:
        opened = list(threads.map(open_metadata_store, [url] * 3))

    for metadata_store in opened:
        assert metadata_store.view(lambda unit: unit.count(DatasetGroup)) == 0
        metadata_store.close()


def test_connections_that_change_the_journal_mode_together_wait_for_each_other(tmp_path):
    barrier = threading.Barrier(3)

    def change_mode(path) -> str:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            barrier.wait()
            _use_write_ahead_log(connection.cursor(), busy_seconds=30)
            return connection.execute("PRAGMA journal_mode").fetchone()[0]

    with ThreadPoolExecutor(3) as threads:
        for number in range(30):  # without the wait, one in eight is refused
            assert list(threads.map(change_mode, [tmp_path / f"{number}.db"] * 3)) == ["wal"] * 3


def test_a_journal_mode_that_stays_locked_is_an_error_after_the_wait(tmp_path):
    with closing(sqlite3.connect(tmp_path / "c.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with (
            closing(sqlite3.connect(tmp_path / "c.db", isolation_level=None, timeout=0)) as connection,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            _use_write_ahead_log(connection.cursor(), busy_seconds=0.05)


def test_two_metadata_stores_on_one_database_lose_nothing(url):
    both = [open_metadata_store(url), open_metadata_store(url)]
    add(both[0], job(1))

    def count_up(metadata_store) -> None:
        for _ in range(20):
            metadata_store.transact(next_attempt)

    threads = [threading.Thread(target=count_up, args=[metadata_store]) for metadata_store in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert both[0].view(lambda unit: unit.get(Job, "job-1").attempt) == 40
    for metadata_store in both:
        metadata_store.close()


def test_database_that_another_process_holds_for_too_long_is_unavailable(url):
    metadata_store = open_metadata_store(url, busy_seconds=0.01)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(Unavailable, match="database is locked"):
            metadata_store.transact(lambda unit: unit.count(Job))

    metadata_store.close()


@pytest.mark.parametrize("bad", ["postgresql://host/tailorbird", "sqlite://", "sqlite:///:memory:", "catalogue.db"])
def test_other_databases_are_refused(bad):
    with pytest.raises(InvalidInput, match="`database_url`"):
        open_metadata_store(bad)


def test_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()

    with pytest.raises(Unavailable, match="cannot be opened"):
        open_metadata_store(f"sqlite:///{tmp_path / 'folder'}")
