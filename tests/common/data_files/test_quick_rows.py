"""The quick way through CSV and the exact one read the same, and the quick one is taken for what is usual."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.avro import AvroSchema
from common.data_files.csv_files import Block, check_lines, quick_rows
from tests.control_plane.world import avro, column

SCHEMA = AvroSchema.parse(
    avro(
        "Users",
        column("USER_ID"),
        column("NAME", ["null", "string"]),
        column("TIMESTAMP", "long"),
        column("AGE", ["null", "int"]),
        column("SCORE", ["null", "float"]),
        column("WEIGHT", ["null", "double"]),
        column("MEMBER", ["null", "boolean"]),
        column("ABOUT", ["null", "string"], textual=True),
    )
)
HEADER = ["USER_ID", "of no schema", "NAME", "TIMESTAMP", "AGE", "SCORE", "WEIGHT", "MEMBER", "ABOUT"]
GOOD = [
    ["u1", "é", "u 2", "a\\b", "#"],
    ["", "x", "1"],
    ["", "a", "b c", "null"],
    ["1", "+5", "-7", "007", "1700000000", "253402300799"],
    ["", "1", "-2147483648", "2147483647"],
    ["", "1", "1.5", "-.5", "5.", "1e5", "1E-3", "+3.2", "-0", "3.4e38"],
    ["", "1", "1e300", "0.1", "123456789.123456789"],
    ["", "true", "false"],
    ["", "ü", "NaN", "x" * 30],
]
SPECIAL = [
    "", "1 ", " 1", " b", "\t1", "\x0b1", "1\x0b", "\x0c1", "+", "-", "--1", "+-1", ".", "e5", "1e", "inf", "nan",
    "-inf", "Infinity", "1_0", "0x1", "2147483648", "9223372036854775808", "253402300800", "1e39", "1e309", "True",
    "TRUE", "1.0", "\u0661", "a,b", "\r", "x\ry", "- 1", "1e+", '"', '"a"', "\u00a01", "x" * 257, "ü" * 200,
]  # fmt: skip

lines = st.builds(
    lambda values, place, special, is_special: ",".join(
        special if is_special and index == place else value for index, value in enumerate(values)
    ),
    st.tuples(*map(st.sampled_from, GOOD)),
    st.integers(0, len(GOOD) - 1),
    st.sampled_from(SPECIAL),
    st.booleans(),
)


@given(rows=st.lists(st.one_of(lines, st.just("")), min_size=1, max_size=4), end=st.sampled_from(["\n", "\r\n"]))
def test_what_is_read_quickly_is_what_is_read_exactly(rows, end):
    block = Block(2, end.join(rows).encode())
    quick = quick_rows(block, HEADER, SCHEMA, dataset_type="USERS")
    if quick is not None:
        exact = check_lines(block, HEADER, SCHEMA, dataset_type="USERS")
        assert exact.bad_rows == 0
        assert quick.schema == exact.rows.schema
        assert quick.equals(exact.rows)


@given(values=st.tuples(*map(st.sampled_from, GOOD)), end=st.sampled_from(["\n", "\r\n"]))
def test_what_is_usual_is_read_quickly(values, end):
    block = Block(2, (",".join(values) + end).encode())
    assert quick_rows(block, HEADER, SCHEMA, dataset_type="USERS") is not None


@pytest.mark.parametrize("line", ["u1,,,1,,,,", "u1,,,1,,,,,,", "u1,,,1,,,,\n,,,,,,,,,,"])
def test_lines_with_another_number_of_values_are_not_read_quickly(line):
    block = Block(2, f"u0,,,1,,,,,\n{line}\n".encode())
    assert quick_rows(block, HEADER, SCHEMA, dataset_type="USERS") is None
    assert check_lines(block, HEADER, SCHEMA, dataset_type="USERS").bad_rows > 0
