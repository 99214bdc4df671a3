"""Tables whose files are damaged are told by the file, tables that cannot be reached are not."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest

from common import columns
from common.errors import CorruptArtifact, ResourceNotFound
from common.positions import START, Position
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.table_files import write_table_file
from common.table_maintenance import MaintainedTable, MaintenanceBounds
from common.tables import NO_VERSION, Table, TableChanged


@pytest.fixture
def table(tmp_path):
    table = Table(open_store(StoreSettings(store_url=str(tmp_path))), "films")
    for first in (0, 1000):
        table.append(pl.DataFrame({"ITEM_ID": [f"i{first + number}" for number in range(1000)]}))
    return table


def compact(table: Table) -> None:
    with TemporaryDirectory() as folder:
        maintained = MaintainedTable(table._store, table.location)
        maintained.maintain(Path(folder), bounds=MaintenanceBounds(), retention_hours=168)


def damaged_file(tmp_path):
    return max((tmp_path / "films").glob("*.parquet"))


def flipped(content: bytes, place: float) -> bytes:
    at = int(len(content) * place)
    return content[:at] + bytes(byte ^ 0xFF for byte in content[at : at + 20]) + content[at + 20 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: flipped(content, 0.1),
        lambda content: flipped(content, 0.3),
        lambda content: flipped(content, 0.95),
        lambda content: b"PAR1" + bytes(range(256)) * 20 + b"\x10\0\0\0PAR1",
    ],
)
def test_a_damaged_file_is_named(table, tmp_path, damage):
    file = damaged_file(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(CorruptArtifact, match=f"dataset films: the file films/{file.name} is damaged"):
        table.read()


def test_a_file_that_is_gone_is_named(table, tmp_path):
    file = damaged_file(tmp_path)
    file.unlink()
    with pytest.raises(CorruptArtifact, match=f"the file films/{file.name} is gone"):
        table.read()


def test_a_damaged_log_is_named(table, tmp_path):
    file = max((tmp_path / "films" / "_delta_log").glob("*.json"))
    file.write_text('{"add": ')
    with pytest.raises(CorruptArtifact, match=f"the file films/_delta_log/{file.name} is damaged"):
        table.read()


def test_reading_an_empty_table_is_not_found(tmp_path):
    with pytest.raises(ResourceNotFound, match="holds no data yet"):
        Table(open_store(StoreSettings(store_url=str(tmp_path))), "films").read()


@pytest.fixture
def staged(table, tmp_path):
    file = write_table_file(pl.DataFrame({"ITEM_ID": ["new"], "N": [7]}), tmp_path / "new.parquet")
    return table.stage(file, "import-1/attempt/0.parquet")


def test_staged_files_are_seen_from_their_commit_on(table, staged):
    before = table.snapshot()
    assert len(table.read()) == 2000

    removed = [before.files[0].name]
    version = table.replace_files([staged], removed=removed, after=before.version, app_id="import-1", number=1)

    rows = table.read()
    assert (len(rows), rows.filter(pl.col("ITEM_ID") == "new")["N"].to_list()) == (1001, [7])
    assert (table.version(), table.transaction("import-1")) == (version, 1)
    assert len(table.read(version=before.version)) == 2000
    table.append(pl.DataFrame({"ITEM_ID": ["later"], "N": [8]}))
    compact(table)
    assert len(table.read()) == 1002


@pytest.mark.parametrize("other_commit", [
    lambda table: table.append(pl.DataFrame({"ITEM_ID": ["x"]})),
    compact,
])  # fmt: skip
def test_files_are_not_replaced_after_another_commit(table, staged, other_commit):
    before = table.snapshot()
    other_commit(table)
    after = table.read()

    with pytest.raises(TableChanged):
        table.replace_files([staged], removed=[before.files[0].name], after=before.version, app_id="import-1", number=1)

    assert table.read().sort("ITEM_ID").equals(after.sort("ITEM_ID"))
    assert table.transaction("import-1") is None


def test_a_table_is_made_once(table, staged):
    with pytest.raises(TableChanged):
        table.replace_files([staged], removed=[], after=NO_VERSION, app_id="import-1", number=1)
    assert len(table.read()) == 2000


def test_maintenance_removes_what_was_never_committed_after_a_week(table, staged, tmp_path):
    path = tmp_path / "films" / staged.name
    compact(table)
    assert path.exists()
    os.utime(path, (0, 0))
    compact(table)
    assert not path.exists()
    assert len(table.read()) == 2000


def test_files_of_another_disk_are_copied(table):
    shared_memory = Path("/dev/shm")
    if not shared_memory.is_dir():
        pytest.skip("there is no second file system")
    with TemporaryDirectory(dir=shared_memory) as folder:
        file = write_table_file(pl.DataFrame({"ITEM_ID": ["new"]}), Path(folder) / "new.parquet")
        staged = table.stage(file, "import-1/attempt/0.parquet")
    table.replace_files([staged], removed=[], after=table.version(), app_id="import-1", number=1)
    assert len(table.read()) == 2001


def rows(number):
    return pl.DataFrame({"ITEM_ID": [f"i{number}"], columns.LOG_OFFSET: [number], columns.SOURCE: ["put"]})


def append_events(table, number, after):
    return table.append_events(rows(number), Position(7, number), after=after)


def upsert_records(table, number, after):
    return table.upsert_records(rows(number), Position(7, number), key="ITEM_ID", after=after)


WRITES = pytest.mark.parametrize("write", [append_events, upsert_records])


@WRITES
def test_streamed_rows_are_written_only_behind_the_position_that_the_writer_had_read(tmp_path, write):
    table = Table(open_store(StoreSettings(store_url=str(tmp_path))), "streamed")
    assert write(table, 1, START) == 0

    for after in (START, Position(8, 1), Position(7, 2)):
        with pytest.raises(TableChanged):
            write(table, 2, after)

    assert write(table, 3, Position(7, 1)) == 1
    assert table.event_position() == Position(7, 3)
    assert table.read()["ITEM_ID"].sort().to_list() == ["i1", "i3"]


@WRITES
def test_of_many_that_write_streamed_rows_at_once_one_does(tmp_path, write):
    table = Table(open_store(StoreSettings(store_url=str(tmp_path))), "streamed")
    position, outcomes, barrier = START, [], threading.Barrier(6)

    def attempt(number):
        barrier.wait()
        try:
            write(table, number, position)
        except TableChanged:
            outcomes.append(None)
        else:
            outcomes.append(number)

    # The first round makes the table.
    for round_number in range(4):
        outcomes.clear()
        threads = [threading.Thread(target=attempt, args=[10 * round_number + place + 1]) for place in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (winner,) = [number for number in outcomes if number is not None]
        assert table.event_position() == Position(7, winner)
        position = Position(7, winner)

    assert table.read().height == 4


@WRITES
def test_other_commits_do_not_hinder_streamed_rows(tmp_path, write):
    table = Table(open_store(StoreSettings(store_url=str(tmp_path))), "streamed")
    write(table, 1, START)
    table.append(pl.DataFrame({"ITEM_ID": ["imported"]}), app_id="import", number=1)

    assert write(table, 2, Position(7, 1)) == 2
