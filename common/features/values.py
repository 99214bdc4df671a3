"""The values of columns: what a property of a record becomes, and the row of an item, a user or an action that was put.

The events service checks records by these rules and writes their rows; runtimes read the same rows from the log.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from common.avro import MAX_TEXT_LENGTH, AvroField, AvroSchema
from common.columns import normalise_key
from common.errors import CorruptArtifact

__all__ = [
    "MAX_VALUE", "SentValue", "columns_by_key", "convert", "convert_entity", "describe_entity_values",
    "describe_values", "entity_values", "is_text", "read_entity",
]  # fmt: skip

#: Characters of one value.
MAX_VALUE: Final = 1000
#: As in imported files: no blanks, no other digits. It has one way only to match, so long texts take no longer.
_NUMBER_TEXT: Final = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_MAX_FLOAT32: Final = 3.4028234663852886e38
_WANTS: Final = {
    "string": f"a string of at most {MAX_VALUE} characters",
    "int": "a whole number of 32 bits",
    "long": "a whole number of 64 bits",
    "float": "a number that fits in 32 bits",
    "double": "a number",
    "boolean": "true or false",
}


class SentValue(NamedTuple):
    """What was sent for a column.

    Attributes:
        column: The schema's field.
        spelling: The name that it was sent by; the column's own where it was left out.
        value: As sent; the default where it was left out.
    """

    column: AvroField
    spelling: str
    value: Any


def entity_values(entity_id: str, properties_json: str | None, schema: AvroSchema, *, id_column: str) -> dict[str, Any]:
    """Return the schema's columns of the row that an accepted item, user or action becomes.

    Args:
        entity_id: Its id.
        properties_json: Its properties, as the log has them; None for none.
        schema: The one that it was accepted by, or one with more columns.
        id_column: The column of the id.

    Raises:
        CorruptArtifact: It was not accepted by this schema. The message names the column, never the value.
    """
    properties: dict[str, Any] = json.loads(properties_json) if properties_json else {}
    row = {}
    for column, _, value in read_entity(entity_id, properties, schema, id_column=id_column):
        row[column.name] = None if value is None else convert_entity(value, column)
        if value is not None and row[column.name] is None:
            want = describe_entity_values(column)
            raise CorruptArtifact(f"event log: got a value of {column.name} that is not {want}")
    return row


def read_entity(
    entity_id: str, properties: Mapping[str, Any], schema: AvroSchema, *, id_column: str
) -> list[SentValue]:
    """Return what was sent for each column of an item, a user or an action; the id by the name of its column.

    Args:
        entity_id: Its id.
        properties: By keys as they were sent.
        schema: Of its dataset.
        id_column: The column of the id.
    """
    spellings = {normalise_key(key): key for key in properties}
    read = []
    for key, column in columns_by_key(schema).items():
        spelling = spellings.get(key)
        if column.name == id_column:
            read.append(SentValue(column, column.name, entity_id))
        elif spelling is None:
            read.append(SentValue(column, column.name, column.default))
        else:
            read.append(SentValue(column, spelling, properties[spelling]))
    return read


@lru_cache(maxsize=1024)
def columns_by_key(schema: AvroSchema) -> Mapping[str, AvroField]:
    """Return the columns by the normalised keys of their names, in their order."""
    return MappingProxyType({normalise_key(column.name): column for column in schema.fields})


def convert_entity(value: Any, column: AvroField) -> Any:
    """Return the value of an item, a user or an action in the column's type, as `convert` does; texts may be long."""
    if column.textual:
        # As in files: a text is as long as the properties may be, and cut.
        return value[:MAX_TEXT_LENGTH] if isinstance(value, str) and is_text(value) else None
    return convert(value, column)


def describe_entity_values(column: AvroField) -> str:
    """Return what values a column of items, users or actions takes, for errors."""
    return "a string" if column.textual else describe_values(column)


def convert(value: Any, column: AvroField) -> Any:
    """Return a JSON value converted to the column's type; None when it is of another type or out of range.

    Numbers and booleans may also come as text, which is how Personalize's own examples write them.

    Args:
        value: What was sent; not None.
        column: The schema's field.
    """
    return _CONVERTERS[column.type](value)


def describe_values(column: AvroField) -> str:
    """Return what values a column takes, for errors."""
    return _WANTS[column.type]


def is_text(value: str) -> bool:
    """Return whether a string can be encoded as UTF-8: JSON escapes can make unpaired surrogates."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and len(value) <= MAX_VALUE and is_text(value) else None


def _boolean(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None


def _integer(value: Any, *, bits: int) -> int | None:
    if type(value) is int:
        return value if -(2 ** (bits - 1)) <= value < 2 ** (bits - 1) else None
    number = _number(value)
    # What is far too large need not be looked at more closely.
    if number is None or abs(number) > 2.0**bits:
        return None
    # Not the float: it holds 53 bits only.
    exact = Decimal(value)
    integer = int(exact)
    return integer if integer == exact and -(2 ** (bits - 1)) <= integer < 2 ** (bits - 1) else None


def _number(value: Any) -> float | None:
    if type(value) is float:
        return value if math.isfinite(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not _NUMBER_TEXT.fullmatch(value):
        return None
    try:
        number = float(value)
    except OverflowError:  # of an integer
        return None
    return number if math.isfinite(number) else None


def _single(value: Any) -> float | None:
    number = _number(value)
    return number if number is None or abs(number) <= _MAX_FLOAT32 else None


_CONVERTERS: Final[Mapping[str, Callable[[Any], Any]]] = MappingProxyType(
    {
        "string": _string,
        "boolean": _boolean,
        "int": partial(_integer, bits=32),
        "long": partial(_integer, bits=64),
        "float": _single,
        "double": _number,
    }
)
