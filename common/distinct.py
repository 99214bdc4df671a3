"""Rows without repetitions, in memory that does not depend on how many rows there are.

Batches are gathered and freed of repetitions as long as they fit into memory. What does not fit is dealt out to files
by a hash, so that all repetitions of a row are in one file, and each file is then read as if it were all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from glob import escape
from itertools import chain
from pathlib import Path
from typing import Final

import polars as pl

__all__ = ["Distinct"]

_NUMBER: Final = "_FILE\n"


@dataclass(frozen=True, slots=True)
class Distinct:
    """Reduces batches of rows.

    Attributes:
        keys: Columns by which rows are repetitions of each other.
        reduce: Takes rows and leaves one for each value of the keys; that of all rows must be that of reduced ones.
        folder: Existing, empty, for the files.
        memory_bytes: How much is gathered.
        files: Into how many files rows are dealt out. Each has this share, and is dealt out again if that is too much.
    """

    keys: tuple[str, ...]
    reduce: Callable[[pl.DataFrame], pl.DataFrame]
    folder: Path
    memory_bytes: int
    files: int = 64

    def rows(self, batches: Iterable[pl.DataFrame], *, depth: int = 0) -> Iterator[pl.DataFrame]:
        """Yield the reduced rows of all batches.

        Args:
            batches: With the same columns.
            depth: How often these rows have been dealt out already.
        """
        source = iter(batches)
        gathered: list[pl.DataFrame] = []
        size = 0
        for batch in source:
            gathered.append(batch)
            size += int(batch.estimated_size())
            if size <= self.memory_bytes:
                continue
            gathered = [self.reduce(pl.concat(gathered))]
            size = int(gathered[0].estimated_size())
            # Half, because rows that are nearly all distinct would be reduced again with every batch.
            if size > self.memory_bytes // 2 and len(gathered[0]) > 1:
                yield from self._by_files(chain(gathered, source), depth=depth)
                return
        if gathered:
            yield self.reduce(pl.concat(gathered))

    def _by_files(self, batches: Iterable[pl.DataFrame], *, depth: int) -> Iterator[pl.DataFrame]:
        folder = self.folder / f"depth-{depth}"
        folder.mkdir()
        pending: list[pl.DataFrame] = []
        size = pieces = 0
        for batch in batches:
            pending.append(batch)
            size += int(batch.estimated_size())
            if size > self.memory_bytes // 2:
                self._deal(pl.concat(pending), folder, piece=pieces, depth=depth)
                pending, size, pieces = [], 0, pieces + 1
        if pending:
            self._deal(pl.concat(pending), folder, piece=pieces, depth=depth)
        for number in range(self.files):
            yield from self.rows(_read(folder.glob(f"{number}-*")), depth=depth + 1)
        folder.rmdir()

    def _deal(self, rows: pl.DataFrame, folder: Path, *, piece: int, depth: int) -> None:
        # Another seed at each depth: by the same hash all rows of a file would go into one file again.
        numbers = rows.select(self.keys).hash_rows(seed=depth) % self.files
        for (number,), part in rows.with_columns(numbers.alias(_NUMBER)).partition_by(_NUMBER, as_dict=True).items():
            part.drop(_NUMBER).write_ipc(folder / f"{number}-{piece}", compression="lz4")


def _read(files: Iterable[Path]) -> Iterator[pl.DataFrame]:
    """Yield what files hold; each is gone afterwards."""
    for file in sorted(files):
        yield pl.read_ipc(escape(str(file)))
        file.unlink()
