"""Snapshots hold the newest version of each id, column by column, and are published once and whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common import columns
from common.arrow_schema import frame_schema
from common.errors import CorruptArtifact, ResourceNotFound
from common.feature_folders import features_folder, features_location
from common.features import open_snapshot
from common.features.publishing import open_or_make_snapshot, publish_snapshot
from common.filters.expression import Operator
from common.positions import START, Position
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.tables import Table
from tests.common.features.rows import SCHEMA, SCHEMA_TEXT, conditions, frame, ids, matching, rows, shown

TABLE = "datasets/1/group/films"
POSITION = Position(7, 40)


def store_in(folder):
    return open_store(StoreSettings(store_url=str(folder)))


def published(store, folder: Path, *, memory_bytes=1 << 20, version=None, check=lambda: None, confirm=lambda: None):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    version = Table(store, TABLE).version() if version is None else version
    publish_snapshot(
        store, TABLE, SCHEMA_TEXT, dataset_type="ITEMS", version=version, folder=folder, memory_bytes=memory_bytes,
        check=check, confirm=confirm,
    )  # fmt: skip
    return open_snapshot(store, features_location(TABLE, version), cache=folder / "cache")


@settings(max_examples=15, deadline=None)
@given(
    imported=st.dictionaries(ids, rows, min_size=1),
    put=st.dictionaries(ids, rows),
    memory_bytes=st.sampled_from([1, 500, 1 << 20]),
    queries=st.lists(conditions, min_size=3, max_size=6),
)
def test_it_holds_the_newest_version_of_each_id(imported, put, memory_bytes, queries):
    with TemporaryDirectory() as place:
        store, held = store_in(f"{place}/store"), {**imported, **put}
        table = Table(store, TABLE)
        table.append(frame(imported, source=columns.SOURCE_BULK, offset=3))
        table.upsert_records(frame(put, source=columns.SOURCE_PUT, offset=40), POSITION, key="ITEM_ID", after=START)

        snapshot = published(store, Path(place) / "work", memory_bytes=memory_bytes)

        assert sorted(snapshot.ids.ids(range(snapshot.n_rows))) == sorted(held)
        assert snapshot.position == POSITION
        for item, values in held.items():
            row = snapshot.ids.index(item)
            assert {name: snapshot.text(row, name) for name in values} == {name: shown(values, name) for name in values}
            assert snapshot.table.values_of(row, "ITEM_ID") == (item,)
        for name, operator, value in queries:
            got = snapshot.table.columns[name].matching(Operator(operator), value)
            assert {snapshot.ids.id(row) for row in got} == matching(held, name, operator, value)
        assert {"STORY", "NEW"}.isdisjoint(snapshot.table.columns)


@pytest.fixture
def store(tmp_path):
    store = store_in(tmp_path / "store")
    empty = dict.fromkeys(frame_schema(SCHEMA))
    del empty["ITEM_ID"]
    Table(store, TABLE).append(frame({"a": empty, "b": empty}, source=columns.SOURCE_BULK, offset=None))
    return store


def test_one_version_is_published_once(store, tmp_path):
    first = published(store, tmp_path / "work")
    files = sorted(item.path for item in store.list(features_folder(TABLE)))
    second = published(store, tmp_path / "work")
    assert first.manifest == second.manifest
    assert sorted(item.path for item in store.list(features_folder(TABLE))) == files
    assert all(path.startswith("datasets/1/group/features/films/00000000000000000000/") for path in files)


def test_an_earlier_version_is_what_it_was(store, tmp_path):
    Table(store, TABLE).append(frame({"c": dict.fromkeys(list(frame_schema(SCHEMA))[1:])}, source="put", offset=1))
    assert published(store, tmp_path / "work", version=0).n_rows == 2
    assert published(store, tmp_path / "work").n_rows == 3


def test_a_column_that_the_table_has_not_got_yet_is_null(tmp_path):
    store = store_in(tmp_path / "store")
    Table(store, TABLE).append(pl.DataFrame({"ITEM_ID": ["a"], columns.SOURCE: [columns.SOURCE_BULK]}))
    snapshot = published(store, tmp_path / "work")
    assert [snapshot.text(0, name) for name in snapshot.columns] == [None] * 8


def test_an_empty_table_has_an_empty_snapshot(store, tmp_path):
    empty = frame({}, source=columns.SOURCE_PUT, offset=1)
    Table(store, "datasets/1/group/none").upsert_records(empty, POSITION, key="ITEM_ID", after=START)
    work = tmp_path / "work"
    work.mkdir()
    publish_snapshot(
        store, "datasets/1/group/none", SCHEMA_TEXT, dataset_type="ITEMS", version=0, folder=work, check=lambda: None,
        confirm=lambda: None,
    )  # fmt: skip
    snapshot = open_snapshot(store, features_location("datasets/1/group/none", 0), cache=tmp_path)
    assert (snapshot.n_rows, snapshot.table.n_rows, snapshot.ids.index("a")) == (0, 0, None)
    assert not snapshot.table.columns["GENRES"].matching(Operator.EQUAL, "a")


def test_a_job_that_must_end_publishes_nothing(store, tmp_path):
    calls = []

    def check():
        calls.append(1)
        if len(calls) == 5:
            raise RuntimeError("ended")

    with pytest.raises(RuntimeError, match="ended"):
        published(store, tmp_path / "work", check=check)
    assert not list(store.list(features_folder(TABLE)))


def test_it_is_published_when_that_is_confirmed_and_not_asked_again_once_it_is(store, tmp_path):
    def refuse():
        raise RuntimeError("not mine any more")

    with pytest.raises(RuntimeError, match="not mine"):
        published(store, tmp_path / "work", confirm=refuse)
    assert not list(store.list(features_folder(TABLE)))
    published(store, tmp_path / "work")
    assert published(store, tmp_path / "work", confirm=refuse).n_rows == 2


def published_or_made(store, folder, schema=SCHEMA_TEXT):
    folder.mkdir()
    return open_or_make_snapshot(store, TABLE, schema, dataset_type="ITEMS", version=0, folder=folder)


def test_what_is_not_published_is_made_for_who_needs_it_and_stays_unpublished(store, tmp_path):
    made = published_or_made(store, tmp_path / "made")

    assert sorted(made.ids.ids(range(made.n_rows))) == ["a", "b"]
    assert not list(store.list(features_folder(TABLE)))


def test_what_is_published_with_the_same_schema_is_not_made_again(store, tmp_path):
    published(store, tmp_path / "work")

    assert published_or_made(store, tmp_path / "opened").n_rows == 2
    assert not list((tmp_path / "opened").iterdir())

    wider = json.loads(SCHEMA_TEXT)
    wider["fields"].append({"name": "LATER", "type": ["null", "int"]})
    made = published_or_made(store, tmp_path / "wider", json.dumps(wider))
    assert made.text(0, "LATER") is None
    assert "LATER" in made.columns


def test_there_is_none_of_a_version_that_the_table_lacks(store, tmp_path):
    with pytest.raises(ResourceNotFound):
        published(store, tmp_path / "work", version=5)


@pytest.mark.parametrize(
    "name", ["ids.offsets", "column_0.rows", "column_0.codes", "column_3.ordered", "column_2.data"]
)
def test_files_that_do_not_belong_together_are_refused(store, tmp_path, name):
    snapshot = published(store, tmp_path / "work")
    folder = tmp_path / "store" / features_location(TABLE, 0) / snapshot.manifest.files_folder
    array = np.load(folder / f"{name}.npy")
    np.save(folder / f"{name}.npy", np.append(array, array.dtype.type(1)))
    with pytest.raises(CorruptArtifact):
        type(snapshot).load(folder, snapshot.manifest)
