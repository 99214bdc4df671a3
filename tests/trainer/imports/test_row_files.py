"""Rows on their way to the table: nothing gets lost, duplicates do, in memory and out of it alike."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.imports.row_files import Limits, RowFiles
from trainer.imports.row_hashes import RowHashes

#: Limits that a handful of rows exceed, together and one by one.
LIMITS = {
    "large": Limits(),
    "small": Limits(file_rows=3, repeated_hashes=1, suspect_bytes=1),
    "files": Limits(file_rows=2),
    "spilt": Limits(suspect_bytes=1),
    "everything suspected": Limits(file_rows=4, repeated_hashes=0),
}
all_limits = pytest.mark.parametrize("limits", LIMITS.values(), ids=LIMITS)

rows = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", "d", None]), st.integers(0, 2), st.sampled_from([None, 0.5, 1.0])),
    max_size=20,
)


def written(folder, existing, new, **options):
    with RowFiles(folder, **options) as files:
        for row in existing:
            files.add(frame([row]))
        files.mark()
        for row in new:
            files.add(frame([row]))
        return files.finish()


def frame(values) -> pl.DataFrame:
    return pl.DataFrame(values, schema={"K": pl.String, "N": pl.Int64, "V": pl.Float32}, orient="row")


def content(files) -> list[tuple]:
    for file in files:
        assert len(pl.read_parquet(file.path)) == file.rows > 0
    return sorted((row for file in files for row in pl.read_parquet(file.path).rows()), key=repr)


@all_limits
@settings(deadline=None, max_examples=40)  # each example writes files
@given(existing=rows, new=rows)
def test_the_last_row_of_an_id_stays(tmp_path_factory, limits, existing, new):
    distinct = written(tmp_path_factory.mktemp("rows"), existing, new, keys=["K"], keep="last", limits=limits)
    last = {row[0]: row for row in [*existing, *new]}
    assert content(distinct.files) == sorted(last.values(), key=repr)
    assert distinct.new_rows == len({row[0] for row in new})


@all_limits
@settings(deadline=None, max_examples=40)
@given(new=rows)
def test_one_of_identical_rows_stays(tmp_path_factory, limits, new):
    distinct = written(tmp_path_factory.mktemp("rows"), [], new, keys=["K", "N", "V"], keep="first", limits=limits)
    assert content(distinct.files) == sorted(set(new), key=repr)
    assert distinct.new_rows == len(set(new))


@pytest.fixture(params=[5, 1_000_000], ids=["in files", "in memory"])
def hashes(tmp_path, request):
    return RowHashes(tmp_path, in_memory=request.param)


def test_repeated_hashes_are_those_of_many_batches(hashes):
    drawn = np.random.default_rng(1).integers(0, 2**64, 500, dtype=np.uint64)
    batches = [drawn[:200], drawn[200:], drawn[100:103], drawn[100:103], np.empty(0, np.uint64)]
    for batch in batches:
        hashes.add(pl.Series(batch, dtype=pl.UInt64))
    assert sorted(hashes.repeated(limit=3)) == sorted(drawn[100:103].tolist())


def test_too_many_repeated_hashes_are_not_listed(hashes):
    for _ in range(2):
        hashes.add(pl.Series(range(10), dtype=pl.UInt64))
    assert hashes.repeated(limit=9) is None
    assert len(hashes.repeated(limit=10)) == 10


def test_no_rows_have_no_repeated_hashes(hashes):
    assert len(hashes.repeated(limit=1)) == 0
