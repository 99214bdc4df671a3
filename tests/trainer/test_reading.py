"""CSV rules: dialect, types, limits, and problems by line and column."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from common.avro import AvroSchema
from common.errors import InvalidInput
from tests.trainer.place import HEADERS, SCHEMAS
from trainer.imports.lines import parse_line, read_blocks
from trainer.imports.reading import read_rows
from trainer.imports.sources import SourceFile


def read(*paths: Path, kind: str = "INTERACTIONS") -> pl.DataFrame:
    files = [SourceFile(path.name, path) for path in paths]
    return read_rows(files, AvroSchema.parse(SCHEMAS[kind]), dataset_type=kind, progress=lambda share: None)


def refused(*paths: Path, kind: str = "INTERACTIONS") -> str:
    with pytest.raises(InvalidInput) as caught:
        read(*paths, kind=kind)
    return caught.value.message


@pytest.fixture
def file(tmp_path):
    def write(*lines: str, kind: str = "INTERACTIONS", name: str = "data.csv", header: str | None = None) -> Path:
        path = tmp_path / name
        path.write_text("\n".join([header or HEADERS[kind], *lines]) + "\n")
        return path

    return write


def test_values_get_the_types_of_the_schema(file):
    rows = read(file("u1,i1,1700000000,watch,4.5", "u2,i2,+1,watch,"))

    assert rows.schema["TIMESTAMP"] == pl.Int64
    assert rows.schema["EVENT_VALUE"] == pl.Float32
    assert rows.rows() == [("u1", "i1", 1700000000, "watch", 4.5), ("u2", "i2", 1, "watch", None)]


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("a,b,", ["a", "b", ""]),
        ('a,"b, c",d', ["a", "b, c", "d"]),
        (r'"say \"hi\"",x', ['say "hi"', "x"]),
        (r'"back\\slash",x', ["back\\slash", "x"]),
        (r"back\slash,x", ["back\\slash", "x"]),
        ('"say ""hi""",x', ['say "hi"', "x"]),
        (r'"ends with a backslash\\","x"', ["ends with a backslash\\", "x"]),
    ],
)
def test_quotes_and_escapes(line, values):
    assert parse_line(line) == values


def test_quoted_and_plain_lines_keep_their_order(file):
    rows = read(
        file('i1,"Red, White",a|b,1990,true', "i2,Blue,,,", r'i3,"The \"Big\" One",a,1991,false', kind="ITEMS"),
        kind="ITEMS",
    )
    assert rows.rows() == [
        ("i1", "Red, White", "a|b", 1990, True),
        ("i2", "Blue", None, None, None),
        ("i3", 'The "Big" One', "a", 1991, False),
    ]


def test_blocks_are_cut_between_lines_and_numbered_through(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(b"\xef\xbb\xbfhead\r\n" + b"".join(b"line %d\r\n" % number for number in range(2, 50)))

    blocks = list(read_blocks(path, block_bytes=16))

    assert len(blocks) > 10
    assert [line for block in blocks for line in block.lines] == [
        "head",
        *(f"line {number}" for number in range(2, 50)),
    ]
    assert [block.first for block in blocks] == [
        1 + sum(len(earlier.lines) for earlier in blocks[:place]) for place in range(len(blocks))
    ]
    assert blocks[-1].end == path.stat().st_size


def test_columns_in_another_order_and_columns_of_no_schema(file):
    rows = read(file("x,watch,5,i1,u1,1", header="NOTE,EVENT_TYPE,TIMESTAMP,ITEM_ID,USER_ID,EVENT_VALUE"))
    assert rows.rows() == [("u1", "i1", 5, "watch", 1.0)]


def test_missing_columns_are_named(file):
    told = refused(file("u1,5,watch", header="USER_ID,TIMESTAMP,EVENT_TYPE"))
    assert told == (
        "Failed to create a data import job for Interactions dataset. "
        "Input CSV is missing the following columns:[ITEM_ID, EVENT_VALUE]."
    )


def test_a_column_that_comes_twice_is_refused(file):
    assert "line 1: got ITEM_ID more than once" in refused(file("u,i,i,5,w,1", header="USER_ID,ITEM_ID,ITEM_ID,"
                                                                "TIMESTAMP,EVENT_TYPE,EVENT_VALUE"))  # fmt: skip


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (",i1,5,watch,1", "line 3, USER_ID: got nothing, want a value: the schema's USER_ID has no null"),
        ("u1,i1,15/03/2020,watch,1", "line 3, TIMESTAMP: got '15/03/2020', want an integer of 64 bits"),
        ("u1,i1,5.0,watch,1", "line 3, TIMESTAMP: got '5.0', want an integer"),
        ("u1,i1, 5,watch,1", "line 3, TIMESTAMP: got ' 5', want an integer"),
        ("u1,i1,99999999999999999999,watch,1", "line 3, TIMESTAMP: got '99999999999999999999', want an integer of 64"),
        ("u1,i1,1700000000000,watch,1", "line 3, TIMESTAMP: got '1700000000000', want seconds since 1970-01-01 UTC"),
        ("u1,i1,-1,watch,1", "line 3, TIMESTAMP: got '-1', want seconds since"),
        ("u1,i1,5,watch,high", "line 3, EVENT_VALUE: got 'high', want a number"),
        ("u1,i1,5,watch,NaN", "line 3, EVENT_VALUE: got 'NaN', want a number"),
        ("u1,i1,5,watch,inf", "line 3, EVENT_VALUE: got 'inf', want a number"),
        ("u1,i1,5,watch,1e99", "line 3, EVENT_VALUE: got '1e99', want a number"),
        ("u1,i1,5,watch", "line 3: got 4 values, want 5, as the header has"),
        ("u1,i1,5,watch,1,2", "line 3: got 6 values, want 5"),
        ('u1,"i1,5,watch,1', "line 3: got no CSV"),
        ('"u1",i1,5,watch', "line 3: got 4 values, want 5"),
        ("u" * 257 + ",i1,5,watch,1", ("line 3, USER_ID: got 257 characters. Length cannot be more than 256 characters "
                                      "for USER_ID. If no values exceed the character limit, make sure")),
        ("u1,i1,5," + "w" * 1001 + ",1", "Length cannot be more than 1000 characters for EVENT_TYPE"),
    ],
)  # fmt: skip
def test_a_bad_row_is_told_by_line_and_column(file, line, told):
    message = refused(file("u0,i0,1,watch,1", line, "u2,i2,2,watch,2"))
    assert message.startswith(
        "Failed to create a data import job for Interactions dataset. 1 of 3 rows cannot be imported, so none was. "
    )
    assert f"data.csv, {told}" in message or told in message


def test_booleans_are_in_lower_case(file):
    assert "line 2, CHILDREN: got 'True', want true or false" in refused(file("i,,,,True", kind="ITEMS"), kind="ITEMS")


def test_integers_of_32_bits_end_there(file):
    assert "line 2, YEAR: got '3000000000'" in refused(file("i,,,3000000000,", kind="ITEMS"), kind="ITEMS")


def test_values_of_the_longest_length_pass(file):
    rows = read(file(f"{'u' * 256},{'ü' * 256},5,{'w' * 1000},1"))
    assert rows["ITEM_ID"].str.len_chars().to_list() == [256]


def test_all_bad_rows_are_counted_whatever_is_wrong_with_them(file):
    message = refused(file("u1,i1,x,watch,y", "u2,i2", ",,,,", "u3,i3,3,watch,3", ""))
    assert "3 of 4 rows cannot be imported" in message
    assert "line 2, EVENT_VALUE: got 'y', want a number; data.csv, line 2, TIMESTAMP" in message


def test_bytes_that_are_no_text_are_told_by_line(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes(HEADERS["INTERACTIONS"].encode() + b"\nu1,i1,5,watch,1\nJos\xe9,i1,5,watch,1\n")
    assert "latin.csv, line 3: got bytes that are not UTF-8" in refused(path)


def test_a_file_without_rows_is_refused(file, tmp_path):
    assert "got no rows" in refused(file())
    empty = tmp_path / "empty.csv"
    empty.touch()
    assert "empty.csv: got an empty file" in refused(empty)


def test_files_of_one_import_need_one_header(file):
    first = file("u1,i1,5,watch,1", name="a.csv")
    second = file("i1,u1,5,watch,1", name="b.csv", header="ITEM_ID,USER_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE")
    assert "b.csv: got the header 'ITEM_ID,USER_ID" in refused(first, second)
    assert len(read(first, file("u2,i2,6,watch,2", name="c.csv"))) == 2


def test_a_bad_second_file_is_named(file):
    message = refused(file("u1,i1,5,watch,1", name="a.csv"), file("u1,i1,x,watch,1", name="b.csv"))
    assert "1 of 2 rows cannot be imported, so none was. b.csv, line 2, TIMESTAMP" in message
