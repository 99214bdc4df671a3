"""Text to typed columns by the Avro schema, and everything that is wrong with the values."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from common.arrow_schema import polars_type
from common.avro import AvroField, AvroSchema
from trainer.domain.import_report import Problem
from trainer.domain.limits import MAX_TEXT, MAX_TIMESTAMP, MIN_TIMESTAMP, is_timestamp, length_problem, max_length
from trainer.imports.lines import LINE

__all__ = ["Checked", "check_values"]

#: Problems that are told of one column at most; more would never be shown.
_TOLD = 20
_INTEGER = r"^[+-]?\d+$"
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_WANTED = {
    "int": "an integer from -2147483648 to 2147483647",
    "long": "an integer of 64 bits",
    "float": "a number",
    "double": "a number",
    "boolean": "true or false, in lower case",
}


@dataclass(frozen=True, slots=True)
class Checked:
    """Rows of a part of a file after all checks.

    Attributes:
        rows: Typed columns in the schema's order; bad values are null.
        bad_lines: Numbers of the rows with a problem.
        problems: The first of each column.
    """

    rows: pl.DataFrame
    bad_lines: frozenset[int]
    problems: list[Problem]


def check_values(text: pl.DataFrame, schema: AvroSchema, *, dataset_type: str) -> Checked:
    """Turn columns of text into those of the schema.

    Args:
        text: One String column for each field, null where the file has nothing, and the line numbers.
        schema: Of the dataset.
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
            for line, got in zip(lines[:_TOLD].to_list(), raw.filter(wrong)[:_TOLD].to_list(), strict=True):
                problems.append(_problem(line, field, got=got, want=want))
    return Checked(pl.DataFrame(typed), frozenset(bad), problems)


def _convert(raw: pl.Series, field: AvroField) -> pl.Series:
    kind = polars_type(field)
    if field.type == "string":
        return raw.str.slice(0, MAX_TEXT) if field.textual else raw
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
        rules.append((raw.is_not_null() & values.is_null(), _WANTED[field.type]))
    if is_timestamp(field.name) and field.type != "string":
        rules += _no_seconds(values)
    limit = max_length(field, dataset_type)
    if limit is not None:
        rules.append(((values.str.len_chars() > limit).fill_null(False), length_problem(field.name, limit)))
    return [(wrong, want) for wrong, want in rules if wrong.any()]


def _no_seconds(values: pl.Series) -> list[tuple[pl.Series, str]]:
    """Return which whole numbers cannot be seconds, and what they seem to be."""
    want = "seconds since 1970-01-01 UTC, of the years 1 to 9999"
    wrong = ((values < MIN_TIMESTAMP) | (values > MAX_TIMESTAMP)).fill_null(False)
    millis = wrong & values.is_between(1000 * MIN_TIMESTAMP, 1000 * MAX_TIMESTAMP).fill_null(False)
    return [(millis, f"{want} (not milliseconds)"), (wrong & ~millis, want)]


def _problem(line: int, field: AvroField, *, got: str | None, want: str) -> Problem:
    if want.startswith("Length cannot"):
        return Problem(line, field.name, f"got {len(got or '')} characters. {want}")
    return Problem.of_value(line, field.name, got=got, want=want)
