"""Rows as CSV: each line is read back as it was, and files end where they are full."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.data_files.dialect import parse_line
from trainer.exports.csv_writer import FileWriter, csv_lines

#: Mostly what is special.
texts = st.text(
    st.one_of(st.sampled_from("\",\\; \t\r'an"), st.characters(exclude_characters="\n", exclude_categories=["Cs"])),
    max_size=12,
)


@given(st.lists(st.tuples(texts, st.none() | texts), min_size=1, max_size=8))
def test_texts_are_read_back_as_they_were(rows):
    frame = pl.DataFrame(rows, schema={"A": pl.String, "B": pl.String}, orient="row")
    assert [parse_line(line) for line in csv_lines(frame)] == [[first, second or ""] for first, second in rows]


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
@pytest.mark.parametrize("kind", [pl.Float32, pl.Float64])
def test_numbers_are_read_back_as_they_were(kind, values):
    finite = pl.Series("A", values, pl.Float64).cast(kind, strict=False)
    finite = finite.set(finite.is_infinite(), 0.0)
    assert csv_lines(pl.DataFrame({"A": finite})).cast(kind).to_list() == finite.to_list()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        (" with blanks ", " with blanks "),
        ("a, b", '"a, b"'),
        ('12" vinyl', r'"12\" vinyl"'),
        (r"DOM\amy", r'"DOM\\amy"'),
        ("two\nlines\n", "two lines "),
        ("", ""),
        (None, ""),
        (-3, "-3"),
        (2.5, "2.5"),
        (True, "true"),
    ],
)
def test_only_what_needs_quotes_has_them(value, text):
    assert csv_lines(pl.DataFrame({"A": [value], "B": ["x"]})).to_list() == [f"{text},x"]


def written(tmp_path, *frames, file_bytes):
    files = []

    def take(path, rows):
        files.append((path.read_text(), rows))

    with FileWriter(["A"], folder=tmp_path, file_bytes=file_bytes, on_file=take) as writer:
        for frame in frames:
            writer.write(frame)
        writer.finish()
    assert list(tmp_path.iterdir()) == []
    assert writer.files == len(files)
    return files


def test_a_file_ends_with_the_row_that_fills_it(tmp_path):
    rows = pl.DataFrame({"A": ["1", "22", "3", "4"]})
    assert written(tmp_path, rows, file_bytes=5) == [("A\n1\n22\n", 2), ("A\n3\n4\n", 2)]
    assert written(tmp_path, rows, file_bytes=1) == [("A\n1\n", 1), ("A\n22\n", 1), ("A\n3\n", 1), ("A\n4\n", 1)]
    assert written(tmp_path, rows[:1], rows[1:], file_bytes=100) == [("A\n1\n22\n3\n4\n", 4)]


def test_no_rows_are_a_file_with_a_header(tmp_path):
    assert written(tmp_path, file_bytes=5) == [("A\n", 0)]
