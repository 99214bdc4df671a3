"""Reads data files batch by batch, in bounded memory: checked rows, or a report of everything that is wrong with them.

A file that has anything wrong is read to its end all the same, since the report counts; rows are given out only while
nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import polars as pl

from common.arrow_schema import frame_schema
from common.avro import AvroSchema
from common.data_files.ahead import in_order
from common.data_files.csv_files import Block, check_lines, quick_rows, read_blocks
from common.data_files.files import BrokenFile, DataFile, Unpacked, open_unpacked
from common.data_files.formats import foreign_format, format_of
from common.data_files.headers import header_problem, read_header
from common.data_files.json_lines import check_objects
from common.data_files.parquet_files import read_parquet_rows
from common.data_files.report import Report, missing_columns
from common.data_files.values import CheckedRows

__all__ = ["DataReader"]

#: Names of ignored columns that are reported at most.
_MAX_IGNORED: Final = 50


class _Fault(Exception):
    """What ends the reading of all files; the message is for their owner."""


class DataReader:
    """Reads files one after the other. CSV files of one reader have a common header.

    Columns that the schema does not name are passed over: leaving them out of the files is not needed to import them.

    Args:
        schema: The schema of the dataset.
        dataset_type: E.g. `INTERACTIONS`.
        progress: Is given the share that is read, after every batch; may raise.
    """

    def __init__(
        self, schema: AvroSchema, *, dataset_type: str, progress: Callable[[float], None] = lambda _: None
    ) -> None:
        self.report = Report()
        self._schema = schema
        self._dataset_type = dataset_type
        self._progress = progress
        self._header: list[str] = []
        self._first_name = ""

    def batches(self, files: Sequence[DataFile]) -> Iterator[pl.DataFrame]:
        """Yield the rows of files as the schema's columns, in the files' order, and fill the report.

        When the iterator ends, the report says whether anything is wrong; what was yielded must not be used then.

        Args:
            files: At least one.
        """
        try:
            yield from self._all(files)
        except _Fault as fault:
            self.report.fault = str(fault)
        if self.report.clean and not self.report.rows:
            self.report.fault = f"{files[0].name}: got no rows, want at least one"

    def _all(self, files: Sequence[DataFile]) -> Iterator[pl.DataFrame]:
        sizes = [file.path.stat().st_size for file in files]
        total = max(1, sum(sizes))
        before = 0
        for file, size in zip(files, sizes, strict=True):
            try:
                for rows, position in self._file(file, size):
                    if rows is not None and len(rows) and self.report.clean:
                        yield rows
                    self._progress((before + position) / total)
            except BrokenFile as error:
                separator = "," if str(error).startswith("line ") else ":"
                raise _Fault(f"{file.name}{separator} {error}") from error
            before += size

    def _file(self, file: DataFile, size: int) -> Iterator[tuple[pl.DataFrame | None, int]]:
        """Yield rows, and up to where the file is read."""
        kind = format_of(file.name)
        if kind == "parquet":
            self._check_parquet_columns(file)
            for part in read_parquet_rows(file.path, self._schema):
                yield self._checked(file, part.check(self._schema, dataset_type=self._dataset_type)), size
            return
        with open_unpacked(file.path) as unpacked:
            foreign = foreign_format(unpacked.peek())
            if foreign is not None:
                raise _Fault(f"{file.name}: {foreign}")
            if not unpacked.peek():
                expected = "a header and rows" if kind == "csv" else "rows"
                raise _Fault(f"{file.name}: got an empty file, want {expected}")
            if kind == "json_lines":
                for block in read_blocks(unpacked):
                    objects = check_objects(block, self._schema, dataset_type=self._dataset_type)
                    yield self._checked(file, objects), unpacked.position
                return
            for read, position in in_order(self._read_lines, self._csv_blocks(file, unpacked)):
                if isinstance(read, CheckedRows):
                    yield self._checked(file, read), position
                else:
                    self.report.add(file.name, rows=len(read))
                    yield read, position

    def _csv_blocks(self, file: DataFile, unpacked: Unpacked) -> Iterator[tuple[Block, int]]:
        """Yield the lines below the header, and up to where the file is read."""
        for block in read_blocks(unpacked):
            rest = block
            if block.first == 1:
                line, rest = block.split_first()
                self._take_header(file, line)
            yield rest, unpacked.position

    def _read_lines(self, part: tuple[Block, int]) -> tuple[pl.DataFrame | CheckedRows, int]:
        """Return the rows of lines of CSV: by themselves if nothing is wrong, or with what may be; in any thread."""
        block, position = part
        quick = quick_rows(block, self._header, self._schema, dataset_type=self._dataset_type)
        if quick is not None:
            return quick, position
        return check_lines(block, self._header, self._schema, dataset_type=self._dataset_type), position

    def _checked(self, file: DataFile, checked: CheckedRows) -> pl.DataFrame | None:
        whole_lines = sum(count for (column, _), count in checked.counts.items() if not column)
        self.report.add(
            file.name,
            rows=len(checked.rows) + whole_lines,
            bad_rows=checked.bad_rows,
            problems=checked.problems,
            counts=checked.counts,
        )
        types = frame_schema(self._schema)
        return None if checked.bad_rows else checked.rows.cast(types)  # type: ignore[arg-type]  # stubs of Polars

    def _take_header(self, file: DataFile, line: str) -> None:
        """Check a CSV file's first line."""
        try:
            header = read_header(line)
        except ValueError as error:
            raise _Fault(f"{file.name}, line 1: {error}") from error
        if not self._header:
            self._check_columns(file, line, header)
            self._header, self._first_name = header, file.name
        elif header != self._header:
            raise _Fault(
                f"{file.name}: got the header {line[:200]!r}, want that of {self._first_name}: all files of a folder "
                "need the same"
            )

    def _check_columns(self, file: DataFile, line: str, header: list[str]) -> None:
        names = [field.name for field in self._schema.fields]
        problem = header_problem(line, header, schema_columns=names)
        if problem is not None:
            raise _Fault(f"{problem} ({file.name}, line 1)")
        self.report.ignored_columns = sorted(set(header).difference(names))[:_MAX_IGNORED]

    def _check_parquet_columns(self, file: DataFile) -> None:
        try:
            present = pl.scan_parquet(file.path, glob=False).collect_schema()
        except (pl.exceptions.PolarsError, OSError) as error:
            first_line = str(error).split("\n", 1)[0]
            raise BrokenFile(f"got no valid Parquet file ({first_line}), want one that can be read") from error
        names = [field.name for field in self._schema.fields]
        if missing := [name for name in names if name not in present]:
            raise _Fault(f"{missing_columns(missing)} ({file.name})")
        self.report.ignored_columns = sorted(set(present).difference(names))[:_MAX_IGNORED]
