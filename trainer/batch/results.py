"""The answers of parts, in whatever order they come, and the files that they make up.

Answers are kept on disk, in the order of their coming, until all are there: a job's memory does not depend on how many
lines it answers, and nothing is published of a job that does not end.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Final, NamedTuple, Self

import polars as pl

from common.errors import InvalidInput, Unavailable
from trainer.batch.inputs import BatchInput

__all__ = ["ENDING", "OutputFile", "PartResult", "Results"]

#: What the name of an output has behind that of its input.
ENDING: Final = ".out"
_ABSENT: Final = -1


@dataclass(frozen=True, slots=True)
class PartResult:
    """What came of a part.

    Attributes:
        content: The lines that answer it, from `Answers`.
        answered: Lines that have an output.
        failed: Lines that have an error.
    """

    content: bytes
    answered: int
    failed: int


class OutputFile(NamedTuple):
    """A file of the output.

    Attributes:
        name: Below the folder of the output.
        path: Where it is now; to be copied before the next one is made.
        lines: How many lines, or rows, it has.
    """

    name: str
    path: Path
    lines: int


class Results(AbstractContextManager["Results"]):
    """Takes the results of parts and makes files of them.

    Args:
        batch_input: What was asked.
        folder: Existing, for files.
        output_columns: The members of an `output`, as columns of Parquet.
    """

    def __init__(self, batch_input: BatchInput, folder: Path, *, output_columns: Mapping[str, pl.DataType]) -> None:
        self._input = batch_input
        self._folder = folder
        self._output_columns = dict(output_columns)
        self._spool = (folder / "answers").open("w+b")
        n_parts = len(batch_input)
        self._begin, self._bytes = array("q", [_ABSENT]) * n_parts, array("q", [0]) * n_parts
        self._lines = array("q", [0]) * n_parts
        self.answered = 0
        self.failed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._spool.close()

    def add(self, place: int, result: PartResult) -> None:
        """Take the result of a part; that of one that is there already, of a second attempt, changes nothing.

        Raises:
            Unavailable: The disk is full or has failed.
        """
        if self._begin[place] != _ABSENT:
            return
        try:
            begin = self._spool.seek(0, 2)
            self._spool.write(result.content)
        except OSError as error:
            raise Unavailable(f"the trainer's work folder cannot be written ({error.strerror})") from error
        self._begin[place], self._bytes[place] = begin, len(result.content)
        self._lines[place] = result.answered + result.failed
        self.answered += result.answered
        self.failed += result.failed

    def files(self) -> Iterator[OutputFile]:
        """Yield the files of the output, one for each of the input, once all parts are there.

        Raises:
            Unavailable: The disk is full or has failed.
            InvalidInput: Answers to Parquet cannot be written as such, however often it is tried.
        """
        absent = self._begin.count(_ABSENT)
        assert not absent, f"{absent} parts have no result"
        for place, file in enumerate(self._input.files):
            parts = self._input.parts_of(place)
            text, table = self._folder / "output", self._folder / "output.parquet"
            try:
                with text.open("wb") as target:
                    for part in parts:
                        self._spool.seek(self._begin[part])
                        target.write(self._spool.read(self._bytes[part]))
                lines = sum(self._lines[part] for part in parts)
                if file.columns is not None:
                    self._to_parquet(text, table, file.columns)
                    if (rows := _n_rows(table)) != lines:
                        raise InvalidInput(
                            f"{file.name}{ENDING}: got {rows:,} rows, want {lines:,}, one an answer; use JSON Lines"
                        )
                yield OutputFile(f"{file.name}{ENDING}", text if file.columns is None else table, lines)
            except pl.exceptions.PolarsError as error:
                first_line = str(error).split("\n", 1)[0]
                if _is_of_machine(error):
                    raise Unavailable(f"the trainer's work folder cannot be written ({first_line})") from error
                raise InvalidInput(
                    f"{file.name}{ENDING}: the answers cannot be written as Parquet ({first_line}); JSON Lines can be"
                ) from error
            except OSError as error:
                raise Unavailable(f"the trainer's work folder cannot be written ({error.strerror or error})") from error
            text.unlink()
            table.unlink(missing_ok=True)

    def _to_parquet(self, text: Path, table: Path, columns: Mapping[str, pl.DataType]) -> None:
        schema = {
            "input": pl.Struct(dict(columns)),
            "output": pl.Struct(self._output_columns),
            "error": pl.String(),
        }
        if text.stat().st_size:
            # Paths count as patterns here; one that matches nothing would be read as no rows.
            pl.scan_ndjson(escape(str(text)), schema=schema).sink_parquet(table)
        else:
            pl.DataFrame(schema=schema).write_parquet(table)


def _is_of_machine(error: pl.exceptions.PolarsError) -> bool:
    """Return whether a disk failed or is full. While Parquet is written, Polars says so by its words alone."""
    return re.search(r"\(os error \d+\)", str(error)) is not None


def _n_rows(table: Path) -> int:
    return int(pl.scan_parquet(table, glob=False).select(pl.len()).collect().item())
