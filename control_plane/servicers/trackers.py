"""TrackerService: what event services call."""

# ruff: noqa: ARG002 - gRPC passes a context to every method

from __future__ import annotations

from dataclasses import asdict

import grpc

from control_plane.domain.fields import required
from control_plane.resources.trackers import EventTrackers
from protos.tailorbird.internal.v1 import jobs_pb2, trackers_pb2, trackers_pb2_grpc

__all__ = ["TrackerServicer"]


class TrackerServicer(trackers_pb2_grpc.TrackerServiceServicer):
    """Tracking ids on the wire."""

    def __init__(self, trackers: EventTrackers) -> None:
        self._trackers = trackers

    def ResolveEventTracker(
        self, request: trackers_pb2.ResolveEventTrackerRequest, context: grpc.ServicerContext
    ) -> trackers_pb2.ResolveEventTrackerResponse:
        """Return what a tracking id stands for."""
        found = self._trackers.resolve(required("tracking_id", request.tracking_id))
        table = found.interactions
        return trackers_pb2.ResolveEventTrackerResponse(
            event_tracker_arn=found.event_tracker_arn,
            dataset_group_arn=found.dataset_group_arn,
            interactions=None if table is None else jobs_pb2.DatasetTable(**asdict(table)),
        )
