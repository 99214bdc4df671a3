"""All files of an import as one frame, or a report of what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import polars as pl

from common.arrow_schema import frame_schema
from common.avro import AvroSchema
from common.logs import get_logger
from trainer.domain.formats import HEAD_BYTES, foreign_format
from trainer.domain.headers import header_problem, read_header
from trainer.domain.import_report import Report, import_failed
from trainer.imports.lines import Block, BrokenFile, read_blocks, split_columns
from trainer.imports.sources import SourceFile
from trainer.imports.values import check_values

__all__ = ["read_rows"]

_log = get_logger(__name__)


def read_rows(
    files: Sequence[SourceFile], schema: AvroSchema, *, dataset_type: str, progress: Callable[[float], None]
) -> pl.DataFrame:
    """Read CSV files.

    Columns that the schema does not name are passed over: leaving them out of the files is not needed to import them.

    Args:
        files: At least one; all must have the same header.
        schema: Of the dataset.
        dataset_type: E.g. `INTERACTIONS`.
        progress: Told the share that is read, after every block; may raise.

    Returns:
        The schema's columns, rows in the order of the files.

    Raises:
        InvalidInput: Anything is wrong with any file; the message is the report.
    """
    reader = _Reader(schema, dataset_type)
    total = max(1, sum(file.path.stat().st_size for file in files))
    before = 0
    for file in files:
        for end in reader.read(file):
            progress((before + end) / total)
        before += file.path.stat().st_size
    if not reader.report.clean:
        raise import_failed(dataset_type, reader.report.detail)
    if not reader.report.rows:
        raise import_failed(dataset_type, f"{files[0].name}: got no rows, want at least one below the header")
    return pl.concat(reader.parts)


class _Reader:
    """What is known while files are read, one after the other."""

    def __init__(self, schema: AvroSchema, dataset_type: str) -> None:
        self.report = Report()
        self.parts: list[pl.DataFrame] = []
        self._schema = schema
        self._dataset_type = dataset_type
        self._header: list[str] = []
        self._first_name = ""

    def read(self, file: SourceFile) -> Iterator[int]:
        """Read a file; yields the bytes read after each block."""
        with file.path.open("rb") as opened:
            foreign = foreign_format(opened.read(HEAD_BYTES))
        if foreign is not None:
            raise import_failed(self._dataset_type, f"{file.name}: {foreign}")
        empty = True
        try:
            for block in read_blocks(file.path):
                rows, empty = block, False
                if block.first == 1:
                    self._take_header(file, block.lines[0])
                    rows = Block(2, block.lines[1:], block.end)
                self._take_rows(file, rows)
                yield block.end
        except BrokenFile as error:
            raise import_failed(self._dataset_type, f"{file.name}, {error}") from error
        if empty:
            raise import_failed(self._dataset_type, f"{file.name}: got an empty file, want a header and rows")

    def _take_header(self, file: SourceFile, line: str) -> None:
        """Check a file's first line."""
        try:
            header = read_header(line)
        except ValueError as error:
            raise import_failed(self._dataset_type, f"{file.name}, line 1: {error}") from error
        if not self._header:
            self._check_columns(file, line, header)
            self._header, self._first_name = header, file.name
        elif header != self._header:
            raise import_failed(
                self._dataset_type,
                f"{file.name}: got the header {line[:200]!r}, want that of {self._first_name}: all files of a folder "
                "need the same",
            )

    def _take_rows(self, file: SourceFile, block: Block) -> None:
        """Check the rows of a block and keep them while nothing is wrong."""
        text, problems = split_columns(block, self._header)
        checked = check_values(text, self._schema, dataset_type=self._dataset_type)
        self.report.add(
            file.name,
            rows=len(text) + len(problems),
            bad_rows=len(checked.bad_lines) + len(problems),
            problems=[*problems, *checked.problems],
        )
        if self.report.clean:
            # Polars' stubs do not know that `cast` takes a mapping of names to types.
            self.parts.append(checked.rows.cast(frame_schema(self._schema)))  # type: ignore[arg-type]
        else:
            self.parts.clear()  # a bad file changes nothing, so its rows need no memory

    def _check_columns(self, file: SourceFile, line: str, header: list[str]) -> None:
        wanted = [field.name for field in self._schema.fields]
        problem = header_problem(line, header, wanted=wanted)
        if problem is not None:
            raise import_failed(self._dataset_type, f"{problem} ({file.name}, line 1)")
        if extra := sorted(set(header).difference(wanted)):
            _log.info("columns_passed_over", columns=extra[:50])
