"""The catalogue in SQLite: the suite, and what is SQLite's own."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlmodel import SQLModel

from common.errors import InvalidInput, Unavailable
from control_plane.catalogue.sql import open_catalogue
from control_plane.catalogue.tables import DatasetGroup, Job
from tests.control_plane.catalogue_suite import CatalogueSuite, group, job


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path / 'data' / 'catalogue.db'}"


@pytest.fixture
def catalogue(url):
    opened = open_catalogue(url)
    yield opened
    opened.close()


class TestSqliteCatalogue(CatalogueSuite):
    """The suite on SQLite."""


def test_migrations_make_the_tables_that_the_code_has(catalogue):
    with catalogue._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), SQLModel.metadata) == []


def test_contents_survive_a_restart(url):
    first = open_catalogue(url)
    with first.write() as unit:
        unit.add(group(1))
    first.close()

    second = open_catalogue(url)
    with second.read() as unit:
        assert unit.count(DatasetGroup) == 1
    second.close()


def test_two_processes_may_start_on_a_new_database_at_once(url):
    opened = []
    threads = [threading.Thread(target=lambda: opened.append(open_catalogue(url))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(opened) == 3
    for catalogue in opened:
        catalogue.close()


def test_two_catalogues_on_one_database_lose_nothing(url):
    both = [open_catalogue(url), open_catalogue(url)]
    with both[0].write() as unit:
        unit.add(job(1))

    def count_up(catalogue) -> None:
        for _ in range(20):
            with catalogue.write() as unit:
                unit.get(Job, "job-1").attempt += 1

    threads = [threading.Thread(target=count_up, args=[catalogue]) for catalogue in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    with both[0].read() as unit:
        assert unit.get(Job, "job-1").attempt == 40
    for catalogue in both:
        catalogue.close()


def test_database_that_another_process_holds_for_too_long_is_unavailable(url):
    catalogue = open_catalogue(url, busy_seconds=0.01)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(Unavailable, match="database is locked"), catalogue.write() as unit:
            unit.count(Job)

    catalogue.close()


@pytest.mark.parametrize("bad", ["postgresql://host/tailorbird", "sqlite://", "sqlite:///:memory:", "catalogue.db"])
def test_other_databases_are_refused(bad):
    with pytest.raises(InvalidInput, match="`database_url`"):
        open_catalogue(bad)


def test_file_that_is_no_database_is_told(tmp_path):
    (tmp_path / "folder").mkdir()

    with pytest.raises(Unavailable, match="cannot be opened"):
        open_catalogue(f"sqlite:///{tmp_path / 'folder'}")
