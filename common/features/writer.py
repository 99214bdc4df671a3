"""Makes the files of a snapshot from the rows of a table, in memory that does not depend on the number of columns.

The newest version of each id is written to files of rows first. Then ids and columns are made one after another from
those files, each of which holds a bounded part of the rows: what is in memory at a time is one column's numbers, codes
or distinct texts, with the order that indexes it, about 24 bytes for each row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from glob import escape
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from common.arrays import create_array, save_arrays
from common.arrow_schema import polars_type
from common.avro import AvroField, AvroSchema
from common.distinct import Distinct
from common.features.columns import SEPARATOR, column_name, kind_of
from common.features.snapshot import id_column
from common.filters import NumberColumn
from common.filters.table import invert
from common.newest import newest
from common.vocabulary import Vocabulary
from protos.tailorbird.storage.v1.feature_manifest_pb2 import FeatureColumn, FeatureKind

__all__ = ["write_features"]

#: Texts that are turned into Python objects at a time.
_SLICE: Final = 100_000


def write_features(
    batches: Iterable[pl.DataFrame],
    schema: AvroSchema,
    *,
    work: Path,
    target: Path,
    memory_bytes: int,
    check: Callable[[], None],
) -> tuple[int, list[FeatureColumn]]:
    """Write the files of a snapshot; return the number of rows, and the columns.

    Args:
        batches: All rows of the table, with the schema's columns and the internal ones that tell versions apart.
        schema: What the columns are.
        work: Existing, empty, for files that are not part of the snapshot.
        target: Existing, empty, for those that are.
        memory_bytes: How much of the rows is gathered before they are dealt out to files.
        check: Called again and again; raises when the work must end.
    """
    key = id_column(schema)
    rows = _write_rows(batches, schema, key=key, work=work, memory_bytes=memory_bytes, check=check)
    sizes = sum(int(ids.str.len_bytes().sum()) for ids in rows.column(key))
    Vocabulary.write(target, "ids", _slices(rows.column(key)), count=rows.count, size=sizes)
    written = list[FeatureColumn]()
    for field in schema.fields:
        if field.name != key:
            check()
            kind = kind_of(field)
            _WRITERS[kind](rows, field, target, column_name(len(written)))
            written.append(FeatureColumn(name=field.name, kind=kind))
    return rows.count, written


@dataclass(frozen=True, slots=True)
class _Rows:
    """The newest version of each id, in files.

    Attributes:
        files: In order.
        count: Rows of all files.
        check: See `write_features`.
    """

    files: Sequence[Path]
    count: int
    check: Callable[[], None]

    def column(self, name: str) -> Iterator[pl.Series]:
        """Yield a column, file by file."""
        for file in self.files:
            self.check()
            yield pl.read_ipc(escape(str(file)), columns=[name])[name]


def _write_rows(
    batches: Iterable[pl.DataFrame],
    schema: AvroSchema,
    *,
    key: str,
    work: Path,
    memory_bytes: int,
    check: Callable[[], None],
) -> _Rows:
    dealt, kept = work / "dealt", work / "rows"
    dealt.mkdir()
    kept.mkdir()
    distinct = Distinct((key,), partial(newest, keys=[key]), dealt, memory_bytes)
    files, count = list[Path](), 0
    for rows in distinct.rows(batches):
        check()
        if rows.height:
            files.append(kept / f"{len(files):06}")
            rows.select([field.name for field in schema.fields]).write_ipc(files[-1], compression="lz4")
            count += rows.height
    return _Rows(files, count, check)


def _write_categories(rows: _Rows, field: AvroField, target: Path, name: str) -> None:
    values, total = _distinct_texts(rows, field)
    size = int(values.str.len_bytes().sum())
    Vocabulary.write(target, f"{name}.values", _slices([values]), count=len(values), size=size)
    offsets = create_array(target, f"{name}.offsets", np.int64, rows.count + 1)
    codes = create_array(target, f"{name}.codes", np.int32, total)
    row = place = 0
    for series in rows.column(field.name):
        flat = _flat(series, field)
        lengths = np.bincount(flat["row"].to_numpy(), minlength=len(series))
        np.cumsum(lengths, out=offsets[row + 1 : row + len(series) + 1])
        offsets[row + 1 : row + len(series) + 1] += place
        # The distinct texts ascend.
        codes[place : place + flat.height] = values.search_sorted(flat["text"]).to_numpy()
        row, place = row + len(series), place + flat.height
    ends, indexed = invert(codes, offsets=offsets, n_values=len(values))
    save_arrays(target, {f"{name}.ends": ends, f"{name}.rows": indexed})


def _distinct_texts(rows: _Rows, field: AvroField) -> tuple[pl.Series, int]:
    """Return the distinct texts of a column, ascending, and how many there are in all rows together."""
    distinct, pending, total = pl.Series("text", [], pl.String), list[pl.Series](), 0
    for series in rows.column(field.name):
        flat = _flat(series, field)["text"]
        total += len(flat)
        pending.append(flat.unique())
        # Joined when there is as much again, so that all joining together costs as much as the last.
        if sum(map(len, pending)) > max(len(distinct), _SLICE):
            distinct, pending = pl.concat([distinct, *pending]).unique(), []
    return pl.concat([distinct, *pending]).unique().sort(), total


def _flat(series: pl.Series, field: AvroField) -> pl.DataFrame:
    """Return `row` and `text` of each text of a column; a row's are in their order, each once."""
    frame = pl.DataFrame({"row": pl.arange(len(series), eager=True), "text": series})
    if not field.categorical:
        return frame.filter(pl.col("text").is_not_null())
    parts = frame.with_columns(pl.col("text").str.split(SEPARATOR)).explode("text")
    stripped = parts.with_columns(pl.col("text").str.strip_chars())
    return stripped.filter(pl.col("text").is_not_null() & (pl.col("text") != "")).unique(maintain_order=True)


def _write_numbers(rows: _Rows, field: AvroField, target: Path, name: str) -> None:
    dtype = pl.Series([], dtype=polars_type(field)).to_numpy().dtype
    values = create_array(target, f"{name}.values", dtype, rows.count)
    is_null = np.zeros(rows.count, bool)
    row = 0
    for series in rows.column(field.name):
        values[row : row + len(series)] = series.fill_null(0).to_numpy()
        is_null[row : row + len(series)] = series.is_null().to_numpy()
        row += len(series)
    indexed = NumberColumn.build(values, is_null)
    parts = {"is_null": indexed.is_null, "rows": indexed.rows, "ordered": indexed.ordered}
    save_arrays(target, {f"{name}.{part}": array for part, array in parts.items()})


def _write_texts(rows: _Rows, field: AvroField, target: Path, name: str) -> None:
    size = sum(int(series.str.len_bytes().sum()) for series in rows.column(field.name))
    data = create_array(target, f"{name}.data", np.uint8, size)
    offsets = create_array(target, f"{name}.offsets", np.int64, rows.count + 1)
    is_null = create_array(target, f"{name}.is_null", np.bool_, rows.count)
    row = place = 0
    for series in rows.column(field.name):
        lengths = series.str.len_bytes().fill_null(0).cast(pl.Int64).to_numpy()
        np.cumsum(lengths, out=offsets[row + 1 : row + len(series) + 1])
        offsets[row + 1 : row + len(series) + 1] += place
        is_null[row : row + len(series)] = series.is_null().to_numpy()
        joined = "".join(series.drop_nulls().to_list()).encode()
        data[place : place + len(joined)] = np.frombuffer(joined, np.uint8)
        row, place = row + len(series), place + len(joined)


def _write_booleans(rows: _Rows, field: AvroField, target: Path, name: str) -> None:
    values = create_array(target, f"{name}.values", np.int8, rows.count)
    row = 0
    for series in rows.column(field.name):
        values[row : row + len(series)] = series.cast(pl.Int8).fill_null(-1).to_numpy()
        row += len(series)


_Writer = Callable[[_Rows, AvroField, Path, str], None]
_WRITERS: Final[dict[FeatureKind.ValueType, _Writer]] = {
    FeatureKind.FEATURE_KIND_CATEGORIES: _write_categories,
    FeatureKind.FEATURE_KIND_STRING: _write_categories,
    FeatureKind.FEATURE_KIND_NUMBER: _write_numbers,
    FeatureKind.FEATURE_KIND_TEXT: _write_texts,
    FeatureKind.FEATURE_KIND_BOOLEAN: _write_booleans,
}


def _slices(texts: Iterable[pl.Series]) -> Iterator[list[str]]:
    for series in texts:
        for begin in range(0, len(series), _SLICE):
            yield series.slice(begin, _SLICE).to_list()
