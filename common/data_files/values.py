"""Columns as they were read to columns of the Avro schema's types, and everything that is wrong with the values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from common.arrow_schema import polars_type
from common.avro import MAX_TEXT_LENGTH, AvroField, AvroSchema
from common.columns import ITEM_ID, MOMENTS, TIMESTAMP, USER_ID
from common.data_files.report import Problem, Rule

__all__ = [
    "EVENT_DATASETS", "CheckedRows", "Column", "all_valid", "check_columns", "convert_text", "id_columns",
    "normalised",
]  # fmt: skip

#: Problems that are reported of one column and rule at most; more would never be shown.
_REPORTED: Final = 20
# ASCII digits: a cast would not take others.
_INTEGER: Final = r"^[+-]?[0-9]+$"
_NUMBER: Final = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_WANT_OF_TYPE: Final = {
    "string": "text",
    "int": "an integer from -2147483648 to 2147483647",
    "long": "an integer of 64 bits",
    "float": "a number",
    "double": "a number",
    "boolean": "true or false, in lower case",
}
_MAX_ID: Final = 256
_MAX_VALUE: Final = 1000
#: The years 1 and 9999, as the contracts' times have it; times of our days in milliseconds are far beyond.
_MIN_TIMESTAMP: Final = -62_135_596_800
_MAX_TIMESTAMP: Final = 253_402_300_799
#: Units that are taken for seconds by mistake; each with how many of them a second has.
_OTHER_UNITS: Final = (("milliseconds", 10**3), ("microseconds", 10**6), ("nanoseconds", 10**9))

#: Datasets whose rows are events: they have no id, and identical ones say nothing new.
EVENT_DATASETS: Final = frozenset({"INTERACTIONS", "ACTION_INTERACTIONS"})
_IDS: Final = {
    "INTERACTIONS": (USER_ID, ITEM_ID),
    "ITEMS": (ITEM_ID,),
    "USERS": (USER_ID,),
    "ACTIONS": ("ACTION_ID",),
    "ACTION_INTERACTIONS": (USER_ID, "ACTION_ID"),
}
_TIMES: Final = MOMENTS | {TIMESTAMP}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a part of a file.

    Attributes:
        field: The schema's.
        raw: What the file has, of any type; null where it has nothing.
        values: The same in the schema's type; null too where that cannot be.
    """

    field: AvroField
    raw: pl.Series
    values: pl.Series


@dataclass(frozen=True, slots=True)
class CheckedRows:
    """Rows of a part of a file after all checks.

    Attributes:
        rows: Typed columns in the schema's order; bad values are null.
        bad_rows: How many rows have a problem.
        problems: The first of each column and rule.
        counts: How many there are of each column and rule.
    """

    rows: pl.DataFrame
    bad_rows: int
    problems: list[Problem]
    counts: dict[tuple[str, str], int]


def id_columns(dataset_type: str) -> tuple[str, ...]:
    """Return the columns that hold ids."""
    return _IDS[dataset_type]


def convert_text(raw: pl.Series, field: AvroField) -> pl.Series:
    """Return values that were written as text in a field's type; null where they are no such value."""
    kind = polars_type(field)
    if field.type == "string":
        return raw.str.slice(0, MAX_TEXT_LENGTH) if field.textual else raw
    if field.type == "boolean":
        return raw.replace_strict({"true": True, "false": False}, default=None, return_dtype=kind)
    # A cast by itself would take more than is meant, blanks and infinity among it.
    pattern = _INTEGER if field.type in ("int", "long") else _NUMBER
    plain = raw.set(~raw.str.contains(pattern).fill_null(False), None)
    values = plain.str.strip_prefix("+").cast(kind, strict=False)
    if field.type in ("float", "double"):
        values = values.set(values.is_infinite().fill_null(False), None)
    return values


def normalised(values: pl.Series, field: AvroField) -> pl.Series:
    """Return typed values as imports keep them: empty text is null, long textual values are cut."""
    if field.type != "string":
        return values
    values = values.set(values == "", None)
    return values.str.slice(0, MAX_TEXT_LENGTH) if field.textual else values


def all_valid(rows: pl.DataFrame, schema: AvroSchema, *, dataset_type: str) -> bool:
    """Return whether typed rows break no rule; what `check_columns` would find, at a fraction of its time.

    Args:
        rows: The schema's columns, in its types.
        schema: The schema of the dataset.
        dataset_type: E.g. `INTERACTIONS`.
    """
    conditions = []
    for field in schema.fields:
        column = pl.col(field.name)
        limit = _max_length(field, dataset_type)
        if not field.nullable:
            conditions.append(column.null_count() == 0)
        if field.type in ("float", "double"):
            conditions.append(column.is_finite().all())
        if _is_timestamp(field):
            conditions.append(column.is_between(_MIN_TIMESTAMP, _MAX_TIMESTAMP).all())
        if limit is not None:
            # Bytes are counted at once; only where there are many it takes a look at the characters.
            conditions.append((column.str.len_bytes() <= limit).all() | (column.str.len_chars() <= limit).all())
    return all(rows.select(pl.all_horizontal(conditions)).to_series()) if conditions else True


def check_columns(columns: Sequence[Column], lines: pl.Series, *, dataset_type: str) -> CheckedRows:
    """Find everything that is wrong with the rows of a part of a file.

    Args:
        columns: One for each field of the schema, in its order.
        lines: Number of each row's line.
        dataset_type: E.g. `INTERACTIONS`.
    """
    problems: list[Problem] = []
    counts: dict[tuple[str, str], int] = {}
    bad = pl.repeat(False, len(lines), eager=True, dtype=pl.Boolean)
    for column in columns:
        for wrong, rule, want in _broken_rules(column, dataset_type):
            bad |= wrong
            counts[column.field.name, rule] = counts.get((column.field.name, rule), 0) + int(wrong.sum())
            first = wrong.arg_true()[:_REPORTED]
            got = column.raw[first].cast(pl.String)
            problems += [
                _problem(line, column.field, got=value, rule=rule, want=want)
                for line, value in zip(lines[first].to_list(), got.to_list(), strict=True)
            ]
    rows = pl.DataFrame([column.values.alias(column.field.name) for column in columns])
    return CheckedRows(rows, int(bad.sum()), problems, counts)


def _broken_rules(column: Column, dataset_type: str) -> list[tuple[pl.Series, str, str]]:
    """Return which rows break which rule, and what was wanted; nothing for rules that all rows keep."""
    field, raw, values = column.field, column.raw, column.values
    rules = []
    if not field.nullable:
        rules.append((raw.is_null(), Rule.PRESENT, f"a value: the schema's {field.name} has no null"))
    rules.append((raw.is_not_null() & values.is_null(), Rule.TYPE, _WANT_OF_TYPE[field.type]))
    if _is_timestamp(field):
        rules += _no_seconds(values)
    limit = _max_length(field, dataset_type)
    if limit is not None:
        too_long = (values.str.len_chars() > limit).fill_null(False)
        rules.append((too_long, Rule.LENGTH, _length_problem(field.name, limit)))
    return [(wrong, rule, want) for wrong, rule, want in rules if wrong.any()]


def _no_seconds(values: pl.Series) -> list[tuple[pl.Series, str, str]]:
    """Return which whole numbers cannot be seconds, and what they seem to be."""
    want = "seconds since 1970-01-01 UTC, of the years 1 to 9999"
    wrong = ~values.is_between(_MIN_TIMESTAMP, _MAX_TIMESTAMP).fill_null(True)
    rules = []
    for unit, per_second in _OTHER_UNITS:
        seconds = values // per_second
        of_unit = wrong & seconds.is_between(_MIN_TIMESTAMP, _MAX_TIMESTAMP).fill_null(False)
        rules.append((of_unit, Rule.SECONDS, f"{want} (not {unit})"))
        wrong &= ~of_unit
    return [*rules, (wrong, Rule.SECONDS, want)]


def _problem(line: int, field: AvroField, *, got: str | None, rule: str, want: str) -> Problem:
    if rule == Rule.LENGTH:
        return Problem(line, field.name, f"got {len(got or '')} characters. {want}", rule, got)
    return Problem.of_value(line, field.name, got=got, want=want, rule=rule)


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


def _is_timestamp(field: AvroField) -> bool:
    """Tell whether a column holds seconds since 1970."""
    return field.name in _TIMES and field.type != "string"
