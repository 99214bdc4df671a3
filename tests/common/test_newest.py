"""Which version of an id holds."""

from __future__ import annotations

import polars as pl
import pytest

from common import columns
from common.newest import newest


def version(name, source, offset=None, item="i1"):
    return {"ITEM_ID": item, "NAME": name, columns.SOURCE: source, columns.LOG_OFFSET: offset}


SCHEMA = {"ITEM_ID": pl.String, "NAME": pl.String, columns.SOURCE: pl.String, columns.LOG_OFFSET: pl.Int64}


@pytest.mark.parametrize(
    ("versions", "holds"),
    [
        ([version("imported", "bulk"), version("put", "put", 7)], "put"),
        ([version("later", "put", 8), version("earlier", "put", 7)], "later"),
        ([version("imported later", "bulk", 9), version("put", "put", 8)], "imported later"),
        ([version("imported earlier", "bulk", 6), version("put", "put", 8)], "put"),
        ([version("imported after it", "bulk", 8), version("put", "put", 8)], "imported after it"),
    ],
)
@pytest.mark.parametrize("turn", [1, -1])
def test_the_version_with_the_largest_offset_holds(versions, holds, turn):
    rows = pl.DataFrame(versions[::turn], schema=SCHEMA)
    assert newest(rows, ["ITEM_ID"])["NAME"].to_list() == [holds]


def test_each_id_has_one_row():
    rows = pl.DataFrame([version("a", "bulk"), version("b", "bulk", item="i2"), version("c", "put", 1)], schema=SCHEMA)
    assert sorted(newest(rows, ["ITEM_ID"])["NAME"].to_list()) == ["b", "c"]


def test_a_table_without_offsets_has_imported_rows_alone():
    rows = pl.DataFrame([version("a", "bulk"), version("b", "bulk", item="i2")], schema=SCHEMA)
    assert newest(rows.drop(columns.LOG_OFFSET), ["ITEM_ID"])["NAME"].to_list() == ["a", "b"]
