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
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel

from common.errors import InvalidInput, Unavailable
from control_plane.metadata_store.sql import _MIGRATIONS, _use_write_ahead_log, open_metadata_store
from control_plane.metadata_store.tables import DatasetGroup, EventTracker, Job, JobAttempt
from tests.control_plane.metadata_store.suite import MOMENT, MetadataStoreSuite, attempt, group, job


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
    with metadata_store.write() as unit:
        for number in (1, 2):
            unit.add(group(number))
        unit.add(job(1))
        unit.add(attempt("job-1", second=1))
        unit.add(tracker(1, name="films", **moments))
    downgrade(metadata_store, "0003")
    metadata_store.close()

    metadata_store = open_metadata_store(url)
    with metadata_store.write() as unit:
        unit.add(tracker(2, name="films", **moments))
        assert unit.count(JobAttempt) == unit.count(Job) == 1
        assert [row.arn for row in unit.find(EventTracker, name="films", order=["arn"])] == ["tracker-1", "tracker-2"]
    with pytest.raises(IntegrityError), metadata_store.write() as unit:
        unit.add(tracker(2, arn="other", **moments))
    metadata_store.close()


def downgrade(metadata_store, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    with metadata_store._engine.connect().execution_options(immediate=True) as connection:
        connection.connection.driver_connection.execute("PRAGMA foreign_keys = OFF")
        with connection.begin():
            config.attributes["connection"] = connection
            command.downgrade(config, revision)


def tracker(number: int, **extra) -> EventTracker:
    columns = {"arn": f"tracker-{number}", "name": f"tracker-{number}", **extra}
    return EventTracker(
        dataset_group_arn=f"arn-{number:03}", tracking_id=f"{columns['arn']}-id", account_id="1", **columns
    )


def test_contents_survive_a_restart(url):
    first = open_metadata_store(url)
    with first.write() as unit:
        unit.add(group(1))
    first.close()

    second = open_metadata_store(url)
    with second.read() as unit:
        assert unit.count(DatasetGroup) == 1
    second.close()


def test_two_processes_may_start_on_a_new_database_at_once(url):
    with ThreadPoolExecutor(3) as threads:
        opened = list(threads.map(open_metadata_store, [url] * 3))

    for metadata_store in opened:
        with metadata_store.read() as unit:
            assert unit.count(DatasetGroup) == 0
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
    with both[0].write() as unit:
        unit.add(job(1))

    def count_up(metadata_store) -> None:
        for _ in range(20):
            with metadata_store.write() as unit:
                unit.get(Job, "job-1").attempt += 1

    threads = [threading.Thread(target=count_up, args=[metadata_store]) for metadata_store in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with both[0].read() as unit:
        assert unit.get(Job, "job-1").attempt == 40
    for metadata_store in both:
        metadata_store.close()


def test_database_that_another_process_holds_for_too_long_is_unavailable(url):
    metadata_store = open_metadata_store(url, busy_seconds=0.01)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(Unavailable, match="database is locked"), metadata_store.write() as unit:
            unit.count(Job)

    metadata_store.close()


@pytest.mark.parametrize("bad", ["postgresql://host/tailorbird", "sqlite://", "sqlite:///:memory:", "catalogue.db"])
def test_other_databases_are_refused(bad):
    with pytest.raises(InvalidInput, match="`database_url`"):
        open_metadata_store(bad)


def test_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()

    with pytest.raises(Unavailable, match="cannot be opened"):
        open_metadata_store(f"sqlite:///{tmp_path / 'folder'}")
