"""The `properties` of a record: a JSON object as text whose keys are the schema's columns in camelCase."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson

from common.errors import invalid
from common.features.values import is_text

__all__ = ["MAX_PROPERTIES", "parse_properties", "read_properties", "write_properties"]

#: Characters of the JSON text of an event.
MAX_PROPERTIES: Final = 1024
#: As an integer of more than 64 bits has.
_MANY_DIGITS: Final = re.compile(r"[0-9]{19}")
#: Well below the depth that either parser ends at.
_PLAIN_DEPTH: Final = 100


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
    try:
        return orjson.dumps(properties, option=orjson.OPT_SORT_KEYS).decode()
    except orjson.JSONEncodeError:  # of integers of more than 64 bits
        return _ENCODER.encode(properties)


def read_properties(text: str | None) -> dict[str, Any]:
    """Return what `write_properties` has written."""
    properties: dict[str, Any] = {} if text is None else _decode(text)
    return properties


def _load(text: str, *, field: str) -> Any:
    try:
        return _decode(text)
    except (ValueError, RecursionError) as error:
        raise invalid(field, got=text, want=f"a JSON object, as text ({error})") from error


def _decode(text: str) -> Any:
    """Parse JSON, most of it by orjson, which takes a fraction of the time.

    It makes floats of integers beyond 64 bits, and says otherwise what is wrong with a text: then the standard library
    decides.
    """
    if text.count("[") + text.count("{") <= _PLAIN_DEPTH and not _MANY_DIGITS.search(text):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
    return _DECODER.decode(text)


def _refuse_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_number(text)


#: Made once: `json.loads` and `json.dumps` would make one for each record.
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_number, parse_float=_finite)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
