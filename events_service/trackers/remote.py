"""Asks control_plane."""

from __future__ import annotations

import grpc

from common.avro import AvroSchema
from common.errors import ResourceNotFound, Unavailable
from common.rpc import from_rpc_error
from events_service.log import LogTable
from events_service.trackers import Tracker
from protos.tailorbird.internal.v1.trackers_pb2 import ResolveEventTrackerRequest, ResolveEventTrackerResponse
from protos.tailorbird.internal.v1.trackers_pb2_grpc import TrackerServiceStub

__all__ = ["RemoteTrackers"]


class RemoteTrackers:
    """Resolves by a call to `TrackerService`.

    Args:
        channel: To control_plane.
        patience_seconds: How long one call may take, retries included; less than callers of PutEvents wait.
    """

    def __init__(self, channel: grpc.Channel, *, patience_seconds: float = 3.0) -> None:
        self._stub = TrackerServiceStub(channel)
        self._patience_seconds = patience_seconds

    def resolve(self, tracking_id: str) -> Tracker:
        """Return what the id stands for; see `Trackers`."""
        request = ResolveEventTrackerRequest(tracking_id=tracking_id)
        try:
            answer = self._stub.ResolveEventTracker(request, timeout=self._patience_seconds)
        except grpc.RpcError as error:
            known = from_rpc_error(error)
            if isinstance(known, ResourceNotFound | Unavailable):
                raise known from error
            # Whoever sent the events did nothing wrong: it is we who are refused.
            raise Unavailable(f"control_plane: tells no tracker: {known.message}") from error
        return _tracker(answer)


def _tracker(answer: ResolveEventTrackerResponse) -> Tracker:
    if not answer.HasField("interactions"):
        return Tracker(answer.dataset_group_arn)
    table = LogTable(
        location=answer.interactions.location,
        dataset_group_arn=answer.dataset_group_arn,
        schema=answer.interactions.schema,
    )
    return Tracker(answer.dataset_group_arn, table, AvroSchema.parse(table.schema))
