"""Flushes acknowledged records into a dataset before it is read, so that nothing is missing."""

from __future__ import annotations

from common.positions import Epoch, Lineage
from protos.tailorbird.internal.v1 import event_log_pb2
from trainer.flushing import Flushed
from trainer.flushing.calls import SealingCalls
from trainer.worker import JobContext

__all__ = ["RemoteFlusher"]


class RemoteFlusher:
    """Asks the events service to flush a table, by the RPC `SealingService.FlushTable`.

    Args:
        calls: To the events service.
    """

    def __init__(self, calls: SealingCalls) -> None:
        self._calls = calls

    def flush(self, location: str, context: JobContext) -> Flushed:
        """Wait until all acknowledged records are in the table; see `trainer.flushing.Flusher`."""
        request = event_log_pb2.FlushTableRequest(location=location)
        response = self._calls.call("FlushTable", request, context, failure="the latest records cannot be had")
        epochs = [Epoch(item.epoch, item.first_offset) for item in response.epochs]
        return Flushed(response.log_offset, Lineage(epochs) if epochs else None)
