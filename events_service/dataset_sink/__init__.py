"""Writes acknowledged records to the tables of datasets, each exactly once."""

from events_service.dataset_sink.rows import events_frame
from events_service.dataset_sink.sink import DatasetSink

__all__ = ["DatasetSink", "events_frame"]
