"""Moves acknowledged events into the interactions tables, each exactly once."""

from events_service.sealing.frames import events_frame
from events_service.sealing.sealer import Sealer

__all__ = ["Sealer", "events_frame"]
