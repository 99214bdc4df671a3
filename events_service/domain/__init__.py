"""What an event may be, and what row it becomes: pure rules."""

from events_service.domain.events import ActionInteraction, Entity, Event, RawActionInteraction, RawCall, RawEvent
from events_service.domain.rows import interaction_values
from events_service.domain.rules import check_events

__all__ = [
    "ActionInteraction",
    "Entity",
    "Event",
    "RawActionInteraction",
    "RawCall",
    "RawEvent",
    "check_events",
    "interaction_values",
]
