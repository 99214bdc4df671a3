"""Parses JSON that callers send as text, within bounds."""

from __future__ import annotations

import json
import math
from typing import Any, Final

from common.errors import InvalidInput, invalid

__all__ = ["is_unicode", "read_json"]

_LARGEST_INTEGER: Final = 2**63
_SHOWN: Final = 60


def read_json(text: str, *, field: str, max_length: int, max_depth: int) -> Any:
    """Parse a JSON document whose parts are all of bounded size, so that later steps cannot fail on them.

    Args:
        text: What the caller sent.
        field: Name of the request's member, for the error.
        max_length: Characters of the text.
        max_depth: Levels of nested objects and lists.

    Returns:
        The document; its integers have at most 64 bits, its other numbers are finite, its strings are Unicode.

    Raises:
        InvalidInput: It is too long, not JSON, nested too deeply, or has a value that no column can have; the message
            names the place.
    """
    if len(text) > max_length:
        raise invalid(field, got=f"{len(text)} characters", want=f"at most {max_length}")
    try:
        document = json.loads(text, parse_constant=_reject)
    except json.JSONDecodeError as error:
        want = f"JSON; the text breaks off from it in line {error.lineno}, column {error.colno}"
        raise invalid(field, got=_around(text, error.pos), want=want) from error
    except RecursionError as error:
        raise _too_deep(field, max_depth) from error
    except ValueError as error:
        # A number without a value (NaN), or with more digits than Python reads.
        raise invalid(field, got=_around(text, 0), want="JSON whose numbers are finite and have 64 bits") from error
    _check_parts(document, field, max_depth)
    return document


def is_unicode(text: str) -> bool:
    """Return whether a string is Unicode text: JSON escapes can make unpaired surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _check_parts(document: Any, field: str, max_depth: int) -> None:
    """Check every value, without recursion: the document may be nested as deeply as it is long."""
    queue: list[tuple[Any, str, int]] = [(document, field, 0)]
    while queue:
        value, place, depth = queue.pop()
        if isinstance(value, dict | list) and depth == max_depth:
            raise _too_deep(field, max_depth)
        if isinstance(value, dict):
            for key, item in value.items():
                if not is_unicode(key):
                    raise invalid(place, got=key, want="names that are Unicode, without halves of surrogate pairs")
                queue.append((item, f"{place}.{key[:_SHOWN]}", depth + 1))
        elif isinstance(value, list):
            queue.extend((item, f"{place}[{index}]", depth + 1) for index, item in enumerate(value))
        elif isinstance(value, str) and not is_unicode(value):
            raise invalid(place, got=value, want="Unicode, without halves of surrogate pairs")
        elif isinstance(value, float) and not math.isfinite(value):
            raise invalid(place, got="a number beyond the range of double precision", want="a finite number")
        elif isinstance(value, int) and not -_LARGEST_INTEGER <= value < _LARGEST_INTEGER:
            raise invalid(place, got=f"an integer of {value.bit_length()} bits", want="an integer of 64 bits")


def _too_deep(field: str, max_depth: int) -> InvalidInput:
    return invalid(field, got="deeper nesting", want=f"at most {max_depth} objects and lists inside of one another")


def _reject(name: str) -> None:
    raise ValueError(name)


def _around(text: str, position: int) -> str:
    return text[max(0, position - 10) : position + _SHOWN]
