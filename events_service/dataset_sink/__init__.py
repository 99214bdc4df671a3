"""Moves acknowledged events into the interactions tables, each exactly once."""

from events_service.dataset_sink.frames import events_frame
from events_service.dataset_sink.sink import DatasetSink

__all__ = ["DatasetSink", "events_frame"]
