"""The files of a batch job's input, cut into parts of whole lines, each read from disk when its turn comes.

Files are gone through once: what is packed is unpacked, and what is Parquet becomes JSON Lines, into files of the job.
Beyond that a part is two numbers, so that memory hardly depends on how many lines there are.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, overload

import polars as pl

from common.data_files.csv_files import read_blocks
from common.data_files.files import BrokenFile, open_unpacked
from common.data_files.formats import foreign_format, format_of
from common.errors import Unavailable
from common.files.locations import INPUT_PATH
from trainer.files.sources import SourceFile

__all__ = ["PART_LINES", "BatchInput", "InputFile", "LinePart", "read_input"]

#: A part has so many lines at most unless its job wants fewer, and so many bytes unless one line has more.
PART_LINES: Final = 500
PART_BYTES: Final = 256 * 1024
_MARK: Final = b"\xef\xbb\xbf"
_PARQUET_ROWS: Final = 20_000


@dataclass(frozen=True, slots=True)
class LinePart:
    """Some lines of one file, which are answered together.

    Attributes:
        first: Number of the first line, from 1.
        data: The lines, as they stand in the file.
    """

    first: int
    data: bytes


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of the input.

    Attributes:
        name: As the owner of the job knows it, below the folder that was named.
        path: Its lines.
        first_part: Place of its first part among all parts.
        columns: Of Parquet, whose answers are Parquet; None of text.
    """

    name: str
    path: Path
    first_part: int
    columns: Mapping[str, pl.DataType] | None = None


@dataclass(slots=True)
class BatchInput(Sequence[LinePart]):
    """All parts of all files, in order; read by any thread.

    Attributes:
        files: At least one.
        n_lines: Lines in all of them, empty ones included.
        part_lines: Lines of a part at most.
    """

    files: list[InputFile] = field(default_factory=list)
    n_lines: int = 0
    part_lines: int = PART_LINES
    _files: array[int] = field(default_factory=lambda: array("q"))
    _first: array[int] = field(default_factory=lambda: array("q"))
    _begin: array[int] = field(default_factory=lambda: array("q"))
    _bytes: array[int] = field(default_factory=lambda: array("q"))

    def __len__(self) -> int:
        """Return the number of parts."""
        return len(self._begin)

    @overload
    def __getitem__(self, place: int) -> LinePart: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[LinePart]: ...
    def __getitem__(self, place: int | slice) -> LinePart | Sequence[LinePart]:
        """Read a part.

        Raises:
            Unavailable: The file has changed since it was gone through.
        """
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        file = self.files[self._files[place]]
        size = self._bytes[place]
        with file.path.open("rb") as opened:
            data = os.pread(opened.fileno(), size, self._begin[place])
        if len(data) != size:
            raise Unavailable(f"{file.name}: got fewer bytes than before, want a file that stays as it is")
        return LinePart(self._first[place], data)

    def parts_of(self, place: int) -> range:
        """Return the places of the parts of a file, which is at this place in `files`."""
        last = place + 1 == len(self.files)
        return range(self.files[place].first_part, len(self) if last else self.files[place + 1].first_part)

    def add_part(self, *, first: int, begin: int, size: int) -> None:
        """Add a part of the last file."""
        self._files.append(len(self.files) - 1)
        self._first.append(first)
        self._begin.append(begin)
        self._bytes.append(size)


def read_input(
    sources: Sequence[SourceFile],
    folder: Path,
    *,
    location: str,
    part_lines: int = PART_LINES,
    check: Callable[[], None] = lambda: None,
) -> BatchInput:
    """Go through the files of an input.

    Args:
        sources: At least one; those named `*.parquet` are Parquet, all others JSON Lines that may be packed with gzip
            or Zstandard.
        folder: Existing, for files that stay as long as the input is read.
        location: Of the input, for errors.
        part_lines: Lines of a part at most.
        check: Called again and again; raises when the job must end.

    Raises:
        InvalidInput: A file is of another format, is damaged, or has a line that is too long, or there is no line.
        Unavailable: The folder cannot be written to.
    """
    batch_input = BatchInput(part_lines=part_lines)
    for place, source in enumerate(sources):
        try:
            if format_of(source.name) == "parquet":
                text = folder / f"rows-{place}"
                columns = _rows_to_lines(source.path, text, check=check)
                batch_input.files.append(InputFile(source.name, text, len(batch_input), columns))
                with text.open("rb") as opened:
                    _cut(batch_input, _blocks(opened), check=check)
            else:
                _read_text(batch_input, source, folder / f"lines-{place}", check=check)
        except BrokenFile as error:
            raise INPUT_PATH.invalid(location, f"whose file {source.name} cannot be read: {error}") from error
        except OSError as error:
            raise Unavailable(f"{source.name}: cannot be read or unpacked now ({error.strerror or error})") from error
    if not batch_input.n_lines:
        raise INPUT_PATH.invalid(location, "where no line is, want one JSON object a line")
    return batch_input


def _read_text(batch_input: BatchInput, source: SourceFile, unpacked_path: Path, *, check: Callable[[], None]) -> None:
    with open_unpacked(source.path) as unpacked:
        head = unpacked.peek()
        if (foreign := foreign_format(head)) is not None:
            raise BrokenFile(foreign)
        blocks = ((block.first, block.data) for block in read_blocks(unpacked))
        if not unpacked.is_packed:
            batch_input.files.append(InputFile(source.name, source.path, len(batch_input)))
            _cut(batch_input, blocks, begin=len(_MARK) if head.startswith(_MARK) else 0, check=check)
            return
        batch_input.files.append(InputFile(source.name, unpacked_path, len(batch_input)))
        with unpacked_path.open("wb") as text:
            _cut(batch_input, _copied(blocks, text), check=check)


def _copied(blocks: Iterator[tuple[int, bytes]], target: BinaryIO) -> Iterator[tuple[int, bytes]]:
    for first, data in blocks:
        target.write(data)
        yield first, data


def _blocks(opened: BinaryIO) -> Iterator[tuple[int, bytes]]:
    first = 1
    while data := opened.read(1 << 20):
        data += opened.readline()
        yield first, data
        first += data.count(b"\n")


def _cut(
    batch_input: BatchInput, blocks: Iterator[tuple[int, bytes]], *, begin: int = 0, check: Callable[[], None]
) -> None:
    """Add the parts of the last file.

    Args:
        batch_input: Gets the parts.
        blocks: The number of the first line, and whole lines.
        begin: Of the first block in the file.
        check: Called with each block.
    """
    for first, data in blocks:
        check()
        n_lines, size, number = 0, 0, first
        for line in data.splitlines(keepends=True) if b"\r" not in data else _lines(data):
            if n_lines == batch_input.part_lines or (n_lines and size + len(line) > PART_BYTES):
                batch_input.add_part(first=number, begin=begin, size=size)
                begin, number, n_lines, size = begin + size, number + n_lines, 0, 0
            n_lines += 1
            size += len(line)
        batch_input.add_part(first=number, begin=begin, size=size)
        begin += size
        batch_input.n_lines += number - first + n_lines


def _lines(data: bytes) -> list[bytes]:
    """Return lines with their ends; only LF ends one."""
    lines = data.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + [line for line in lines[-1:] if line]


def _rows_to_lines(path: Path, target: Path, *, check: Callable[[], None]) -> dict[str, pl.DataType]:
    """Write the rows of a Parquet file as lines; return its columns.

    Raises:
        BrokenFile: It is damaged, or has a column that JSON has nothing for.
    """
    try:
        rows = pl.scan_parquet(path, glob=False)
        columns = dict(rows.collect_schema())
        for name, kind in columns.items():
            if not _is_plain(kind):
                raise BrokenFile(
                    f"got a column {name} of the type {kind}, want text, numbers, booleans or lists of them"
                )
        total = int(rows.select(pl.len()).collect().item())
        with target.open("wb") as lines:
            for start in range(0, total, _PARQUET_ROWS):
                check()
                rows.slice(start, _PARQUET_ROWS).collect().write_ndjson(lines)
    except pl.exceptions.PolarsError as error:
        first_line = str(error).split("\n", 1)[0]
        raise BrokenFile(f"got no valid Parquet file ({first_line}), want one that can be read") from error
    return columns


def _is_plain(kind: pl.DataType) -> bool:
    if isinstance(kind, pl.List):
        return _is_plain(kind.inner)  # type: ignore[arg-type]  # a class where no parameters are given
    if isinstance(kind, pl.Struct):
        return all(_is_plain(field.dtype) for field in kind.fields)  # type: ignore[arg-type]  # as above
    return kind.is_integer() or kind.is_float() or kind in (pl.String, pl.Boolean, pl.Null)
