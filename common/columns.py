"""The names of columns: those reserved by Personalize, and our internal ones."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ACTION_ID", "CREATION_TIMESTAMP", "EVENTS_APP_ID", "EVENT_ATTRIBUTION_SOURCE", "EVENT_ID", "EVENT_TYPE",
    "EVENT_VALUE", "IMPRESSION", "INTERNAL", "ITEM_ID", "LOG_OFFSET", "MOMENTS", "RECOMMENDATION_ID", "SESSION_ID",
    "SOURCE", "SOURCE_BULK", "SOURCE_PUT", "TIMESTAMP", "USER_ID", "normalise_key",
]  # fmt: skip

USER_ID: Final = "USER_ID"
ITEM_ID: Final = "ITEM_ID"
ACTION_ID: Final = "ACTION_ID"
#: Seconds since 1970-01-01 UTC.
TIMESTAMP: Final = "TIMESTAMP"
EVENT_TYPE: Final = "EVENT_TYPE"
EVENT_VALUE: Final = "EVENT_VALUE"
IMPRESSION: Final = "IMPRESSION"
RECOMMENDATION_ID: Final = "RECOMMENDATION_ID"
EVENT_ATTRIBUTION_SOURCE: Final = "EVENT_ATTRIBUTION_SOURCE"
#: Of an item: seconds since 1970-01-01 UTC.
CREATION_TIMESTAMP: Final = "CREATION_TIMESTAMP"
#: Columns of items, users and actions that hold seconds since 1970-01-01 UTC where they hold numbers.
MOMENTS: Final = frozenset({CREATION_TIMESTAMP, "EXPIRATION_TIMESTAMP", "ACTION_EXPIRATION_TIMESTAMP"})

#: Where a row came from: a bulk import or a streamed event. A FULL import replaces only bulk rows.
SOURCE: Final = "_SOURCE"
SOURCE_BULK: Final = "bulk"
SOURCE_PUT: Final = "put"
EVENT_ID: Final = "_EVENT_ID"
#: Offset in the event log; of a row that was put before a replaced log was noticed, one above all that the other wrote.
#: Null for rows of FULL imports, of others see `Table.offset_of_import`.
LOG_OFFSET: Final = "_OFFSET"
SESSION_ID: Final = "_SESSION_ID"

#: Columns that no schema of a user can name.
INTERNAL: Final = (SOURCE, EVENT_ID, LOG_OFFSET, SESSION_ID)

#: Application id of the table's transactions that carry streamed events: the number of the last one is the log offset
#: up to which the table holds all its events (the committed offset), hence the watermark of a training on it.
EVENTS_APP_ID: Final = "tailorbird.events"
#: In the same commits: the epoch of the log that the offset belongs to; absent means `LEGACY_EPOCH`.
EVENTS_EPOCH_APP_ID: Final = "tailorbird.events.epoch"


def normalise_key(name: str) -> str:
    """Return the key by which columns and callers' spellings are compared: `fooBar` and `FOO_BAR` give `foobar`.

    Used for keys in the `properties` of events and in the `context` of requests.
    """
    return name.replace("_", "").casefold()
