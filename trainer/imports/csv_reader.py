"""Reads the CSV files of an import: all of them as one frame, or a report of what is wrong with them.

Files are read line by line, so that every problem has the number of its line. Lines without quotes, nearly all in
practice, are cut by Polars at once; the others one by one, by the same rules: see `trainer.domain.dialect`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from common.arrow_schema import frame_schema
from common.avro import AvroSchema
from common.logs import get_logger
from trainer.domain.dialect import parse_line
from trainer.domain.formats import HEAD_BYTES, foreign_format
from trainer.domain.headers import header_problem, read_header
from trainer.domain.import_report import Problem, Report, import_failed
from trainer.files.sources import SourceFile
from trainer.imports.values import LINE, check_values

__all__ = ["Block", "BrokenFile", "read_blocks", "read_rows", "split_columns"]

_BLOCK_BYTES: Final = 64 * 1024 * 1024
_log = get_logger(__name__)


def read_rows(
    files: Sequence[SourceFile], schema: AvroSchema, *, dataset_type: str, progress: Callable[[float], None]
) -> pl.DataFrame:
    """Read CSV files.

    Columns that the schema does not name are passed over: leaving them out of the files is not needed to import them.

    Args:
        files: At least one; all must have the same header.
        schema: The schema of the dataset.
        dataset_type: E.g. `INTERACTIONS`.
        progress: Is given the share that is read, after every block; may raise.

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
    """Reads files one after the other; keeps their common header, the report, and the rows while nothing is wrong."""

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
        names = [field.name for field in self._schema.fields]
        problem = header_problem(line, header, schema_columns=names)
        if problem is not None:
            raise import_failed(self._dataset_type, f"{problem} ({file.name}, line 1)")
        if extra := sorted(set(header).difference(names)):
            _log.info("columns_passed_over", columns=extra[:50])


@dataclass(frozen=True, slots=True)
class Block:
    """Some lines of a file.

    Attributes:
        first: Number of the first line, from 1.
        lines: Without line ends.
        end: Bytes of the file up to the end of this block.
    """

    first: int
    lines: list[str]
    end: int


class BrokenFile(ValueError):
    """What makes the rest of a file unreadable; the message names the line."""


def read_blocks(path: Path, *, block_bytes: int = _BLOCK_BYTES) -> Iterator[Block]:
    """Yield a file in blocks of whole lines; a byte order mark at its beginning is passed over.

    Raises:
        BrokenFile: A line is not UTF-8, or longer than memory should hold.
    """
    number, end = 1, 0
    with path.open("rb") as file:
        while data := file.read(block_bytes):
            data += file.readline(block_bytes)
            if not data.endswith(b"\n") and file.peek(1):
                line = number + data.count(b"\n")
                raise BrokenFile(f"line {line}: got more than {block_bytes:,} bytes without a line end, want CSV")
            end += len(data)
            if number == 1:
                data = data.removeprefix(b"\xef\xbb\xbf")
            try:
                text = data.decode()
            except UnicodeDecodeError as error:
                line = number + data.count(b"\n", 0, error.start)
                raise BrokenFile(f"line {line}: got bytes that are not UTF-8, want text in UTF-8") from error
            # `splitlines` would also split at characters that may be part of a value.
            lines = text.removesuffix("\n").split("\n")
            yield Block(number, [line.removesuffix("\r") for line in lines], end)
            number += len(lines)


def split_columns(block: Block, names: Sequence[str]) -> tuple[pl.DataFrame, list[Problem]]:
    """Cut lines into columns of text; empty values are null, empty lines no rows.

    Args:
        block: Lines after the header.
        names: The columns, as the header names them.

    Returns:
        The rows with their line numbers, in the order of the file, and the problems of lines that are left out.
    """
    lines = pl.DataFrame(
        {LINE: pl.arange(block.first, block.first + len(block.lines), eager=True, dtype=pl.Int64), "text": block.lines},
        schema_overrides={"text": pl.String},
    ).filter(pl.col("text") != "")
    quoted = lines["text"].str.contains('"', literal=True)
    commas = lines["text"].str.count_matches(",", literal=True)
    fitting = lines.filter(~quoted & (commas == len(names) - 1))
    problems = [_wrong_count(line, count + 1, names) for line, count in zip(
        *(column.to_list() for column in (lines[LINE].filter(~quoted & (commas != len(names) - 1)),
                                          commas.filter(~quoted & (commas != len(names) - 1)))),
        strict=True,
    )]  # fmt: skip
    plain = fitting.select(
        LINE, pl.col("text").str.split_exact(",", len(names) - 1).struct.rename_fields(list(names)).alias("values")
    ).unnest("values")
    parsed, parse_problems = _parse(lines.filter(quoted), names)
    rows = pl.concat([plain, parsed]).sort(LINE) if len(parsed) else plain
    empty_is_null = [pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in names]
    return rows.with_columns(empty_is_null), problems + parse_problems


def _parse(lines: pl.DataFrame, names: Sequence[str]) -> tuple[pl.DataFrame, list[Problem]]:
    rows: list[tuple[object, ...]] = []
    problems = []
    for number, text in lines.iter_rows():
        try:
            values = parse_line(text)
        except ValueError as error:
            problems.append(Problem(number, "", str(error)))
            continue
        if len(values) == len(names):
            rows.append((number, *values))
        else:
            problems.append(_wrong_count(number, len(values), names))
    schema = {LINE: pl.Int64(), **dict.fromkeys(names, pl.String())}
    return pl.DataFrame(rows, schema=schema, orient="row"), problems


def _wrong_count(line: int, count: int, names: Sequence[str]) -> Problem:
    return Problem(line, "", f"got {count} values, want {len(names)}, as the header has")
