"""CSV rules: dialect, types, limits, and problems by line and column."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import polars as pl
import pytest

from common.avro import AvroSchema
from common.data_files.csv_files import read_blocks
from common.data_files.files import BrokenFile, open_unpacked
from common.data_files.headers import header_problem
from common.errors import InvalidInput
from tests.common.data_files.reading import read_files
from tests.trainer.place import HEADERS, SCHEMAS


def read(*paths: Path, kind: str = "INTERACTIONS") -> pl.DataFrame:
    return read_files(*paths, schema=AvroSchema.parse(SCHEMAS[kind]), dataset_type=kind)


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


@pytest.mark.parametrize("seconds", [-428716800, -1, 0, -62135596800, 253402300799])
def test_all_seconds_of_the_years_1_to_9999_are_times(file, seconds):
    assert read(file(f"u1,i1,{seconds},watch,1"))["TIMESTAMP"].to_list() == [seconds]


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

    with open_unpacked(path) as file:
        blocks = list(read_blocks(file, block_bytes=16))
        assert file.position == path.stat().st_size

    assert len(blocks) > 10
    assert [line for block in blocks for line in block.lines().rows()] == [
        (1, "head"),
        *((number, f"line {number}") for number in range(2, 50)),
    ]
    assert [block.first for block in blocks] == [block.lines().row(0)[0] for block in blocks]


def test_columns_in_another_order_and_columns_of_no_schema(file):
    rows = read(file("x,watch,5,i1,u1,1", header="NOTE,EVENT_TYPE,TIMESTAMP,ITEM_ID,USER_ID,EVENT_VALUE"))
    assert rows.rows() == [("u1", "i1", 5, "watch", 1.0)]


@pytest.mark.parametrize("extra", ["_LINE", "LINE", "text", "values", ""])
def test_a_column_of_no_schema_may_have_any_name(file, extra):
    rows = read(file('u1,i1,5,watch,1,"x"', "u2,i2,6,watch,2,y", header=f"{HEADERS['INTERACTIONS']},{extra}"))
    assert rows["TIMESTAMP"].to_list() == [5, 6]


def test_missing_columns_are_named_and_what_is_there_instead(file):
    message = refused(file("u1,5,watch", header="USER_ID,TIMESTAMP,EVENT_TYPE"))
    assert message == (
        "Failed to create a data import job for Interactions dataset. "
        "Input CSV is missing the following columns:[ITEM_ID, EVENT_VALUE]. "
        "The header has ['USER_ID', 'TIMESTAMP', 'EVENT_TYPE']. (data.csv, line 1)"
    )


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("user_id,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE", "'user_id' is not USER_ID (upper and lower case)."),
        ("USER_ID,ITEM_ID, TIMESTAMP,EVENT_TYPE,EVENT_VALUE", "' TIMESTAMP' is not TIMESTAMP (spaces around it)."),
        ("USER_ID, item_id ,TIMESTAMP,EVENT_TYPE,EVENT_VALUE", "ITEM_ID (spaces around it, upper and lower case)"),
        ("'USER_ID',ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE", "is not USER_ID (quotes around it)."),
        ("userId,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE", "'userId' is not USER_ID (another spelling)."),
        ("USER_ID\u200b,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE", "(characters that are not seen)."),
        ("USER_ID;ITEM_ID;TIMESTAMP;EVENT_TYPE;EVENT_VALUE", "Names are separated by semicolons, want commas."),
        ("USER_ID\tITEM_ID\tTIMESTAMP\tEVENT_TYPE\tEVENT_VALUE", "Names are separated by tabs, want commas."),
        ("sep=,", "A line `sep=` is for Excel alone"),
        ("sep=;", "A line `sep=` is for Excel alone"),
        ("1,i1,1700000000,watch,", "The header has ['1', 'i1', '1700000000', 'watch', '']."),
    ],
)  # fmt: skip
def test_a_header_that_does_not_fit_is_reported_with_the_reason(file, header, problem):
    path = file("u1,i1,5,watch,1", header=header)
    message = refused(path)
    assert "The header has [" in message
    assert problem in message


def test_a_column_that_comes_twice_is_refused(file):
    header = "USER_ID,ITEM_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE"
    assert "The header has ['ITEM_ID'] more than once" in refused(file("u,i,i,5,w,1", header=header))


def test_a_header_without_bound_is_refused_at_once(file):
    columns = ",".join(f"C{place}" for place in range(10_001))
    assert "got 10,001 columns, want at most 10,000" in refused(file(header=columns))
    assert "got a header of 2,000,000 characters, want at most 1,000,000" in refused(file(header="C" * 2_000_000))
    assert "lines that end in CR alone" in refused(file(header="\r".join(["USER_ID,ITEM_ID", "u1,i1"] * 1000)))


def test_the_longest_header_is_checked_in_one_pass(file):
    class Name(str):
        __slots__ = ()
        compared = 0

        def __eq__(self, other):
            Name.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    header = [Name(f"C{place}") for place in range(10_000)]
    assert header_problem(",".join(header), [*header, *header[:1]], schema_columns=header[:3]) is not None
    assert Name.compared < 10 * len(header)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (
            gzip.compress(gzip.compress(b"USER_ID\n", mtime=0), mtime=0),
            "got a gzip file within another, want CSV or JSON Lines as text",
        ),
        (gzip.compress(b"USER_ID\n" * 100, mtime=0)[:-9], "got a damaged or incomplete gzip file"),
        (b"\x28\xb5\x2f\xfd\x04\x00", "got a damaged or incomplete Zstandard file"),
        (b"PAR1\x15\x04\x15", "got a Parquet file"),
        ("USER_ID\n".encode("utf-16"), "got text in UTF-16"),
        ("USER_ID,ITEM_ID\n".encode("utf-16-le"), "got text in UTF-16"),
        ("USER_ID,ITEM_ID\n".encode("utf-16-be"), "got text in UTF-16"),
        ("USER_ID\n".encode("utf-32"), "got text in UTF-32"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "got an Excel workbook (.xls)"),
    ],
)
def test_a_file_of_another_format_is_named(tmp_path, content, problem):
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    assert f"data.csv: {problem}" in refused(path)


@pytest.mark.parametrize(
    ("entry", "problem"), [("xl/workbook.xml", "got an Excel workbook (.xlsx)"), ("data.csv", "got a zip file")]
)
def test_archives_and_workbooks_are_distinguished(tmp_path, entry, problem):
    path = tmp_path / "data.csv"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, "USER_ID\n")
    assert problem in refused(path)


def test_names_of_columns_that_look_like_a_format_are_text(file):
    header = "PAR1,USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE"
    assert len(read(file("x,u1,i1,5,watch,1", header=header))) == 1


def test_a_line_without_end_is_refused_before_memory_is_full(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(b"A\n" + b"x" * 100)
    with (
        open_unpacked(path) as file,
        pytest.raises(BrokenFile, match="line 2: got more than 16 bytes without a line end"),
    ):
        list(read_blocks(file, block_bytes=16))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (",i1,5,watch,1", "line 3, USER_ID: got nothing, want a value: the schema's USER_ID has no null"),
        ("u1,i1,15/03/2020,watch,1", "line 3, TIMESTAMP: got '15/03/2020', want an integer of 64 bits"),
        ("u1,i1,5.0,watch,1", "line 3, TIMESTAMP: got '5.0', want an integer"),
        ("u1,i1, 5,watch,1", "line 3, TIMESTAMP: got ' 5', want an integer"),
        ("u1,i1,99999999999999999999,watch,1", "line 3, TIMESTAMP: got '99999999999999999999', want an integer of 64"),
        ("u1,i1,1700000000000,watch,1", "line 3, TIMESTAMP: got '1700000000000', want seconds since 1970-01-01 UTC"),
        ("u1,i1,253402300800,watch,1", "253402300800', want seconds since 1970-01-01 UTC, of the years 1 to 9999"),
        ("u1,i1,-428716800000,watch,1", "want seconds since 1970-01-01 UTC, of the years 1 to 9999 (not milliseconds)"),
        ("u1,i1,1700000000000000000,watch,1", "'1700000000000000000', want seconds since 1970-01-01 UTC, of the years"),
        ("u1,i1,5,watch,high", "line 3, EVENT_VALUE: got 'high', want a number"),
        ("u1,i1,5,watch,NaN", "line 3, EVENT_VALUE: got 'NaN', want a number"),
        ("u1,i1,5,watch,inf", "line 3, EVENT_VALUE: got 'inf', want a number"),
        ("u1,i1,5,watch,1e99", "line 3, EVENT_VALUE: got '1e99', want a number"),
        ("u1,i1,5,watch", "line 3: got 4 values, want 5, as the header has"),
        ("u1,i1,5,watch,1,2", "line 3: got 6 values, want 5"),
        ('u1,"i1,5,watch,1', "line 3: got a quote at character 4 that is not closed on its line"),
        ('"u1",i1,5,watch', "line 3: got 4 values, want 5"),
        ("u" * 257 + ",i1,5,watch,1", ("line 3, USER_ID: got 257 characters. Length cannot be more than 256 characters "
                                      "for USER_ID. If no values exceed the character limit, make sure")),
        ("u1,i1,5," + "w" * 1001 + ",1", "Length cannot be more than 1000 characters for EVENT_TYPE"),
    ],
)  # fmt: skip
def test_a_bad_row_is_reported_by_line_and_column(file, line, problem):
    message = refused(file("u0,i0,1,watch,1", line, "u2,i2,2,watch,2"))
    assert message.startswith(
        "Failed to create a data import job for Interactions dataset. 1 of 3 rows cannot be imported, so none was. "
    )
    assert f"data.csv, {problem}" in message or problem in message


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


def test_bytes_that_are_no_text_are_reported_by_line(tmp_path):
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
