"""What an import takes out of a table: the files that hold rows of earlier bulk imports.

A file that holds streamed rows as well, as compactions write them, is replaced by one of these alone. Files of streamed
rows alone are not touched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

import polars as pl

from common import columns
from common.table_files import StoredFile, TableFile, TableSnapshot, write_table_file
from common.tables import Table

__all__ = ["BulkFiles"]

_BATCH_ROWS: Final = 500_000


@dataclass(slots=True)
class BulkFiles:
    """The files of a table that have bulk rows; what was read of a file is remembered, since files never change.

    Attributes:
        table: The table.
        folder: Existing, for copies and new files.
    """

    table: Table
    folder: Path
    _sources: dict[str, frozenset[str]] = field(default_factory=dict)
    _streamed: dict[str, list[TableFile]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=count)

    def names(self, snapshot: TableSnapshot) -> list[str]:
        """Return the files of a version that have bulk rows; the errors of `Table.local_file`."""
        return [file.name for file in snapshot.files if columns.SOURCE_BULK in self._sources_of(file)]

    def bulk_rows(self, name: str) -> Iterator[pl.DataFrame]:
        """Yield the bulk rows of a file in batches; the errors of `Table.local_file`."""
        yield from self._rows(name, source=columns.SOURCE_BULK)

    def streamed_rows(self, name: str) -> list[TableFile]:
        """Return files of the streamed rows of a file, written once; the errors of `Table.local_file`."""
        if name not in self._streamed:
            self._streamed[name] = [
                write_table_file(rows, self.folder / f"streamed-{next(self._numbers)}.parquet")
                for rows in self._rows(name, source=columns.SOURCE_PUT)
            ]
        return self._streamed[name]

    def _sources_of(self, file: StoredFile) -> frozenset[str]:
        if file.sources is not None:
            return file.sources
        if file.name not in self._sources:
            path = self.table.local_file(file.name, self.folder)
            scanned = pl.scan_parquet(path, glob=False).select(columns.SOURCE).unique()
            self._sources[file.name] = frozenset(scanned.collect()[columns.SOURCE])
        return self._sources[file.name]

    def _rows(self, name: str, *, source: str) -> Iterator[pl.DataFrame]:
        path = self.table.local_file(name, self.folder)
        total = int(pl.scan_parquet(path, glob=False).select(pl.len()).collect().item())
        for start in range(0, total, _BATCH_ROWS):
            rows = (
                pl.scan_parquet(path, glob=False)
                .slice(start, _BATCH_ROWS)
                .collect()
                .filter(pl.col(columns.SOURCE) == source)
            )
            if len(rows):
                yield rows
