"""The first line of a CSV file against the columns of a schema: what is missing, and why it probably is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from common.data_files.dialect import parse_line
from common.data_files.report import missing_columns
from common.spelling import normalise_spelling

__all__ = ["header_problem", "read_header"]

_MAX_COLUMNS: Final = 10_000
_MAX_CHARACTERS: Final = 1_000_000
_SHOWN: Final = 10
_SHOWN_CHARACTERS: Final = 60
_SEPARATORS: Final = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_QUOTES: Final = "'\"`\u2018\u2019\u201c\u201d"


def read_header(line: str) -> list[str]:
    """Cut the first line into names.

    Raises:
        ValueError: It is no header; the message says what was got and what is wanted.
    """
    if "\r" in line[:_MAX_CHARACTERS]:
        raise ValueError("got lines that end in CR alone, want LF or CR and LF")
    if len(line) > _MAX_CHARACTERS:
        raise ValueError(f"got a header of {len(line):,} characters, want at most {_MAX_CHARACTERS:,}")
    names = parse_line(line)
    if len(names) > _MAX_COLUMNS:
        raise ValueError(f"got {len(names):,} columns, want at most {_MAX_COLUMNS:,}")
    return names


def header_problem(line: str, header: Sequence[str], *, schema_columns: Sequence[str]) -> str | None:
    """Say what is wrong with a header; None when it has each column that is wanted, and no name twice.

    Args:
        line: The first line.
        header: The names in that line.
        schema_columns: Names of the schema's columns.
    """
    present = Counter(header)
    if missing := [name for name in schema_columns if name not in present]:
        reasons = _reasons(line, header, missing)
        return " ".join([missing_columns(missing), f"The header has {_listed(header)}.", *reasons])
    if twice := sorted(name for name, times in present.items() if times > 1):
        return f"The header has {_listed(twice)} more than once, want each column once."
    return None


def _reasons(line: str, header: Sequence[str], missing: Sequence[str]) -> list[str]:
    """Say why columns that are meant to be there are not found."""
    if line.casefold().startswith("sep=") and len(line) <= len("sep=,") + 1:
        return ["A line `sep=` is for Excel alone, want the names of the columns in the first line: remove it."]
    missing_spellings = {normalise_spelling(name) for name in missing}
    for separator, name_of_separator in _SEPARATORS.items():
        if len(header) == 1 and any(
            normalise_spelling(cell) in missing_spellings for cell in line.split(separator)[:-1]
        ):
            return [f"Names are separated by {name_of_separator}, want commas."]
    present = {normalise_spelling(cell): cell for cell in reversed(header)}
    near = [(present[normalise_spelling(name)], name) for name in missing if normalise_spelling(name) in present]
    return [f"{_shortened(cell)} is not {name} ({_difference(cell, name)})." for cell, name in near[:_SHOWN]]


def _difference(cell: str, name: str) -> str:
    """Say in what a name differs that is meant to be another."""
    bare = cell.strip()
    inner = bare.strip(_QUOTES).strip()
    differences = {
        "spaces around it": bare != cell,
        "quotes around it": bare != bare.strip(_QUOTES),
        "characters that are not seen": not inner.isprintable(),
        "upper and lower case": inner != name and inner.casefold() == name.casefold(),
    }
    return ", ".join(difference for difference, holds in differences.items() if holds) or "another spelling"


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f", and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"[{', '.join(_shortened(name) for name in names[:_SHOWN])}{more}]"


def _shortened(name: str) -> str:
    shown = repr(name)
    return shown if len(shown) <= _SHOWN_CHARACTERS else f"{shown[: _SHOWN_CHARACTERS - 3]}..."
