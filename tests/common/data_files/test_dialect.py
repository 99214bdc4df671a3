"""The dialect of CSV: rules, files of other programs, and tables of any content."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from common.avro import AvroSchema
from common.data_files.csv_files import read_blocks, split_columns
from common.data_files.dialect import parse_line
from common.data_files.files import open_unpacked
from tests.common.data_files.reading import read_files
from tests.control_plane.world import avro, column

GOLDEN = Path(__file__).with_name("golden")
TABLE = json.loads((GOLDEN / "table.json").read_text())


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("a,b,", ["a", "b", ""]),
        ("", [""]),
        ('a,"b, c",d', ["a", "b, c", "d"]),
        (r'"say \"hi\"",x', ['say "hi"', "x"]),
        ('"say ""hi""",x', ['say "hi"', "x"]),
        (r'"back\\slash",x', ["back\\slash", "x"]),
        (r'"ends with a backslash\\","x"', ["ends with a backslash\\", "x"]),
        (r'"\n is no line break","\\n"', [r"\n is no line break", r"\n"]),
        (r'DOM\amy,"i1",1700000000', [r"DOM\amy", "i1", "1700000000"]),
        (r"DOM\amy,i1,1700000000", [r"DOM\amy", "i1", "1700000000"]),
        (r'DOM\\amy,"i1"', [r"DOM\\amy", "i1"]),
        (r'"DOM\amy",i1', [r"DOM\amy", "i1"]),
        ('12" vinyl,x', ['12" vinyl', "x"]),
        ('"",x', ["", "x"]),
        ('a, "b, c" ,d"', ["a", ' "b', ' c" ', 'd"']),
        ('x\ry,"a\rb"', ["x\ry", "a\rb"]),
    ],
)
def test_each_value_is_read_by_itself(line, values):
    assert parse_line(line) == values


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('a,"b', "got a quote at character 3 that is not closed on its line, want values without line breaks"),
        (r'a,"b\"', "character 3 that is not closed"),
        ('"', "character 1 that is not closed"),
        ('"a"b,c', "got 'b' at character 4, after a closing quote, want a comma"),
        (r"say \"hi\",x", r"got \" at character 5, in a value that is not quoted"),
    ],
)
def test_what_is_broken_is_reported_by_its_character(line, problem):
    with pytest.raises(ValueError, match=re.escape(problem)):
        parse_line(line)


@pytest.mark.parametrize("file", sorted(path.name for path in GOLDEN.glob("*.csv")))
def test_files_of_other_programs_are_read_value_by_value(file):
    schema = AvroSchema.parse(
        avro("Items", column("ITEM_ID"), column("TITLE", ["null", "string"]), column("GENRES", ["null", "string"]))
    )
    rows = read_files(GOLDEN / file, schema=schema, dataset_type="ITEMS")
    assert [[value or "" for value in row] for row in rows.rows()] == TABLE["rows"]
    assert rows.columns == TABLE["columns"]


#: Everything but line breaks, and mostly what is special.
values = st.text(
    st.one_of(st.sampled_from("\",\\; \t\r'an"), st.characters(exclude_characters="\n", exclude_categories=["Cs"])),
    max_size=12,
)
tables = st.integers(2, 5).flatmap(
    lambda width: st.lists(st.lists(values, min_size=width, max_size=width), min_size=1, max_size=6)
)


def read_back(path: Path, text: str, width: int) -> list[list[str]]:
    path.write_bytes(text.encode())
    names = [f"C{place}" for place in range(width)]
    with open_unpacked(path) as file:
        (block,) = read_blocks(file)
    rows, problems = split_columns(block, names)
    assert problems == []
    return [[value or "" for value in row] for row in rows.select(names).rows()]


def written(path: Path, rows: list[list[str]], **style: object) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, **style).writerows(rows)
    return path.read_bytes().decode()


def certain(rows: list[list[str]]) -> bool:
    r"""Tell whether no value has what doubled quotes cannot say: a backslash before a quote, another, or the end.

    Nor does a row end in CR, which `csv` leaves without quotes where lines end in LF.
    """
    return not any(row[-1].endswith("\r") for row in rows) and not any(
        "\\\\" in value or '\\"' in value or value.endswith("\\") for row in rows for value in row
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("dialect") / "table.csv"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@given(rows=tables)
def test_any_table_with_doubled_quotes_is_read_back(path, end, quoting, rows):
    assume(certain(rows))
    text = written(path, rows, quoting=quoting, lineterminator=end)
    assert read_back(path, text, len(rows[0])) == rows


@given(rows=tables)
def test_any_table_with_escapes_is_read_back(path, rows):
    text = written(path, rows, quoting=csv.QUOTE_ALL, doublequote=False, escapechar="\\")
    assert read_back(path, text, len(rows[0])) == rows


def spark_value(value: str) -> str:
    """Write a value as Spark does, see the golden file: escapes in quotes, quotes where they are needed."""
    if value and not set(value) & set('",\r\n'):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(rows=tables)
def test_any_table_of_spark_is_read_back(path, rows):
    text = "".join(",".join(map(spark_value, row)) + "\n" for row in rows)
    assert read_back(path, text, len(rows[0])) == rows


def test_the_writer_that_stands_for_spark_writes_what_spark_writes():
    lines = [",".join(map(spark_value, row)) for row in [TABLE["columns"], *TABLE["rows"]]]
    assert (GOLDEN / "spark-default.csv").read_text() == "\n".join(lines) + "\n"
