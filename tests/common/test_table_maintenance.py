"""Tables are put in order in bounded pieces, and every row survives whatever is committed in between."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from common import columns
from common.errors import CorruptArtifact
from common.positions import START, Position
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.table_deletions import ErasableTable
from common.table_maintenance import MaintainedTable, MaintenanceBounds
from tests.s3 import s3_server

EVERYTHING = MaintenanceBounds()


@pytest.fixture
def store(tmp_path):
    return open_store(StoreSettings(store_url=str(tmp_path / "store")))


@pytest.fixture
def table(store):
    return MaintainedTable(store, "films")


@pytest.fixture
def maintain(table, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()

    def run(bounds=EVERYTHING, *, retention_hours=168, **options):
        maintained = table.maintain(folder, bounds=bounds, retention_hours=retention_hours, **options)
        assert not list(folder.iterdir())
        return maintained

    return run


def fill(table, files: int, *, rows: int = 2) -> None:
    for number in range(files):
        ids = [f"i{number}-{row}" for row in range(rows)]
        table.append(pl.DataFrame({"ITEM_ID": ids, columns.SOURCE: columns.SOURCE_BULK, "YEAR": number}))


def ids(table) -> list[str]:
    return sorted(table.read()["ITEM_ID"])


def n_files(table) -> int:
    return len(table.snapshot().files)


def test_small_files_become_one_and_rows_sources_and_transactions_stay(table, maintain):
    fill(table, 5)
    put = pl.DataFrame({"ITEM_ID": ["new"], columns.SOURCE: columns.SOURCE_PUT})
    table.append_events(put, Position(3, 17), after=START)
    before, version = table.read(), table.version()

    maintained = maintain()

    assert (maintained.joined_files, maintained.is_complete, n_files(table)) == (6, True, 1)
    assert table.read().sort("ITEM_ID").equals(before.sort("ITEM_ID"))
    assert table.read(version=version).sort("ITEM_ID").equals(before.sort("ITEM_ID"))
    assert table.event_position() == Position(3, 17)
    assert table.snapshot().files[0].sources == {columns.SOURCE_BULK, columns.SOURCE_PUT}
    assert table.current_files() == (11, {table.snapshot().files[0].name})


def test_files_from_before_a_column_was_added_get_it_empty(table, maintain):
    fill(table, 2)
    table.append(pl.DataFrame({"ITEM_ID": ["new"], "ADULT": [True]}))
    maintain()
    assert table.read().filter(pl.col("ADULT"))["ITEM_ID"].to_list() == ["new"]
    assert len(table.read()) == 5


def test_a_table_in_order_gets_no_new_version(table, maintain):
    fill(table, 3)
    version = maintain().version
    again = maintain()
    assert (again.version, again.joined_files, again.removed_files) == (version, 0, 0)


@pytest.mark.parametrize(
    "bounds",
    [
        MaintenanceBounds(group_files=4),
        MaintenanceBounds(group_rows=9),
        MaintenanceBounds(group_bytes=5000),
    ],
)
def test_groups_are_bounded_and_what_they_make_is_joined_in_turn(table, maintain, bounds):
    fill(table, 20)
    before = ids(table)
    most = max(size for _, size in sizes(table))

    maintained = maintain(bounds)

    assert maintained.is_complete
    assert ids(table) == before
    assert n_files(table) < 20
    for rows, size in sizes(table):
        assert rows <= bounds.group_rows
        assert size <= max(bounds.group_bytes, most)
    assert maintain(bounds).joined_files <= 2 * bounds.group_files


def sizes(table) -> list[tuple[int, int]]:
    added = pl.DataFrame(table._open().get_add_actions(flatten=True))
    return list(added.select("num_records", "size_bytes").iter_rows())


def test_time_that_is_up_leaves_the_rest_to_the_next_call(table, maintain):
    fill(table, 12)
    before, ticks = ids(table), iter(range(100))

    first = maintain(MaintenanceBounds(seconds=2.5, group_files=4), monotonic=lambda: float(next(ticks)))

    assert (first.joined_files, first.is_complete) == (8, False)
    assert ids(table) == before
    assert maintain().is_complete
    assert (n_files(table), ids(table)) == (1, before)


def test_bytes_of_one_call_are_bounded(table, maintain):
    fill(table, 12)
    smallest = min(size for _, size in sizes(table))

    first = maintain(MaintenanceBounds(bytes=5 * smallest, group_files=4))

    assert (first.joined_files, first.is_complete) == (4, False)
    assert smallest * 4 <= first.joined_bytes <= smallest * 5


def test_files_that_are_removed_are_bounded(table, maintain, store):
    fill(table, 6)
    maintain()
    first = maintain(MaintenanceBounds(removed_files=4), retention_hours=0)

    assert (first.removed_files, first.is_complete) == (4, False)
    rest = maintain(retention_hours=0)
    assert (rest.removed_files, rest.is_complete) == (2, True)
    assert len(list(store.local_folder("films").glob("*.parquet"))) == 1
    assert len(ids(table)) == 12


def test_old_files_stay_for_their_retention(table, maintain, store):
    fill(table, 3)
    maintain()
    assert maintain().removed_files == 0
    assert len(list(store.local_folder("films").glob("*.parquet"))) == 4


class Contended(MaintainedTable):
    """A table that somebody else commits to, each time before a joined file is committed."""

    def __init__(self, store, *, action, times: int) -> None:
        super().__init__(store, "films")
        self._action, self._left, self._is_staged = action, times, False

    def stage(self, file, name):
        staged = super().stage(file, name)
        self._is_staged = True
        return staged

    def _open(self, version=None):
        table = super()._open(version)
        if self._is_staged and self._left:
            self._left -= 1
            self._action()
        return table


def test_commits_of_others_cost_attempts_and_nothing_is_lost(table, store, tmp_path):
    fill(table, 4)
    contended = Contended(store, action=lambda: fill(table, 1), times=7)

    maintained = contended.maintain(tmp_path, bounds=EVERYTHING, retention_hours=None)

    assert (maintained.joined_files, maintained.is_complete) == (4, True)
    assert len(table.read()) == 8 + 14
    assert n_files(table) == 1 + 7


def test_rows_that_are_deleted_meanwhile_do_not_come_back(table, maintain, store, tmp_path):
    fill(table, 4)
    deleter = ErasableTable(store, "films")
    deleted = pl.Series("ITEM_ID", ["i0-0", "i1-1"])
    contended = Contended(store, action=lambda: deleter.delete_matching(deleted, up_to=0, app_id="deletion"), times=1)

    maintained = contended.maintain(tmp_path, bounds=EVERYTHING, retention_hours=None)

    assert (maintained.joined_files, maintained.is_complete) == (0, False)
    assert not {"i0-0", "i1-1"} & set(ids(table))
    assert len(ids(table)) == 6
    # What was joined for nothing holds the deleted rows.
    assert not list(store.local_folder("films").glob("joined-*"))
    assert maintain().is_complete
    assert len(ids(table)) == 6


def test_a_damaged_file_is_named_and_nothing_changes(table, maintain, store):
    fill(table, 3)
    version = table.version()
    file = next(Path(store.local_folder("films")).glob("*.parquet"))
    file.write_bytes(b"PAR1")
    with pytest.raises(CorruptArtifact, match=file.name):
        maintain()
    assert table.version() == version


def test_a_check_ends_the_work_between_groups(table, maintain):
    class Ended(Exception):
        pass

    fill(table, 8)
    before, checks = ids(table), iter([None, Ended()])

    def check() -> None:
        if (error := next(checks)) is not None:
            raise error

    with pytest.raises(Ended):
        maintain(MaintenanceBounds(group_files=4), check=check)
    assert ids(table) == before
    assert n_files(table) == 5


def test_a_table_on_s3_is_put_in_order_by_way_of_copies(tmp_path):
    with s3_server() as server:
        store = open_store(server.settings(store_url="s3://films/store", s3_timeout_seconds=10.0))
        table = MaintainedTable(store, "films")
        fill(table, 3)
        before = ids(table)

        maintained = table.maintain(tmp_path, bounds=EVERYTHING, retention_hours=0)

        assert (maintained.joined_files, maintained.removed_files, maintained.is_complete) == (3, 3, True)
        assert (ids(table), n_files(table)) == (before, 1)
        assert not list(tmp_path.iterdir())
