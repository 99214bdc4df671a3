"""CSV as bytes to rows of the schema: whole blocks at once where nothing is special, line by line where something is.

Both ways read the one dialect of `common.data_files.dialect`. The quick way is only taken for blocks that Polars is
certain to read just so, and given up as soon as any value breaks a rule, so that the exact one can say which.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from common.arrow_schema import polars_type
from common.avro import AvroSchema
from common.data_files.dialect import parse_line
from common.data_files.files import BrokenFile, Unpacked
from common.data_files.report import Problem, Rule
from common.data_files.values import CheckedRows, Column, all_valid, check_columns, convert_text, normalised

__all__ = ["Block", "check_lines", "quick_rows", "read_blocks", "split_columns"]

_BLOCK_BYTES: Final = 8 * 1024 * 1024
_MARK: Final = b"\xef\xbb\xbf"
#: Name of the column that numbers the lines; neither a schema nor a header, which is one line, can name it.
_LINE: Final = "LINE\n"
_COMMA, _NEWLINE = 0x2C, 0x0A
#: A value that Polars reads as the dialect says: no backslash, no quote in a bare value, no CR, which Polars may drop.
_PLAIN_VALUE: Final = r'(?:"(?:[^"\\\r]|"")*"|[^",\\\r]*)'
#: A pattern for more columns would take more memory than it is worth.
_MAX_PATTERN_COLUMNS: Final = 128


@dataclass(frozen=True, slots=True)
class Block:
    """Some lines of a file.

    Attributes:
        first: Number of the first line, from 1.
        data: The lines, each with its line end; the file's last may lack it.
    """

    first: int
    data: bytes

    def split_first(self) -> tuple[str, Block]:
        """Return the first line without its end, and the rest.

        Raises:
            BrokenFile: It is not UTF-8.
        """
        line, _, rest = self.data.partition(b"\n")
        return Block(self.first, line).text().removesuffix("\r"), Block(self.first + 1, rest)

    def text(self) -> str:
        """Return the lines as text.

        Raises:
            BrokenFile: They are not UTF-8.
        """
        try:
            return self.data.decode()
        except UnicodeDecodeError as error:
            line = self.first + self.data.count(b"\n", 0, error.start)
            raise BrokenFile(f"line {line}: got bytes that are not UTF-8, want text in UTF-8") from error

    def lines(self) -> pl.DataFrame:
        """Return the lines without their ends, each with its number; empty ones are left out.

        Raises:
            BrokenFile: They are not UTF-8.
        """
        # Only LF ends a line: other characters that Python takes for line ends may be part of a value.
        text = pl.Series([self.text().removesuffix("\n")]).str.split("\n").explode().str.strip_suffix("\r")
        numbers = pl.arange(self.first, self.first + len(text), eager=True, dtype=pl.Int64)
        return pl.DataFrame({_LINE: numbers, "text": text}).filter(pl.col("text") != "")


def read_blocks(file: Unpacked, *, block_bytes: int = _BLOCK_BYTES) -> Iterator[Block]:
    """Yield a file in blocks of whole lines; a byte order mark at its beginning is passed over.

    Raises:
        BrokenFile: A line is longer than memory should hold, or the file is damaged.
    """
    number = 1
    while data := file.read(block_bytes):
        data += file.readline(block_bytes)
        if not data.endswith(b"\n") and file.peek():
            line = number + data.count(b"\n")
            raise BrokenFile(f"line {line}: got more than {block_bytes:,} bytes without a line end, want lines")
        yield Block(number, data.removeprefix(_MARK) if number == 1 else data)
        number += _count(data, _NEWLINE)


def quick_rows(block: Block, header: Sequence[str], schema: AvroSchema, *, dataset_type: str) -> pl.DataFrame | None:
    """Return the rows of a block if it has neither quotes nor anything wrong, else None.

    Args:
        block: Lines after the header.
        header: Names of the file's columns.
        schema: The schema of the dataset, whose columns are returned.
        dataset_type: E.g. `INTERACTIONS`.
    """
    data = block.data.replace(b"\r\n", b"\n") if b"\r" in block.data else block.data
    if not data.endswith(b"\n"):
        data += b"\n"
    if not _is_plain(data, len(header)):
        return None
    # Columns by their places: a header may have names that no table has.
    fields = {place: field for place, name in enumerate(header) if (field := schema.field(name)) is not None}
    types = {
        str(place): polars_type(fields[place]) if place in fields and fields[place].type != "boolean" else pl.String()
        for place in range(len(header))
    }
    try:
        read = pl.read_csv(data, has_header=False, schema=types, quote_char=None)
    except PolarsError:
        return None
    places = {field.name: str(place) for place, field in fields.items()}
    columns = []
    for field in schema.fields:
        values = read[places[field.name]]
        if field.type == "boolean":
            text, values = values, convert_text(values, field)
            if text.null_count() != values.null_count():
                return None
        columns.append(normalised(values, field).alias(field.name))
    rows = pl.DataFrame(columns)
    return rows if all_valid(rows, schema, dataset_type=dataset_type) else None


def _is_plain(data: bytes, n_columns: int) -> bool:
    """Return whether lines are cut at their commas and nothing else, into as many values as there are columns.

    Polars itself refuses lines with more values, so where all commas together are as many as they must be, each line
    has its number.
    """
    if n_columns < 2 or b'"' in data or b"\r" in data:
        return False
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            return False
    # Polars passes over blanks before numbers.
    if any(blank in data and any(mark + blank in data for mark in (b",", b"\n")) for blank in (b" ", b"\t")):
        return False
    return data[:1] not in b" \t" and _count(data, _COMMA) == _count(data, _NEWLINE) * (n_columns - 1)


def _count(data: bytes, character: int) -> int:
    """Return how often an ASCII character occurs; several times as fast as `bytes.count` where that is often."""
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == character))


def check_lines(block: Block, header: Sequence[str], schema: AvroSchema, *, dataset_type: str) -> CheckedRows:
    """Return the rows of a block and all that is wrong with them.

    Args:
        block: Lines after the header.
        header: Names of the file's columns, among them those of the schema.
        schema: The schema of the dataset.
        dataset_type: E.g. `INTERACTIONS`.

    Raises:
        BrokenFile: The lines are not UTF-8.
    """
    text, problems = split_columns(block, header)
    columns = [Column(field, text[field.name], convert_text(text[field.name], field)) for field in schema.fields]
    checked = check_columns(columns, text[_LINE], dataset_type=dataset_type)
    counts = dict(checked.counts)
    for problem in problems:
        counts["", problem.rule] = counts.get(("", problem.rule), 0) + 1
    return CheckedRows(checked.rows, checked.bad_rows + len(problems), [*checked.problems, *problems], counts)


def split_columns(block: Block, names: Sequence[str]) -> tuple[pl.DataFrame, list[Problem]]:
    """Cut lines into columns of text; empty values are null, empty lines no rows.

    Args:
        block: Lines after the header.
        names: The columns, as the header names them.

    Returns:
        The rows with their line numbers, in the order of the file, and the problems of lines that are left out.

    Raises:
        BrokenFile: The lines are not UTF-8.
    """
    lines = block.lines()
    is_quoted = lines["text"].str.contains('"', literal=True)
    commas = lines["text"].str.count_matches(",", literal=True)
    is_fitting = ~is_quoted & (commas == len(names) - 1)
    wrong = ~is_quoted & ~is_fitting
    problems = [
        _wrong_count(line, count + 1, names)
        for line, count in zip(lines[_LINE].filter(wrong).to_list(), commas.filter(wrong).to_list(), strict=True)
    ]
    plain = (
        lines.filter(is_fitting)
        .select(
            _LINE, pl.col("text").str.split_exact(",", len(names) - 1).struct.rename_fields(list(names)).alias("values")
        )
        .unnest("values")
    )
    quoted, quoted_problems = _cut_quoted(lines.filter(is_quoted), names)
    rows = pl.concat([plain, quoted]).sort(_LINE) if len(quoted) else plain
    empty_is_null = [pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in names]
    return rows.with_columns(empty_is_null), problems + quoted_problems


def _cut_quoted(lines: pl.DataFrame, names: Sequence[str]) -> tuple[pl.DataFrame, list[Problem]]:
    """Cut lines that have quotes: those without escapes at once, the others one by one."""
    if len(names) > _MAX_PATTERN_COLUMNS or not len(lines):
        return _parse(lines, names)
    pattern = f"^{_PLAIN_VALUE}{f'(?:,{_PLAIN_VALUE})' * (len(names) - 1)}$"
    is_simple = lines["text"].str.contains(pattern)
    simple = lines.filter(is_simple)
    parsed, problems = _parse(lines.filter(~is_simple), names)
    if not len(simple):
        return parsed, problems
    data = (simple["text"].str.join("\n").item() + "\n").encode()
    schema = {str(place): pl.String() for place in range(len(names))}
    try:
        cut = pl.read_csv(data, has_header=False, schema=schema, empty_string_is_null=False)
    except PolarsError:
        cut = pl.DataFrame()
    if len(cut) != len(simple):
        return _parse(lines, names)
    cut = cut.rename(dict(zip(schema, names, strict=True))).insert_column(0, simple[_LINE])
    return pl.concat([cut, parsed]), problems


def _parse(lines: pl.DataFrame, names: Sequence[str]) -> tuple[pl.DataFrame, list[Problem]]:
    rows: list[tuple[object, ...]] = []
    problems = []
    for number, text in lines.iter_rows():
        try:
            values = parse_line(text)
        except ValueError as error:
            problems.append(Problem(number, "", str(error), Rule.QUOTES))
            continue
        if len(values) == len(names):
            rows.append((number, *values))
        else:
            problems.append(_wrong_count(number, len(values), names))
    schema = {_LINE: pl.Int64(), **dict.fromkeys(names, pl.String())}
    return pl.DataFrame(rows, schema=schema, orient="row"), problems


def _wrong_count(line: int, count: int, names: Sequence[str]) -> Problem:
    return Problem(line, "", f"got {count} values, want {len(names)}, as the header has", Rule.VALUE_COUNT)
