"""Which commits change rows."""

from __future__ import annotations

from functools import partial

import polars as pl
import pytest

from common.settings import StoreSettings
from common.storage.objects import open_store
from common.table_changes import rows_changed_since
from common.table_maintenance import MaintainedTable, MaintenanceBounds


@pytest.fixture
def store(tmp_path):
    return open_store(StoreSettings(store_url=str(tmp_path)))


@pytest.fixture
def table(store):
    table = MaintainedTable(store, "films")
    for name in ("first", "second"):
        table.append(pl.DataFrame({"ITEM_ID": [name]}))
    return table


@pytest.fixture
def compact(table, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    return partial(table.maintain, folder, bounds=MaintenanceBounds(), retention_hours=168)


@pytest.fixture
def changed(store):
    return partial(rows_changed_since, store, "films")


def test_compactions_change_no_rows(table, compact, changed):
    assert changed(0)
    before = table.version()
    compact()
    assert table.version() > before
    assert not changed(before)
    assert not changed(table.version())

    table.append(pl.DataFrame({"ITEM_ID": ["new"]}))
    assert changed(before)


def test_what_a_commit_that_is_gone_did_counts_as_a_change(table, compact, changed, tmp_path):
    before = table.version()
    compact()  # writes a checkpoint
    for commit in (tmp_path / "films" / "_delta_log").glob("*.json"):
        commit.unlink()
    assert changed(before)
