"""How long values may be, and what times are believable."""

from __future__ import annotations

from typing import Final

from common.avro import AvroField
from common.columns import ITEM_ID, TIMESTAMP, USER_ID

__all__ = ["MAX_TEXT", "MAX_TIMESTAMP", "MIN_TIMESTAMP", "id_columns", "is_timestamp", "length_problem", "max_length"]

_MAX_ID: Final = 256
_MAX_VALUE: Final = 1000
#: Longer texts are cut, not refused.
MAX_TEXT: Final = 20_000
#: The years 1 and 9999, as the contracts' times have it; times of our days in milliseconds are far beyond.
MIN_TIMESTAMP: Final = -62_135_596_800
MAX_TIMESTAMP: Final = 253_402_300_799

_IDS: Final = {
    "INTERACTIONS": (USER_ID, ITEM_ID),
    "ITEMS": (ITEM_ID,),
    "USERS": (USER_ID,),
    "ACTIONS": ("ACTION_ID",),
    "ACTION_INTERACTIONS": (USER_ID, "ACTION_ID"),
}
_TIMES: Final = frozenset({TIMESTAMP, "CREATION_TIMESTAMP", "EXPIRATION_TIMESTAMP", "ACTION_EXPIRATION_TIMESTAMP"})


def id_columns(dataset_type: str) -> tuple[str, ...]:
    """Return the columns that hold ids."""
    return _IDS[dataset_type]


def max_length(field: AvroField, dataset_type: str) -> int | None:
    """Return the characters that a value may have, None where it is cut instead or no text."""
    if field.type != "string" or field.textual:
        return None
    return _MAX_ID if field.name in id_columns(dataset_type) else _MAX_VALUE


def length_problem(column: str, limit: int) -> str:
    """Say that a value is too long, in Personalize's words."""
    return (
        f"Length cannot be more than {limit} characters for {column}. If no values exceed the character limit, make "
        "sure your data follows the formatting guidelines"
    )


def is_timestamp(column: str) -> bool:
    """Tell whether a column holds seconds since 1970."""
    return column in _TIMES
