"""Packed files, JSON Lines and Parquet: read like CSV, and what is wrong with them is told as exactly."""

from __future__ import annotations

import gzip
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from common.avro import AvroSchema
from common.errors import InvalidInput
from tests.common.data_files.reading import read_files
from tests.trainer.place import HEADERS, SCHEMAS

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ROWS = [("u1", "i1", 1700000000, "watch", 4.5), ("u2", "i2", 1, "watch", None)]
CSV = (HEADERS["INTERACTIONS"] + "\nu1,i1,1700000000,watch,4.5\nu2,i2,1,watch,\n").encode()
FRAME = pl.DataFrame(ROWS, schema=HEADERS["INTERACTIONS"].split(","), orient="row")


def read(path: Path, kind: str = "INTERACTIONS") -> pl.DataFrame:
    return read_files(path, schema=AvroSchema.parse(SCHEMAS[kind]), dataset_type=kind)


def rejection(path: Path, kind: str = "INTERACTIONS") -> str:
    with pytest.raises(InvalidInput) as caught:
        read(path, kind)
    return caught.value.message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv.gz", gzip.compress(CSV, mtime=0)),
        ("a.csv", gzip.compress(CSV, mtime=0)),
        ("two-members.csv.gz", gzip.compress(CSV[:70], mtime=0) + gzip.compress(CSV[70:], mtime=0)),
        ("a.csv.zst", zstd.compress(CSV)),
        ("two-frames.csv.zst", zstd.compress(CSV[:70]) + zstd.compress(CSV[70:])),
        ("marked.csv.gz", gzip.compress(b"\xef\xbb\xbf" + CSV.replace(b"\n", b"\r\n"), mtime=0)),
        ("a.jsonl", FRAME.write_ndjson().encode()),
        ("a.ndjson.zst", zstd.compress(FRAME.write_ndjson().encode())),
    ],
)
def test_packed_files_and_json_lines_are_read(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    assert read(path).rows() == ROWS


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_packed_file_that_is_cut_off_is_refused(tmp_path, pack, kept):
    packed = pack(CSV + b"".join(b"u%d,i%d,%d,watch,\n" % (n, n * 7, n * n) for n in range(2000)))
    path = tmp_path / "a.csv"
    path.write_bytes(packed[: int(len(packed) * kept)])
    assert "a.csv: got a damaged or incomplete" in rejection(path)


def test_members_of_json_may_be_missing_null_or_of_no_schema(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [
        {"ITEM_ID": "i1", "TITLE": 'x, "y"\n', "CHILDREN": True, "YEAR": 1990, "more": [1]},
        {"ITEM_ID": "i2", "TITLE": None, "GENRES": ""},
    ]
    path.write_text("\n\n".join(map(json.dumps, lines)))
    rows = read(path, "ITEMS")
    assert rows.schema["YEAR"] == pl.Int32
    assert rows.rows() == [("i1", 'x, "y"\n', None, 1990, True), ("i2", None, None, None, None)]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"ITEM_ID": "i"', "line 2: got no valid JSON ("),
        ('["ITEM_ID"]', """line 2: got '["ITEM_ID"]', want one JSON object"""),
        ('{"TITLE": "x"}', "line 2, ITEM_ID: got nothing, want a value"),
        ('{"ITEM_ID": 7}', "line 2, ITEM_ID: got '7', want text"),
        ('{"ITEM_ID": "i", "YEAR": "1990"}', "line 2, YEAR: got '1990', want an integer"),
        ('{"ITEM_ID": "i", "YEAR": 1990.0}', "line 2, YEAR: got '1990.0', want an integer"),
        ('{"ITEM_ID": "i", "YEAR": 3000000000}', "line 2, YEAR: got '3000000000', want an integer from"),
        ('{"ITEM_ID": "i", "YEAR": true}', "line 2, YEAR: got 'true', want an integer"),
        ('{"ITEM_ID": "i", "CHILDREN": 1}', "line 2, CHILDREN: got '1', want true or false"),
        ('{"ITEM_ID": "i", "GENRES": ["a"]}', """line 2, GENRES: got '["a"]', want text"""),
        (f'{{"ITEM_ID": "i", "GENRES": {"[" * 999}{"]" * 999}}}', "GENRES: got 'a list that is nested too deep"),
    ],
)
def test_a_bad_object_is_reported_by_line_and_member(tmp_path, line, problem):
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"ITEM_ID": "i0"}}\n{line}\n')
    message = rejection(path, "ITEMS")
    assert "1 of 2 rows cannot be imported" in message
    assert problem in message


def test_numbers_that_32_bits_cannot_hold_are_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"USER_ID":"u","ITEM_ID":"i","TIMESTAMP":1,"EVENT_TYPE":"e","EVENT_VALUE":1e39}\n')
    assert "line 1, EVENT_VALUE: got '1e+39', want a number" in rejection(path)


@pytest.mark.parametrize("rows", [1, 999, 1000, 2500])
def test_parquet_is_read_whatever_its_row_groups(tmp_path, rows):
    frame = pl.DataFrame(
        {
            "OTHER": [1] * rows,
            "TIMESTAMP": pl.Series(range(rows), dtype=pl.UInt32),
            "EVENT_TYPE": pl.Series(["watch"] * rows, dtype=pl.Categorical),
            "ITEM_ID": ["i"] * rows,
            "USER_ID": [f"u{row}" for row in range(rows)],
            "EVENT_VALUE": [float("nan"), *([1.5] * (rows - 1))],
        }
    )
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=300)
    read_back = read(tmp_path / "a.parquet")
    assert read_back["USER_ID"].to_list() == frame["USER_ID"].to_list()
    assert read_back["TIMESTAMP"].to_list() == list(range(rows))
    assert read_back["EVENT_VALUE"][0] is None
    assert read_back.schema == {**FRAME.schema, "EVENT_VALUE": pl.Float32}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (FRAME.drop("ITEM_ID"), "Input CSV is missing the following columns:[ITEM_ID]. (a.parquet)"),
        (FRAME.with_columns(pl.lit(1700000000000).alias("TIMESTAMP")), "line 1, TIMESTAMP: got '1700000000000', want"),
        (FRAME.with_columns(pl.lit(None, pl.String).alias("USER_ID")), "line 1, USER_ID: got nothing, want a value"),
        (FRAME.with_columns(pl.lit("").alias("USER_ID")), "line 1, USER_ID: got nothing, want a value"),
        (FRAME.with_columns(pl.lit(2**64 - 1, pl.UInt64).alias("TIMESTAMP")), "want an integer of 64 bits"),
        (FRAME.with_columns(pl.lit(float("inf")).alias("EVENT_VALUE")), "EVENT_VALUE: got 'inf', want a number"),
        (FRAME.with_columns(pl.lit(datetime.now(UTC)).alias("TIMESTAMP")), "a column TIMESTAMP of the type Datetime"),
        (FRAME.with_columns(pl.lit("1").alias("TIMESTAMP")), "a column TIMESTAMP of the type String, want integers"),
        (FRAME.clear(), "a.parquet: got no rows, want at least one"),
    ],
)
def test_what_is_wrong_with_parquet_is_told(tmp_path, change, problem):
    change.write_parquet(tmp_path / "a.parquet")
    assert problem in rejection(tmp_path / "a.parquet")


def test_a_name_that_looks_like_a_pattern_means_its_file_alone(tmp_path):
    pl.concat([FRAME, FRAME]).write_parquet(tmp_path / "a1.parquet")
    FRAME.write_parquet(tmp_path / "a[1].parquet")

    assert len(read(tmp_path / "a[1].parquet")) == len(FRAME)


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:-9], lambda content: content[50:]])
def test_damaged_parquet_is_told(tmp_path, damage):
    path = tmp_path / "a.parquet"
    FRAME.write_parquet(path)
    path.write_bytes(damage(path.read_bytes()))
    assert "a.parquet: got no valid Parquet file" in rejection(path)


@pytest.mark.parametrize(
    ("timestamp", "unit"),
    [(1700000000000, "milliseconds"), (1700000000000000, "microseconds"), (1700000000000000000, "nanoseconds")],
)
def test_times_in_other_units_are_named(tmp_path, timestamp, unit):
    path = tmp_path / "a.csv"
    path.write_text(f"{HEADERS['INTERACTIONS']}\nu,i,{timestamp},watch,\n")
    assert f"want seconds since 1970-01-01 UTC, of the years 1 to 9999 (not {unit})" in rejection(path)
