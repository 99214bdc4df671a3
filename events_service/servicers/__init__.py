"""Contracts to events and back; every decision is made elsewhere."""

from events_service.servicers.events import EventsServicer

__all__ = ["EVENTS_SERVICER"]

#: For the page of operations.
EVENTS_SERVICER = EventsServicer
