"""Rows without repetitions, whether they fit into memory or not."""

from __future__ import annotations

from functools import partial

import polars as pl
import pytest

from common.distinct import Distinct


def batches(rows: int, *, distinct: int, size: int = 500):
    return (
        pl.DataFrame({"ID": [str(number % distinct) for number in range(begin, begin + size)], "N": 1})
        for begin in range(0, rows, size)
    )


@pytest.mark.parametrize("memory_bytes", [4_000, 1_000_000])
@pytest.mark.parametrize("distinct", [1, 3, 700, 3_000])
def test_each_row_is_there_once_whatever_fits_into_memory(tmp_path, memory_bytes, distinct):
    reduce = Distinct(("ID",), partial(pl.DataFrame.unique, subset=["ID"]), tmp_path, memory_bytes, files=4)

    parts = list(reduce.rows(batches(3_000, distinct=distinct)))

    assert sorted(pl.concat(parts)["ID"].to_list()) == sorted(map(str, range(distinct)))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_looks_like_a_pattern_is_one(tmp_path):
    folder = tmp_path / "a[1]*"
    folder.mkdir()
    reduce = Distinct(("ID",), partial(pl.DataFrame.unique, subset=["ID"]), folder, 4_000, files=4)

    assert sum(map(len, reduce.rows(batches(3_000, distinct=700)))) == 700


def test_what_does_not_fit_comes_in_parts(tmp_path):
    reduce = Distinct(("ID",), partial(pl.DataFrame.unique, subset=["ID"]), tmp_path, 20_000)

    parts = list(reduce.rows(batches(20_000, distinct=20_000)))

    assert len(parts) == 64
    assert max(part.estimated_size() for part in parts) < 20_000


def test_nothing_is_nothing(tmp_path):
    assert list(Distinct(("ID",), pl.DataFrame.unique, tmp_path, 10).rows([])) == []
