"""Rules of single members that records of several kinds share. Each raises InvalidInput and names the member."""

from __future__ import annotations

from typing import Any, Final

from common.errors import invalid
from common.features.values import is_text

__all__ = ["MAX_RECOMMENDATION_ID", "check_impression", "check_millis", "check_required", "check_text"]

MAX_RECOMMENDATION_ID: Final = 40
_MAX_TEXT: Final = 256
_MAX_IMPRESSION: Final = 25
#: The years 1 to 9999, which the contracts' time can hold.
_MIN_MILLIS: Final = -62_135_596_800_000
_MAX_MILLIS: Final = 253_402_300_799_999


def check_millis(field: str, millis: int) -> int:
    """Return a moment in milliseconds; one that looks like seconds taken for milliseconds is named so."""
    if _MIN_MILLIS <= millis <= _MAX_MILLIS:
        return millis
    seconds, want = millis // 1000, "seconds since 1970-01-01 UTC, of the years 1 to 9999"
    if _MIN_MILLIS <= seconds <= _MAX_MILLIS:
        want += f"; these look like milliseconds: of those it is {seconds // 1000} seconds"
    raise invalid(field, got=seconds, want=want)


def check_impression(field: str, ids: tuple[str, ...]) -> tuple[str, ...]:
    """Return the ids of what was shown, at most 25."""
    if len(ids) > _MAX_IMPRESSION:
        raise invalid(field, got=len(ids), want=f"at most {_MAX_IMPRESSION} item ids")
    for index, item in enumerate(ids):
        check_required(f"{field}[{index}]", item)
        if "|" in item:
            # Tables hold impressions as one text, joined by bars.
            raise invalid(f"{field}[{index}]", got=item, want="an item id without `|`")
    return ids


def check_required(field: str, value: str | None) -> str:
    """Return a text that must be there, of 1 to 256 characters."""
    text = check_text(field, value)
    if text is None:
        raise invalid(field, got=None, want=f"1 to {_MAX_TEXT} characters: the field is required")
    return text


def check_text(field: str, value: Any, *, longest: int = _MAX_TEXT) -> str | None:
    """Return a text of 1 to `longest` characters, or None."""
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= longest or not is_text(value):
        raise invalid(field, got=value, want=f"a string of 1 to {longest} characters")
    return value
