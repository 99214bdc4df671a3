"""What servers tell of their calls: real calls over a real connection."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import empty_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.errors import ResourceNotFound
from common.rpc import Service
from common.telemetry import CALL_FIGURES, MeasuredCalls
from common.telemetry.exposition import BlockCollector
from common.telemetry.shared import Block, SharedFigures
from common.testing import serving, wait_until
from protos.tailorbird.internal.v1 import trackers_pb2, trackers_pb2_grpc
from protos.tailorbird.internal.v1.trackers_pb2 import ResolveEventTrackerRequest, ResolveEventTrackerResponse

TRACKERS = "tailorbird.internal.v1.TrackerService"


class Trackers(trackers_pb2_grpc.TrackerServiceServicer):
    def ResolveEventTracker(self, request, context):
        if request.tracking_id == "missing":
            raise ResourceNotFound("no such tracker")
        return ResolveEventTrackerResponse(event_tracker_arn=request.tracking_id)


def tracker_service():
    return Service(
        trackers_pb2.DESCRIPTOR.services_by_name["TrackerService"],
        trackers_pb2_grpc.add_TrackerServiceServicer_to_server,
        Trackers(),
    )


@pytest.fixture(scope="module")
def block():
    return Block()


@pytest.fixture(scope="module")
def running(block):
    with serving([tracker_service()], observer=MeasuredCalls(SharedFigures(block))) as made:
        yield made


def value(block, name, **labels):
    for family in BlockCollector([block], CALL_FIGURES).collect():
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return 0.0


def resolve(running, tracking_id, role="events"):
    with running.channel(role) as opened:
        stub = trackers_pb2_grpc.TrackerServiceStub(opened)
        return stub.ResolveEventTracker(ResolveEventTrackerRequest(tracking_id=tracking_id))


def test_calls_are_counted_by_status_and_measured(running, block):
    resolve(running, "abc")
    with pytest.raises(grpc.RpcError):
        resolve(running, "missing")
    with pytest.raises(grpc.RpcError):
        resolve(running, "abc", role="trainer")

    labels = {"grpc_type": "unary", "grpc_service": TRACKERS, "grpc_method": "ResolveEventTracker"}
    for code in ("OK", "NOT_FOUND", "PERMISSION_DENIED"):
        assert value(block, "grpc_server_handled_total", **labels, grpc_code=code) == 1.0
    assert value(block, "grpc_server_started_total", **labels) == 3.0
    assert value(block, "grpc_server_handling_seconds_count", **labels) == 3.0
    assert 0.0 < value(block, "grpc_server_handling_seconds_sum", **labels) < 60.0


def test_how_long_calls_waited_until_they_began_is_measured():
    counted, request = Block(), ResolveEventTrackerRequest(tracking_id="abc")
    with (
        serving([tracker_service()], observer=MeasuredCalls(SharedFigures(counted))) as served,
        served.channel("events") as opened,
    ):
        stub = trackers_pb2_grpc.TrackerServiceStub(opened)

        def sampled():
            for call in [stub.ResolveEventTracker.future(request) for _ in range(20)]:
                call.result()
            return value(counted, "tailorbird_rpc_wait_seconds_count") >= 2.0

        wait_until(sampled)

    assert 0.0 <= value(counted, "tailorbird_rpc_wait_seconds_sum") < 60.0


def test_a_stream_counts_when_it_ends(running, block):
    labels = {"grpc_type": "server_stream", "grpc_service": "grpc.health.v1.Health", "grpc_method": "Watch"}
    with running.channel("events") as opened:
        watching = health_pb2_grpc.HealthStub(opened).Watch(health_pb2.HealthCheckRequest())
        next(watching)
        assert value(block, "grpc_server_started_total", **labels) == 1.0
        assert value(block, "grpc_server_handled_total", **labels) == 0.0
        watching.cancel()
        wait_until(lambda: value(block, "grpc_server_handled_total", **labels, grpc_code="CANCELLED") == 1.0)


def test_methods_that_a_server_lacks_are_one_whatever_their_names(running, block):
    with running.channel("events") as opened:
        for name in ("/a.B/C", "/a.B/D", "/x.Y/Z"):
            with pytest.raises(grpc.RpcError, match="UNIMPLEMENTED"):
                opened.unary_unary(name, empty_pb2.Empty.SerializeToString, empty_pb2.Empty.FromString)(
                    empty_pb2.Empty(), timeout=60
                )

    handled = {"grpc_service": "unknown", "grpc_method": "unknown", "grpc_code": "UNIMPLEMENTED"}
    assert value(block, "grpc_server_handled_total", **handled) == 3.0
    assert not any({"a.B", "x.Y"} & {*one.labels} for one in block.series())
