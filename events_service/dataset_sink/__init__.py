"""Appends acknowledged events to the interactions tables, each exactly once."""

from events_service.dataset_sink.sink import DatasetSink, events_frame

__all__ = ["DatasetSink", "events_frame"]
