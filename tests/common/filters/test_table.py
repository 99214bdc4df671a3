import operator

import numpy as np
import pytest

from common.filters.expression import Operator
from common.filters.table import NumberColumn, Table, TextColumn, rows_of

RANDOM = np.random.default_rng(1)
N = 100_000
COMPARISONS = [
    (Operator.EQUAL, operator.eq),
    (Operator.IN, operator.eq),
    (Operator.LESS, operator.lt),
    (Operator.LESS_OR_EQUAL, operator.le),
    (Operator.GREATER, operator.gt),
    (Operator.GREATER_OR_EQUAL, operator.ge),
]


@pytest.mark.parametrize(("name", "compare"), COMPARISONS)
@pytest.mark.parametrize("value", [-2, -1, 0, 1, 37, 37.5, 500, 998, 999, 999.5, 1000, 1e300, -1e300, 10**30])
@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "float64"])
def test_numbers_of_many_blocks_are_found_by_range(name, compare, value, dtype):
    numbers = _NUMBERS[dtype]
    expected = np.flatnonzero(compare(numbers.astype(np.float64), value) & ~_NULL)
    assert list(_COLUMNS[dtype].matching(name, value)) == expected.tolist()


_NULL = RANDOM.random(N) < 0.1
_NUMBERS = {dtype: RANDOM.integers(-1, 1000, N).astype(dtype) for dtype in ("int32", "int64", "float32", "float64")}
_COLUMNS = {
    dtype: NumberColumn.build(np.where(_NULL, np.nan, numbers).astype(dtype))
    if dtype.startswith("float")
    else NumberColumn.build(numbers, _NULL)
    for dtype, numbers in _NUMBERS.items()
}


@pytest.mark.parametrize(
    ("numbers", "name", "value", "rows"),
    [
        (np.array([2**53, 2**53 + 1, 2**53 + 2]), "=", 2**53 + 1, [1]),
        (np.array([2**53, 2**53 + 1, 2**53 + 2]), ">", 2.0**53, [1, 2]),
        (np.array([2**63 - 1, -(2**63)]), "<=", 2.0**63, [0, 1]),
        (np.array([2**63 - 1, -(2**63)]), "<", 2**63 - 1, [1]),
        (np.array([2**63 - 1, -(2**63)]), ">=", -(2**63), [0, 1]),
        (np.array([3, 4]), "<", np.inf, [0, 1]),
        (np.array([3, 4]), "<", -np.inf, []),
        # A price of 32 bits is the price that is written with as many digits.
        (np.array([9.99, 10.0], np.float32), "=", 9.99, [0]),
        (np.array([9.99, 10.0], np.float32), "<=", 9.99, [0]),
        (np.array([9.99, 10.0], np.float32), "<", 9.99, []),
        (np.array([9.99, 10.0]), "=", np.float32(9.99), []),
        (np.array([np.inf, 1.0, -np.inf], np.float32), ">", 1e300, []),
        (np.array([np.inf, 1.0, -np.inf], np.float32), "<", 1e300, [1, 2]),
        (np.array([-0.0, 0.0]), "=", 0, [0, 1]),
        (np.array([], np.int64), "=", 0, []),
        (np.array([np.nan]), "<=", 1e308, []),
    ],
)
def test_numbers_are_compared_with_the_precision_of_their_column(numbers, name, value, rows):
    assert list(NumberColumn.build(numbers).matching(Operator(name), value)) == rows


@pytest.mark.parametrize("kind", [int, np.int64])
def test_large_integers_are_compared_exactly_also_with_those_of_a_column(kind):
    column = NumberColumn.build(np.array([2**53, 2**53 + 1, 2**53 + 2]))

    assert list(column.matching(Operator.EQUAL, kind(2**53 + 1))) == [1]
    assert list(column.matching(Operator.LESS, kind(2**53 + 1))) == [0]
    assert column.matching(Operator.EQUAL, column.values_of(1)[0]) == column.matching(Operator.EQUAL, 2**53 + 1)


def test_texts_are_found_among_the_values_of_a_row():
    column = TextColumn.of_values([["a", "b"], [], ["b"], ["B"], ["a", "a"]])
    assert len(column) == 5
    assert [list(column.matching(Operator.EQUAL, text)) for text in ("a", "b", "B", "c", "")] == [
        [0, 4], [0, 2], [3], [], [],
    ]  # fmt: skip
    assert [column.values_of(row) for row in range(5)] == [("a", "b"), (), ("b",), ("B",), ("a", "a")]


def test_texts_of_many_rows_are_found_again():
    column = TextColumn.of_values([["even" if row % 2 == 0 else "odd"] for row in range(5000)])
    expected = list(range(0, 5000, 2))
    assert list(column.matching(Operator.EQUAL, "even")) == expected
    assert list(column.matching(Operator.EQUAL, "even")) == expected


def test_a_table_gives_the_values_of_rows():
    numbers = NumberColumn.build(np.array([1, 2]), np.array([False, True]))
    table = Table(2, {"GENRES": TextColumn.of_values([["a"], ["b", "c"]]), "YEAR": numbers})
    assert len(numbers) == 2
    assert [table.values_of(row, "GENRES") for row in (0, 1, None)] == [("a",), ("b", "c"), ()]
    assert [table.values_of(row, "YEAR") for row in (0, 1)] == [(1,), ()]
    assert table.values_of(0, "BRAND") == ()


def test_rows_come_in_any_order_and_type():
    for dtype in (np.int32, np.int64, np.uint32):
        assert list(rows_of(np.array([3, 1, 70_000, 1], dtype)[::-1])) == [1, 3, 70_000]
