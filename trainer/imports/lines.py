"""Reading CSV line by line, so that every problem has the number of its line.

Lines without quotes, nearly all in practice, are cut by Polars at once; the others one by one, by the same rules: see
`trainer.domain.dialect`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from trainer.domain.dialect import parse_line
from trainer.domain.import_report import Problem

__all__ = ["LINE", "Block", "BrokenFile", "read_blocks", "split_columns"]

#: Name of the column that numbers the lines; neither a schema nor a header, which is one line, can name it.
LINE = "LINE\n"
_BLOCK_BYTES = 64 * 1024 * 1024


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
    parsed, more = _parse(lines.filter(quoted), names)
    rows = pl.concat([plain, parsed]).sort(LINE) if len(parsed) else plain
    empty_is_null = [pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in names]
    return rows.with_columns(empty_is_null), problems + more


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
