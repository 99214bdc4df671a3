"""The metadata store in SQLite: the suite, and what is specific to SQLite."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from common.errors import InvalidInput, Unavailable
from control_plane.metadata_store.sql import open_metadata_store
from control_plane.metadata_store.sqlite import use_write_ahead_log
from control_plane.metadata_store.tables import Job
from tests.control_plane.metadata_store.suite import MetadataStoreSuite
from tests.control_plane.sqlite import sqlite_url


@pytest.fixture
def url(tmp_path):
    return sqlite_url(tmp_path)


class TestSqliteMetadataStore(MetadataStoreSuite):
    """The suite on SQLite."""


def test_connections_that_change_the_journal_mode_together_wait_for_each_other(tmp_path):
    barrier = threading.Barrier(3)

    def change_mode(path) -> str:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            barrier.wait()
            use_write_ahead_log(connection.cursor(), wait_seconds=30)
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
            use_write_ahead_log(connection.cursor(), wait_seconds=0.05)


def test_database_that_another_process_holds_for_too_long_is_unavailable(url):
    metadata_store = open_metadata_store(url, wait_seconds=0.01)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(Unavailable, match="database is locked"):
            metadata_store.transact(lambda unit: unit.count(Job, limit=9))

    metadata_store.close()


@pytest.mark.parametrize(
    "bad", ["mysql://host/tailorbird", "sqlite+x:///x.db", "sqlite://", "sqlite:///:memory:", "catalogue.db"]
)
def test_other_databases_are_refused(bad):
    with pytest.raises(InvalidInput, match="`database_url`"):
        open_metadata_store(bad)


def test_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()

    with pytest.raises(Unavailable, match="cannot be opened"):
        open_metadata_store(f"sqlite:///{tmp_path / 'folder'}")
