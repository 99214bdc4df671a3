r"""Rows to CSV, in the dialect that imports read: what is written is read back as it was.

A value is quoted if it has a comma, a quote, a backslash or a carriage return in it; inside quotes `\"` and `\\` stand
for a quote and a backslash, as Personalize documents it. No dialect of lines can hold a line break, which becomes a
blank; an empty text and no value are both empty, as they are when they are imported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Final, Self

import polars as pl

__all__ = ["FileWriter", "csv_lines"]

#: Rows that are turned into text at a time.
_SLICE_ROWS: Final = 100_000
_SPECIAL: Final = r'[,"\\\r]'


def csv_lines(rows: pl.DataFrame) -> pl.Series:
    """Return the line of each row, without line ends."""
    return rows.select(
        pl.concat_str([_text(name, kind) for name, kind in rows.schema.items()], separator=",").alias("line")
    )["line"]


def _text(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if kind != pl.String:
        return column.cast(pl.String).fill_null("")
    # Line breaks go first: what ends in one would end its line.
    text = column.str.replace_all("\n", " ", literal=True)
    escaped = text.str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
    quoted = pl.concat_str([pl.lit('"'), escaped, pl.lit('"')])
    return pl.when(text.str.contains(_SPECIAL)).then(quoted).otherwise(text).fill_null("")


class FileWriter:
    """Writes rows into files of bounded size, one after the other, each of which is handed on when it is full.

    As a context manager it closes the file that was not handed on when something failed.

    Args:
        names: Columns of the header.
        folder: Existing, empty, for the file that is being written.
        file_bytes: Size from which on a file is full; it ends with a whole row.
        on_file: Is given each file and its number of rows; the file goes when this returns.
    """

    def __init__(
        self, names: Sequence[str], *, folder: Path, file_bytes: int, on_file: Callable[[Path, int], None]
    ) -> None:
        self._header = (",".join(names) + "\n").encode()
        self._path = folder / "part.csv"
        self._file_bytes = file_bytes
        self._on_file = on_file
        self._file: BinaryIO | None = None
        self._rows = 0
        self.files = 0

    def write(self, rows: pl.DataFrame) -> None:
        """Write rows, and hand on what is full."""
        for part in rows.iter_slices(_SLICE_ROWS):
            lines = csv_lines(part)
            ends = (lines.str.len_bytes().cast(pl.Int64) + 1).cum_sum()
            begin = 0
            while begin < len(lines):
                file = self._opened()
                limit = self._file_bytes - file.tell() + (ends[begin - 1] if begin else 0)
                # The row that fills the file is in it, so that each file has a row at least.
                end = min(max(int((ends < limit).sum()), begin) + 1, len(lines))
                file.write("\n".join([*lines[begin:end].to_list(), ""]).encode())
                self._rows += end - begin
                begin = end
                if file.tell() >= self._file_bytes:
                    self._hand_on()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def finish(self) -> None:
        """Hand on the last file; one that has no rows only if there is no other."""
        if self._file is not None or not self.files:
            self._opened()
            self._hand_on()

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = self._path.open("wb")
            self._file.write(self._header)
        return self._file

    def _hand_on(self) -> None:
        assert self._file is not None, "only an open file is handed on"
        self._file.close()
        self._file = None
        self._on_file(self._path, self._rows)
        self._path.unlink()
        self.files += 1
        self._rows = 0
