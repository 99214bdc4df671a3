"""TrackerService on a real server."""

from __future__ import annotations

from protos.tailorbird.control.v1 import (
    event_tracker_pb2,
)
from protos.tailorbird.internal.v1 import trackers_pb2
from tests.control_plane.wire import make_dataset, make_group, unique_name
from tests.control_plane.world import INTERACTIONS


def test_tracking_id_is_resolved_for_the_event_services(grpc_stub):
    group = make_group(grpc_stub)
    tracker = grpc_stub.control.CreateEventTracker(
        event_tracker_pb2.CreateEventTrackerRequest(name=unique_name("tracker"), dataset_group_arn=group)
    )
    request = trackers_pb2.ResolveEventTrackerRequest(tracking_id=tracker.tracking_id)
    assert not grpc_stub.trackers.ResolveEventTracker(request).HasField("interactions")

    make_dataset(grpc_stub, group)

    response = grpc_stub.trackers.ResolveEventTracker(request)
    assert response.dataset_group_arn == group
    assert response.interactions.schema == INTERACTIONS
