"""Reads the files of a data deletion job: CSV with the single column USER_ID, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from common import columns
from common.data_files.dialect import parse_line
from common.errors import InvalidInput, invalid
from trainer.files.sources import SourceFile

__all__ = ["check_size", "read_user_ids"]

_MAX_ID: Final = 256
#: A line with a quoted id of the longest kind, all of it escaped, in UTF-8.
_MAX_LINE_BYTES: Final = 4096


def check_size(files: Sequence[SourceFile], *, max_bytes: int) -> None:
    """Check how much there is to read.

    Raises:
        InvalidInput: More than `max_bytes` in total.
    """
    total = sum(file.path.stat().st_size for file in files)
    if total > max_bytes:
        raise invalid("dataLocation", got=f"{total:,} bytes", want=f"files of at most {max_bytes:,} bytes in total")


def read_user_ids(files: Sequence[SourceFile]) -> Iterator[str]:
    """Yield the ids of all files; they may repeat.

    Raises:
        InvalidInput: A file is not what is wanted, or there is no id at all.
    """
    empty = True
    for file in files:
        for user_id in _ids(file):
            empty = False
            yield user_id
    if empty:
        raise InvalidInput(f"{files[0].name}: got no rows, want at least one user id below the header")


def _ids(file: SourceFile) -> Iterator[str]:
    with file.path.open("rb") as opened:
        for number, line in enumerate(iter(lambda: opened.readline(_MAX_LINE_BYTES + 1), b""), 1):
            try:
                value = _value(line, has_mark=number == 1)
            except ValueError as error:
                raise InvalidInput(f"{file.name}, line {number}: {error}") from error
            if number == 1:
                if value != columns.USER_ID:
                    raise InvalidInput(
                        f"{file.name}, line 1: got another header, want the single column {columns.USER_ID}"
                    )
            elif value is not None:
                yield value


def _value(line: bytes, *, has_mark: bool) -> str | None:
    """Return the one value of a line, None for an empty line; ValueError says what is wrong, without the value."""
    if len(line) > _MAX_LINE_BYTES:
        raise ValueError(f"got a line of more than {_MAX_LINE_BYTES} bytes, want one user id")
    try:
        text = line.decode("utf-8-sig" if has_mark else "utf-8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"got bytes that are not UTF-8 at byte {error.start + 1}, want UTF-8") from error
    if not text:
        return None
    values = parse_line(text)
    if len(values) != 1:
        raise ValueError(f"got {len(values)} values, want the single column {columns.USER_ID}")
    if not 1 <= len(values[0]) <= _MAX_ID:
        raise ValueError(f"got a user id of {len(values[0])} characters, want 1 to {_MAX_ID}")
    return values[0]
