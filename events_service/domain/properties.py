"""The `properties` of a record: a JSON object as text whose keys are the schema's columns in camelCase."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from common.avro import AvroField
from common.errors import invalid

__all__ = [
    "MAX_PROPERTIES",
    "MAX_VALUE",
    "convert",
    "describe_values",
    "is_text",
    "parse_properties",
    "write_properties",
]

#: Characters of the JSON text of an event.
MAX_PROPERTIES: Final = 1024
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


def parse_properties(text: str, *, field: str, max_length: int = MAX_PROPERTIES) -> dict[str, Any]:
    """Parse the JSON object, of at most `max_length` characters.

    An object that was encoded twice is unwrapped: some SDKs encode what the caller has encoded already.

    Raises:
        InvalidInput: It is too long, not JSON, not an object, or holds unpaired surrogates.
    """
    if not 1 <= len(text) <= max_length:
        raise invalid(field, got=text, want=f"a JSON object of 1 to {max_length} characters")
    value = _load(text, field=field)
    if isinstance(value, str):
        value = _load(value, field=field)
    if not isinstance(value, dict):
        raise invalid(field, got=text, want="a JSON object, as text")
    # Only an escape can make one, also within an object that was encoded twice.
    if "\\u" in text and not is_text(json.dumps(value, ensure_ascii=False)):
        raise invalid(field, got=text, want="whole characters: an escape stands for half of a surrogate pair")
    return value


def write_properties(properties: Mapping[str, Any]) -> str | None:
    """Return the canonical text of parsed properties, None when there are none."""
    if not properties:
        return None
    return _ENCODER.encode(properties)


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
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _load(text: str, *, field: str) -> Any:
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise invalid(field, got=text, want=f"a JSON object, as text ({error})") from error


def _refuse_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_number(text)


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) and len(value) <= MAX_VALUE and is_text(value) else None


def _boolean(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else None


def _integer(value: Any, *, bits: int) -> int | None:
    number = _number(value)
    # What is far too large need not be looked at more closely.
    if number is None or abs(number) > 2.0**bits:
        return None
    # Not the float: it holds 53 bits only.
    exact = Decimal(value)
    integer = int(exact)
    return integer if integer == exact and -(2 ** (bits - 1)) <= integer < 2 ** (bits - 1) else None


def _number(value: Any) -> float | None:
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


#: Made once: `json.loads` and `json.dumps` would make one for each record.
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_number, parse_float=_finite)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
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
