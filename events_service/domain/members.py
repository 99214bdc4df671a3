"""The tables that map members of PutEvents and PutActionInteractions to columns of the schemas.

Validation on arrival, the rows that events become and the page docs/events.md all follow it: which column a member
fills, whether it is required, and what becomes of a property of that name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from common import columns
from common.columns import normalise_key

__all__ = ["ACTION_MEMBERS", "MEMBERS", "InProperties", "Member", "action_member_of", "member_of"]


class InProperties(Enum):
    """What becomes of a property whose normalised key is that of the member's column."""

    REFUSED = "refused"
    MOVED = "taken for the member, as old clients send it there"
    KEPT = "kept beside it"


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an event with a column of its own.

    Attributes:
        column: The reserved name; a schema's column matches by its normalised key.
        name: As callers write it: a member of the event, or of the call if `of_call`.
        attribute: Its name in `Event`, `RawEvent` and `RawCall`, or in `ActionInteraction`.
        of_call: Sent once for all events of a call.
        short: A text that is checked to have at most 256 characters: it fits any column of strings.
        required: Every event must have it, whatever the schema says. All others may be left out, whatever the schema
            says: their column is then null.
        in_properties: What becomes of a property of this name.
        to_column: Converts the attribute's value to the column's.
    """

    column: str
    name: str
    attribute: str
    of_call: bool = False
    short: bool = False
    required: bool = False
    in_properties: InProperties = InProperties.REFUSED
    to_column: Callable[[Any], Any] = lambda value: value

    def value(self, event: object) -> Any:
        """Return what the column of a checked event holds; None when it was not sent."""
        value = getattr(event, self.attribute)
        return None if value is None else self.to_column(value)

    def path(self, event: str) -> str:
        """Return the member's name for an error about an event, e.g. `eventList[0]`."""
        return self.name if self.of_call else f"{event}.{self.name}"


MEMBERS: Final = (
    Member(columns.USER_ID, "userId", "user_id", short=True, of_call=True),
    Member("SESSION_ID", "sessionId", "session_id", short=True, of_call=True, required=True),
    Member(columns.ITEM_ID, "itemId", "item_id", short=True, in_properties=InProperties.MOVED),
    Member(columns.TIMESTAMP, "sentAt", "sent_at_millis", required=True, to_column=lambda millis: millis // 1000),
    Member(columns.EVENT_TYPE, "eventType", "event_type", short=True, required=True),
    Member(columns.EVENT_VALUE, "eventValue", "event_value", in_properties=InProperties.MOVED),
    Member(columns.IMPRESSION, "impression", "impression", to_column=lambda items: "|".join(items) or None),
    Member(columns.RECOMMENDATION_ID, "recommendationId", "recommendation_id", short=True),
    Member(
        columns.EVENT_ATTRIBUTION_SOURCE,
        "metricAttribution.eventAttributionSource",
        "attribution_source",
        in_properties=InProperties.KEPT,
    ),
)
#: Of PutActionInteractions; none of them may be a property.
ACTION_MEMBERS: Final = (
    Member(columns.USER_ID, "userId", "user_id", short=True),
    Member("SESSION_ID", "sessionId", "session_id", short=True, required=True),
    Member(columns.ACTION_ID, "actionId", "action_id", short=True, required=True),
    Member(columns.TIMESTAMP, "timestamp", "sent_at_millis", required=True, to_column=lambda millis: millis // 1000),
    Member(columns.EVENT_TYPE, "eventType", "event_type", short=True, required=True),
    Member(columns.IMPRESSION, "impression", "impression", to_column=lambda actions: "|".join(actions) or None),
    Member(columns.RECOMMENDATION_ID, "recommendationId", "recommendation_id", short=True),
)
_BY_COLUMN_KEY: Final = {normalise_key(member.column): member for member in MEMBERS}
_ACTIONS_BY_COLUMN_KEY: Final = {normalise_key(member.column): member for member in ACTION_MEMBERS}


def member_of(key: str) -> Member | None:
    """Return the member of an event whose column has this normalised key; None for none."""
    return _BY_COLUMN_KEY.get(key)


def action_member_of(key: str) -> Member | None:
    """Return the same member of an interaction with an action."""
    return _ACTIONS_BY_COLUMN_KEY.get(key)
