"""JSON Lines to rows of the schema: an object a line, its members by the names of the schema's columns."""

from __future__ import annotations

import math
from typing import Any, Final

import orjson
import polars as pl

from common.arrow_schema import polars_type
from common.avro import AvroField, AvroSchema
from common.data_files.csv_files import Block
from common.data_files.report import Problem, Rule
from common.data_files.values import CheckedRows, Column, check_columns, normalised

__all__ = ["check_objects"]

_BITS: Final = {"int": 31, "long": 63}
_LARGEST_FLOAT: Final = (2 - 2**-23) * 2.0**127


def check_objects(block: Block, schema: AvroSchema, *, dataset_type: str) -> CheckedRows:
    """Return the rows of a block and all that is wrong with them.

    Members that the schema does not name are passed over; one that is not there is null, and so is empty text. A value
    must have the type of its column: no text where the schema has a number.

    Args:
        block: Lines of one JSON object each; empty ones are no rows.
        schema: The schema of the dataset.
        dataset_type: E.g. `INTERACTIONS`.

    Raises:
        BrokenFile: The lines are not UTF-8.
    """
    numbers: list[int] = []
    objects: list[dict[str, Any]] = []
    problems = []
    for number, line in enumerate(block.text().split("\n"), start=block.first):
        if not line.strip():
            continue
        try:
            read = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            problems.append(Problem(number, "", f"got no valid JSON ({error}), want one object", Rule.JSON))
            continue
        if isinstance(read, dict):
            numbers.append(number)
            objects.append(read)
        else:
            problems.append(Problem(number, "", f"got {line[:60]!r}, want one JSON object", Rule.JSON))
    columns = [_column(field, [item.get(field.name) for item in objects]) for field in schema.fields]
    checked = check_columns(columns, pl.Series(numbers, dtype=pl.Int64), dataset_type=dataset_type)
    counts = {**checked.counts, **({("", Rule.JSON): len(problems)} if problems else {})}
    return CheckedRows(checked.rows, checked.bad_rows + len(problems), [*checked.problems, *problems], counts)


def _column(field: AvroField, values: list[Any]) -> Column:
    fitting = [value if _fits(value, field.type) else None for value in values]
    typed = normalised(pl.Series(field.name, fitting, dtype=polars_type(field), strict=False), field)
    if field.type == "string" and None not in fitting:
        return Column(field, typed, typed)
    # What did not fit is there all the same, and reports must show it.
    raw = pl.Series([None if value in (None, "") else _text(value) for value in values], dtype=pl.String)
    return Column(field, raw, typed)


def _fits(value: Any, kind: str) -> bool:
    """Tell whether a value of JSON is one of a schema's type."""
    if kind == "string":
        return isinstance(value, str)
    if kind == "boolean" or isinstance(value, bool):
        return kind == "boolean" and isinstance(value, bool)
    if (bits := _BITS.get(kind)) is not None:
        return isinstance(value, int) and -(2**bits) <= value < 2**bits
    if kind == "float":
        # Numbers that 32 bits cannot hold would become infinite.
        return isinstance(value, int | float) and abs(value) <= _LARGEST_FLOAT
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # read is what is nested four times as deep as what can be written
        return f"a {type(value).__name__} that is nested too deep to be shown"
