"""The rows of an import on their way to the table: written to files as they are read, then freed of duplicates.

Duplicates are found by hashes of all rows, and judged by the values of those few rows whose hashes occur twice. So each
row is written once, memory stays the same however many there are, and the outcome is exact.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from glob import escape
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import polars as pl

from common.table_files import TableFile, write_table_file
from trainer.imports.row_hashes import RowHashes

__all__ = ["DistinctRows", "Limits", "RowFiles"]

#: Files that are being written while more rows are read.
_WRITES_AHEAD: Final = 1
_BUCKETS: Final = 128
_HASH: Final = "HASH\n"
_IS_NEW: Final = "NEW\n"


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept in memory.

    Attributes:
        file_rows: Rows that are gathered before a file of them is written.
        file_bytes: Bytes of rows, likewise.
        repeated_hashes: Beyond so many repeated hashes all rows count as possible duplicates.
        suspect_bytes: Bytes of possible duplicates that are gathered before they are written.
    """

    file_rows: int = 500_000
    file_bytes: int = 64 * 1024 * 1024
    repeated_hashes: int = 4_000_000
    suspect_bytes: int = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DistinctRows:
    """What is left of rows when duplicates are dropped.

    Attributes:
        files: Of all rows.
        new_rows: How many of the rows were taken after `RowFiles.mark`.
    """

    files: list[TableFile]
    new_rows: int


@dataclass(frozen=True, slots=True)
class _Written:
    """A file, and whether its rows were taken after the mark."""

    file: TableFile
    is_new: bool


class RowFiles:
    """Takes rows batch by batch; a context manager that ends its thread.

    Args:
        folder: Existing and empty, for all files.
        keys: Columns that two rows have in common which are one: all of an event, the id of an item.
        keep: Which of several rows of the same keys stays.
        limits: What is kept in memory.
    """

    def __init__(
        self, folder: Path, *, keys: Sequence[str], keep: Literal["first", "last"], limits: Limits | None = None
    ) -> None:
        self._folder = folder
        self._keys = list(keys)
        self._keep: Literal["first", "last"] = keep
        self._limits = limits or Limits()
        self._hashes = RowHashes(folder)
        self._numbers = count()
        self._is_new = False
        self._buffer: list[pl.DataFrame] = []
        self._buffered_rows = 0
        self._buffered_bytes: float = 0
        self._writes: deque[tuple[Future[TableFile], bool]] = deque()
        self._written: list[_Written] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="row-files")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def add(self, rows: pl.DataFrame) -> None:
        """Take some rows.

        Args:
            rows: The same columns each time.
        """
        self._hashes.add(_hashes_of(rows, self._keys))
        self._buffer.append(rows)
        self._buffered_rows += len(rows)
        self._buffered_bytes += rows.estimated_size()
        if self._buffered_rows >= self._limits.file_rows or self._buffered_bytes >= self._limits.file_bytes:
            self._write_buffer()

    def mark(self) -> None:
        """Count the rows that are taken from now on as new."""
        self._write_buffer()
        self._is_new = True

    def finish(self) -> DistinctRows:
        """Write what is left and drop duplicates."""
        self._write_buffer()
        # While the last files are written.
        repeated = self._hashes.repeated(limit=self._limits.repeated_hashes)
        self._await_writes(0)
        files, new_rows = [], 0
        suspects = _Suspects(self._folder, self._keys, self._keep, self._limits.suspect_bytes)
        for written in self._written:
            is_affected = repeated is None or len(repeated) > 0
            rest = self._without_suspects(written, repeated, suspects) if is_affected else written.file
            if rest is not None:
                files.append(rest)
                new_rows += rest.rows * written.is_new
        for rows in _joined(suspects.distinct(), min_rows=self._limits.file_rows):
            files.append(write_table_file(rows.drop(_IS_NEW), self._next_path()))
            new_rows += int(rows[_IS_NEW].sum())
        return DistinctRows(files, new_rows)

    def _without_suspects(self, written: _Written, repeated: pl.Series | None, suspects: _Suspects) -> TableFile | None:
        """Move the possible duplicates out of a file; None when no row is left."""
        rows = pl.read_parquet(written.file.path, glob=False)
        hashes = _hashes_of(rows, self._keys)
        is_suspect = hashes.is_in(repeated) if repeated is not None else hashes.is_not_null()
        if not is_suspect.any():
            return written.file
        suspects.add(
            rows.with_columns(hashes.alias(_HASH), pl.lit(written.is_new).alias(_IS_NEW)).filter(is_suspect)
        )  # fmt: skip
        written.file.path.unlink()
        rest = rows.filter(~is_suspect)
        return write_table_file(rest, self._next_path()) if len(rest) else None

    def _write_buffer(self) -> None:
        if not self._buffer:
            return
        rows = pl.concat(self._buffer, rechunk=False)
        self._await_writes(_WRITES_AHEAD)
        self._writes.append((self._thread.submit(write_table_file, rows, self._next_path()), self._is_new))
        self._buffer, self._buffered_rows, self._buffered_bytes = [], 0, 0

    def _await_writes(self, remaining: int) -> None:
        while len(self._writes) > remaining:
            future, is_new = self._writes.popleft()
            self._written.append(_Written(future.result(), is_new))

    def _next_path(self) -> Path:
        return self._folder / f"rows-{next(self._numbers):05}.parquet"


@dataclass(slots=True)
class _Suspects:
    """Rows that may be duplicates; those of the same keys come into the same bucket."""

    folder: Path
    keys: list[str]
    keep: Literal["first", "last"]
    max_bytes: int
    _recent: list[pl.DataFrame] = field(default_factory=list)
    _recent_bytes: float = 0
    _buckets: dict[int, list[Path]] = field(default_factory=dict)

    def add(self, rows: pl.DataFrame) -> None:
        """Take rows in their order."""
        if not len(rows):
            return
        rows = self._unique(rows)
        self._recent.append(rows)
        self._recent_bytes += rows.estimated_size()
        if self._recent_bytes > self.max_bytes:
            self._spill()

    def distinct(self) -> Iterator[pl.DataFrame]:
        """Yield the rows that stay, without their hashes, at most a bucket at a time."""
        if self._buckets and self._recent:
            self._spill()
        elif self._recent:
            yield self._unique(pl.concat(self._recent)).drop(_HASH)
        for paths in self._buckets.values():
            yield self._unique(pl.concat([pl.read_ipc(escape(str(path))) for path in paths])).drop(_HASH)
            for path in paths:
                path.unlink()

    def _unique(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.unique(self.keys, keep=self.keep, maintain_order=True)

    def _spill(self) -> None:
        """Move the rows in memory to the files of their buckets."""
        for (bucket,), part in pl.concat(self._recent).group_by(pl.col(_HASH) % _BUCKETS, maintain_order=True):
            paths = self._buckets.setdefault(int(str(bucket)), [])
            path = self.folder / f"suspects-{bucket}-{len(paths)}.arrow"
            part.write_ipc(path)
            paths.append(path)
        self._recent, self._recent_bytes = [], 0


def _joined(frames: Iterable[pl.DataFrame], *, min_rows: int) -> Iterator[pl.DataFrame]:
    """Yield frames joined to larger ones; all but the last have a number of rows at least."""
    gathered: list[pl.DataFrame] = []
    for frame in frames:
        gathered.append(frame)
        if sum(map(len, gathered)) >= min_rows:
            yield pl.concat(gathered)
            gathered = []
    if gathered:
        yield pl.concat(gathered)


def _hashes_of(rows: pl.DataFrame, keys: list[str]) -> pl.Series:
    return rows.select(keys).hash_rows(seed=0)
