"""The metadata store in PostgreSQL: the suite, and what is specific to PostgreSQL."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import ProgrammingError

from common.errors import InvalidInput, Unavailable
from common.testing import wait_until
from control_plane.metadata_store.sql import open_metadata_store
from control_plane.metadata_store.tables import DatasetGroup
from tests.control_plane.metadata_store.suite import MetadataStoreSuite, add, group


@pytest.fixture
def url(postgres):
    return postgres.database()


class TestPostgresMetadataStore(MetadataStoreSuite):
    """The suite on PostgreSQL."""


def test_other_processes_hear_of_changes_at_once(postgres, url):
    stores = [open_metadata_store(url), open_metadata_store(url)]
    database = url.rpartition("/")[2]
    listening = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND query LIKE 'LISTEN%'"
    wait_until(lambda: postgres.execute(listening) == [(2,)], every=0.02)
    before = [metadata_store.changed.changes for metadata_store in stores]

    async def wait_for_change() -> None:
        # Many times longer than the notification takes, and than the test may.
        waiter = asyncio.create_task(stores[1].changed.wait(before[1], seconds=600))
        await asyncio.to_thread(add, stores[0], group(1))
        await waiter

    asyncio.run(wait_for_change())

    # The process that made the change has told itself, and does not hear it again.
    assert [store.changed.changes for store in stores] == [before[0] + 1, before[1] + 1]
    for store in stores:
        store.close()


def test_connections_that_the_server_has_ended_cost_no_call(postgres, url):
    metadata_store = open_metadata_store(url)
    database = url.rpartition("/")[2]
    end_all = f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{database}'"
    add(metadata_store, group(1))
    changes = metadata_store.changed.changes

    postgres.execute(end_all)
    assert metadata_store.view(lambda unit: unit.count(DatasetGroup, limit=9)) == 1
    postgres.execute(end_all)
    add(metadata_store, group(2))

    # One change is the own one; something else may have happened while the listener was connecting again.
    wait_until(lambda: metadata_store.changed.changes >= changes + 2, every=0.05)
    metadata_store.close()


def test_a_database_that_is_gone_is_unavailable(postgres, url):
    metadata_store = open_metadata_store(url)
    postgres.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    with pytest.raises(Unavailable, match=r"`database`: got no answer: OperationalError; try again later"):
        add(metadata_store, group(1))
    metadata_store.close()


def test_a_connection_that_is_lost_at_the_commit_is_not_tried_again(postgres, url):
    metadata_store = open_metadata_store(url)
    runs = []

    def work(unit) -> None:
        runs.append(unit)
        unit.add(group(len(runs)))
        (process,) = unit._session.connection().exec_driver_sql("SELECT pg_backend_pid()").one()
        kill_at_commit(unit, process)

    def kill_at_commit(unit, process: int) -> None:
        @event.listens_for(unit._session, "before_commit")
        def kill(_) -> None:
            postgres.execute(f"SELECT pg_terminate_backend({process}, 5000)")

    with pytest.raises(Unavailable, match="got no answer to a commit; look whether the change was made"):
        metadata_store.transact(work)

    assert len(runs) == 1
    assert metadata_store.view(lambda unit: unit.count(DatasetGroup, limit=9)) == 0
    metadata_store.close()


def run(statement: str):
    return lambda unit: unit._session.connection().exec_driver_sql(statement).all()


def test_a_statement_that_takes_too_long_is_unavailable(url):
    metadata_store = open_metadata_store(f"{url}?options=-c%20statement_timeout=500")
    with pytest.raises(Unavailable, match=r"`database`: got no answer: QueryCanceled \(57014\); try again later"):
        metadata_store.view(run("SELECT pg_sleep(60)"))
    metadata_store.close()


def test_a_lock_that_is_not_given_in_time_is_unavailable(url):
    first, second = open_metadata_store(url), open_metadata_store(url, wait_seconds=0.05)

    def lock_and_look(unit) -> None:
        unit._session.connection().exec_driver_sql("LOCK TABLE dataset_group")
        with pytest.raises(Unavailable, match=r"LockNotAvailable \(55P03\)"):
            add(second, group(1))

    first.transact(lock_and_look)
    for metadata_store in (first, second):
        metadata_store.close()


def test_too_many_connections_are_unavailable(url):
    metadata_store = open_metadata_store(url, connections=1, wait_seconds=0.05)

    def look(unit) -> None:
        unit.count(DatasetGroup, limit=9)
        with pytest.raises(Unavailable, match=r"`database`: got no free connection in 0.05 s; try again later"):
            metadata_store.view(lambda other: other.count(DatasetGroup, limit=9))

    metadata_store.view(look)
    metadata_store.close()


def test_what_a_database_cannot_keep_is_invalid_input_without_the_value(url):
    metadata_store = open_metadata_store(url)
    secret = group(1)
    secret.name = "secret" * 20
    with pytest.raises(InvalidInput, match=r"`database`: got a value that it cannot keep: StringDataRightTruncation"):
        add(metadata_store, secret)
    metadata_store.close()


def test_faults_of_the_program_stay_what_they_are_and_show_no_values(url):
    metadata_store = open_metadata_store(url)
    with pytest.raises(ProgrammingError, match="missing") as caught:
        metadata_store.view(
            lambda unit: unit._session.connection().execute(text("SELECT :x FROM missing"), {"x": "secret"})
        )
    assert "secret" not in str(caught.value)
    metadata_store.close()


def test_passwords_are_shown_in_no_error(postgres, caplog):
    address = f"127.0.0.1:{postgres.port}"
    for url, error in (
        (f"postgresql+psycopg://nobody:secret@{address}/tailorbird", Unavailable),
        ("postgresql+psycopg://nobody:secret@127.0.0.1:1/tailorbird", Unavailable),
        (f"mysql://nobody:secret@{address}/tailorbird", InvalidInput),
        (f"postgresql://nobody:secret@{address}", InvalidInput),
        ("postgresql://nobody:secret@host:port/x", InvalidInput),
    ):
        with pytest.raises(error, match="`database_url`: got") as caught:
            open_metadata_store(url)
        assert "secret" not in str(caught.value)
    assert "secret" not in caplog.text
