"""Events as callers send them (`RawEvent`), and as the log keeps them (`Event`)."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import Final

__all__ = ["ActionInteraction", "Entity", "Event", "RawActionInteraction", "RawCall", "RawEvent"]

#: Made once: `json.dumps` would make one for each event.
_CANONICAL: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_NAMESPACE: Final = uuid.UUID("6ab3f1d2-0f4e-4d55-9c11-6a8f0f2a7c1e")


@dataclass(frozen=True, slots=True)
class RawEvent:
    """One event of a call, unchecked; None where the sender left something out.

    Attributes:
        properties: A JSON object as text.
        sent_at_millis: Milliseconds since 1970-01-01 UTC.
        attribution_source: `metricAttribution.eventAttributionSource`.
    """

    event_type: str | None = None
    sent_at_millis: int | None = None
    event_id: str | None = None
    event_value: float | None = None
    item_id: str | None = None
    properties: str | None = None
    recommendation_id: str | None = None
    impression: tuple[str, ...] = ()
    attribution_source: str | None = None


@dataclass(frozen=True, slots=True)
class RawCall:
    """A whole PutEvents, unchecked; None where the sender left something out."""

    tracking_id: str | None
    session_id: str | None
    user_id: str | None
    events: tuple[RawEvent, ...]


@dataclass(frozen=True, slots=True)
class RawActionInteraction:
    """One interaction with an action, unchecked; None where the sender left something out."""

    action_id: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    event_type: str | None = None
    sent_at_millis: int | None = None
    event_id: str | None = None
    recommendation_id: str | None = None
    impression: tuple[str, ...] = ()
    properties: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """A validated event.

    Attributes:
        event_id: The sender's, or derived from the content (see `content_id`).
        user_id: None before log-in.
        properties_json: A JSON object with keys as sent; None when there are none. Item and value, which old clients
            send in here, are moved to `item_id` and `event_value`.
    """

    event_id: str
    session_id: str
    event_type: str
    sent_at_millis: int
    user_id: str | None = None
    event_value: float | None = None
    item_id: str | None = None
    properties_json: str | None = None
    recommendation_id: str | None = None
    impression: tuple[str, ...] = ()
    attribution_source: str | None = None

    def content(self) -> str:
        """Return everything but the id as one canonical text."""
        parts = (
            self.session_id, self.user_id, self.event_type, self.sent_at_millis, self.event_value, self.item_id,
            self.properties_json, self.recommendation_id, self.impression, self.attribution_source,
        )  # fmt: skip
        return _CANONICAL.encode(parts)

    def content_id(self) -> str:
        """Return the id of an event whose sender gave none: the same for the same content.

        So a call that an SDK repeats after a lost answer adds nothing, and of events that agree in time and properties
        one is kept, as Personalize does.
        """
        return str(uuid.uuid5(_NAMESPACE, self.content()))


@dataclass(frozen=True, slots=True)
class Entity:
    """A validated item, user or action, which takes the place of the one with its id.

    Attributes:
        entity_id: Id of the item, the user or the action.
        properties_json: The columns as a JSON object with keys as sent; None when there are none.
    """

    entity_id: str
    properties_json: str | None = None


@dataclass(frozen=True, slots=True)
class ActionInteraction:
    """A validated interaction of a user with an action; attributes as in `Event`."""

    event_id: str
    session_id: str
    event_type: str
    sent_at_millis: int
    action_id: str
    user_id: str | None = None
    properties_json: str | None = None
    recommendation_id: str | None = None
    impression: tuple[str, ...] = ()

    def content_id(self) -> str:
        """Return the id of one whose sender gave none: the same for the same content."""
        parts = (
            self.session_id, self.user_id, self.event_type, self.sent_at_millis, self.action_id, self.properties_json,
            self.recommendation_id, self.impression,
        )  # fmt: skip
        return str(uuid.uuid5(_NAMESPACE, json.dumps(parts, ensure_ascii=False, separators=(",", ":"))))
