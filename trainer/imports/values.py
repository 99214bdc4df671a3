"""Columns of text to typed columns by the Avro schema, and everything that is wrong with the values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from common.arrow_schema import polars_type
from common.avro import AvroField, AvroSchema
from common.columns import ITEM_ID, TIMESTAMP, USER_ID
from trainer.domain.import_report import Problem

__all__ = ["LINE", "CheckedRows", "check_values", "id_columns"]

#: Name of the column that numbers the lines; neither a schema nor a header, which is one line, can name it.
LINE: Final = "LINE\n"
#: Problems that are reported of one column at most; more would never be shown.
_REPORTED: Final = 20
_INTEGER = r"^[+-]?\d+$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_WANT_OF_TYPE: Final = {
    "int": "an integer from -2147483648 to 2147483647",
    "long": "an integer of 64 bits",
    "float": "a number",
    "double": "a number",
    "boolean": "true or false, in lower case",
}
_MAX_ID: Final = 256
_MAX_VALUE: Final = 1000
#: Longer texts are cut, not refused.
_MAX_TEXT: Final = 20_000
#: The years 1 and 9999, as the contracts' times have it; times of our days in milliseconds are far beyond.
_MIN_TIMESTAMP: Final = -62_135_596_800
_MAX_TIMESTAMP: Final = 253_402_300_799

_IDS: Final = {
    "INTERACTIONS": (USER_ID, ITEM_ID),
    "ITEMS": (ITEM_ID,),
    "USERS": (USER_ID,),
    "ACTIONS": ("ACTION_ID",),
    "ACTION_INTERACTIONS": (USER_ID, "ACTION_ID"),
}
_TIMES: Final = frozenset({TIMESTAMP, "CREATION_TIMESTAMP", "EXPIRATION_TIMESTAMP", "ACTION_EXPIRATION_TIMESTAMP"})


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """Rows of a part of a file after all checks.

    Attributes:
        rows: Typed columns in the schema's order; bad values are null.
        bad_lines: Numbers of the rows with a problem.
        problems: The first of each column.
    """

    rows: pl.DataFrame
    bad_lines: frozenset[int]
    problems: list[Problem]


def check_values(text: pl.DataFrame, schema: AvroSchema, *, dataset_type: str) -> CheckedRows:
    """Turn columns of text into those of the schema.

    Args:
        text: One String column for each field, null where the file has nothing, and the line numbers.
        schema: The schema of the dataset, whose columns are returned.
        dataset_type: E.g. `INTERACTIONS`.
    """
    typed, problems = [], []
    bad: set[int] = set()
    for field in schema.fields:
        raw = text[field.name]
        values = _convert(raw, field)
        typed.append(values.alias(field.name))
        for wrong, want in _rules(raw, values, field, dataset_type):
            lines = text[LINE].filter(wrong)
            bad.update(lines.to_list())
            for line, got in zip(lines[:_REPORTED].to_list(), raw.filter(wrong)[:_REPORTED].to_list(), strict=True):
                problems.append(_problem(line, field, got=got, want=want))
    return CheckedRows(pl.DataFrame(typed), frozenset(bad), problems)


def id_columns(dataset_type: str) -> tuple[str, ...]:
    """Return the columns that hold ids."""
    return _IDS[dataset_type]


def _convert(raw: pl.Series, field: AvroField) -> pl.Series:
    kind = polars_type(field)
    if field.type == "string":
        return raw.str.slice(0, _MAX_TEXT) if field.textual else raw
    if field.type == "boolean":
        return raw.replace_strict({"true": True, "false": False}, default=None, return_dtype=kind)
    # A cast by itself would take more than is meant, blanks and infinity among it.
    pattern = _INTEGER if field.type in ("int", "long") else _NUMBER
    plain = raw.set(~raw.str.contains(pattern).fill_null(False), None)
    values = plain.str.strip_prefix("+").cast(kind, strict=False)
    if field.type in ("float", "double"):
        values = values.set(values.is_infinite().fill_null(False), None)
    return values


def _rules(raw: pl.Series, values: pl.Series, field: AvroField, dataset_type: str) -> list[tuple[pl.Series, str]]:
    """Return what can be wrong with a column: which rows are, and what was wanted."""
    rules = []
    if not field.nullable:
        rules.append((raw.is_null(), f"a value: the schema's {field.name} has no null"))
    if field.type != "string":
        rules.append((raw.is_not_null() & values.is_null(), _WANT_OF_TYPE[field.type]))
    if _is_timestamp(field.name) and field.type != "string":
        rules += _no_seconds(values)
    limit = _max_length(field, dataset_type)
    if limit is not None:
        rules.append(((values.str.len_chars() > limit).fill_null(False), _length_problem(field.name, limit)))
    return [(wrong, want) for wrong, want in rules if wrong.any()]


def _no_seconds(values: pl.Series) -> list[tuple[pl.Series, str]]:
    """Return which whole numbers cannot be seconds, and what they seem to be."""
    want = "seconds since 1970-01-01 UTC, of the years 1 to 9999"
    wrong = ((values < _MIN_TIMESTAMP) | (values > _MAX_TIMESTAMP)).fill_null(False)
    millis = wrong & values.is_between(1000 * _MIN_TIMESTAMP, 1000 * _MAX_TIMESTAMP).fill_null(False)
    return [(millis, f"{want} (not milliseconds)"), (wrong & ~millis, want)]


def _problem(line: int, field: AvroField, *, got: str | None, want: str) -> Problem:
    if want.startswith("Length cannot"):
        return Problem(line, field.name, f"got {len(got or '')} characters. {want}")
    return Problem.of_value(line, field.name, got=got, want=want)


def _max_length(field: AvroField, dataset_type: str) -> int | None:
    """Return the characters that a value may have, None where it is cut instead or no text."""
    if field.type != "string" or field.textual:
        return None
    return _MAX_ID if field.name in id_columns(dataset_type) else _MAX_VALUE


def _length_problem(column: str, limit: int) -> str:
    """Say that a value is too long, in Personalize's words."""
    return (
        f"Length cannot be more than {limit} characters for {column}. If no values exceed the character limit, make "
        "sure your data follows the formatting guidelines"
    )


def _is_timestamp(column: str) -> bool:
    """Tell whether a column holds seconds since 1970."""
    return column in _TIMES
