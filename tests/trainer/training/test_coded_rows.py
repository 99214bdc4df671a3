"""Interactions are read with ids as numbers, in batches, and mean what the table says."""

import polars as pl
import pytest
from deltalake import DeltaTable

from common import columns
from common.avro import AvroField, AvroSchema
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.tables import Table
from trainer.training.coded_rows import by_users, read_coded

NAMES = [columns.USER_ID, columns.ITEM_ID, columns.TIMESTAMP, columns.EVENT_TYPE]
SCHEMA = AvroSchema(
    "Interactions", tuple(AvroField(name, "long" if name == columns.TIMESTAMP else "string") for name in NAMES)
)
#: With a context, and with lists of what was shown, which hardly ever repeat.
SITUATED = AvroSchema(
    "Interactions",
    (*SCHEMA.fields, *(AvroField(name, "string", categorical=True) for name in ("DEVICE", columns.IMPRESSION))),
)


@pytest.fixture
def table(tmp_path):
    return Table(open_store(StoreSettings(store_url=str(tmp_path))), "datasets/interactions")


def rows(users, *, begin=0, **more):
    count = len(users)
    plain = {
        columns.USER_ID: users,
        columns.ITEM_ID: [f"i{(begin + place) % 3}" for place in range(count)],
        columns.TIMESTAMP: [begin + place for place in range(count)],
        columns.EVENT_TYPE: ["watch"] * count,
        columns.EVENT_ID: pl.Series([None] * count, dtype=pl.String),
        columns.LOG_OFFSET: pl.Series([None] * count, dtype=pl.Int64),
        columns.SESSION_ID: pl.Series([None] * count, dtype=pl.String),
    }
    return pl.DataFrame(plain | more)


def test_coded_columns_read_and_sort_as_texts(table):
    first, second = rows(["u2", "u10", None]), rows(["u1", "u2"], begin=3)
    table.append(first)
    version = table.append(second)

    read = read_coded(table, SCHEMA, version=version)

    texts = [columns.USER_ID, columns.ITEM_ID, columns.EVENT_TYPE]
    assert all(isinstance(read[name].dtype, pl.Enum) for name in texts)
    plain = read.with_columns(pl.col(name).cast(pl.String) for name in texts).sort(columns.TIMESTAMP)
    assert plain.rows() == pl.concat([first, second]).select(NAMES).rows()
    in_order = read[columns.USER_ID].sort(nulls_last=True).cast(pl.String).to_list()
    assert in_order == ["u1", "u10", "u2", "u2", None]


def test_categories_are_coded_and_lists_of_what_was_shown_are_not(table):
    devices = ["tv", None, "car", "tv"]
    version = table.append(rows(["u1"] * 4, DEVICE=devices, IMPRESSION=["i1|i2", None, "i2", "i1"]))

    read = read_coded(table, SITUATED, version=version)

    assert (read["DEVICE"].to_list(), read["DEVICE"].dtype) == (devices, pl.Enum(["car", "tv"]))
    assert read[columns.IMPRESSION].dtype == pl.String


def test_internal_columns_are_read_where_events_have_values(table):
    version = table.append(rows(["u1"]))
    assert read_coded(table, SCHEMA, version=version).columns == NAMES
    version = table.append(rows(["u1"], **{columns.LOG_OFFSET: [7], columns.SESSION_ID: ["s1"]}))
    read = read_coded(table, SCHEMA, version=version)
    assert set(read.columns) == {*NAMES, columns.LOG_OFFSET, columns.SESSION_ID}
    assert sorted(read[columns.LOG_OFFSET].to_list(), key=str) == [7, None]


def test_a_table_whose_rows_have_all_been_deleted_is_read(table, tmp_path):
    table.append(rows(["u1", "u2"]))
    DeltaTable(str(tmp_path / table.location)).delete()
    read = read_coded(table, SCHEMA, version=table.version())
    assert (len(read), read.columns) == (0, NAMES)


def test_parts_have_all_rows_of_their_users_in_order():
    frame = rows([f"u{place * 7 % 50}" for place in range(400)])
    parts = list(by_users(frame, rows_at_once=90))
    assert len(parts) == 5
    users = [set(part[columns.USER_ID]) for part in parts]
    assert sum(len(each) for each in users) == len(set.union(*users)) == 50
    assert all(part[columns.TIMESTAMP].is_sorted() for part in parts)
    assert sum(len(part) for part in parts) == 400
