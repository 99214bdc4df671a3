"""A small server of ours and ways to call it: with a connection of one's own, and without what channels add."""

from __future__ import annotations

import contextlib
import threading

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2

from common.errors import invalid
from common.rpc import Service, from_rpc_error
from common.settings import CallLimits
from common.testing import serving
from protos.tailorbird.internal.v1 import trackers_pb2, trackers_pb2_grpc
from protos.tailorbird.internal.v1.trackers_pb2 import ResolveEventTrackerRequest, ResolveEventTrackerResponse

METHOD = "/tailorbird.internal.v1.TrackerService/ResolveEventTracker"
RECOMMEND = "/tailorbird.runtime.v1.RuntimeService/GetRecommendations"
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
#: More than there are threads in any of our servers.
MANY = 300


class Trackers(trackers_pb2_grpc.TrackerServiceServicer):
    """Answers with its name; waits for the test where the id says so."""

    def __init__(self, name="here"):
        self.name = name
        self.begun = 0
        self.let_go = threading.Event()

    def ResolveEventTracker(self, request, context):
        if request.tracking_id == "wait":
            self.begun += 1
            self.let_go.wait(60)
        if request.tracking_id == "bad":
            raise invalid("trackingId", got="MARKED", want="another")
        return ResolveEventTrackerResponse(event_tracker_arn=self.name)


def tracker_service(servicer):
    return Service(
        trackers_pb2.DESCRIPTOR.services_by_name["TrackerService"],
        trackers_pb2_grpc.add_TrackerServiceServicer_to_server,
        servicer,
    )


@contextlib.contextmanager
def bounded(trackers, **limits):
    with serving([tracker_service(trackers)], threads=4, limits=CallLimits(**limits)) as running:
        yield running
        trackers.let_go.set()


def bearer(running, role="events"):
    return [("authorization", f"Bearer {running.keys.token(role)}")]


@contextlib.asynccontextmanager
async def connected(running, **options):
    """Open a channel with a connection of its own, which adds nothing to calls."""
    arguments = [("grpc.use_local_subchannel_pool", 1), *((f"grpc.{name}", value) for name, value in options.items())]
    async with grpc.aio.insecure_channel(running.target, options=arguments) as channel:
        yield channel


def silent(channel, method, *, metadata=()):
    """Start a call that sends its headers and never a message."""
    return channel.stream_stream(method)(metadata=metadata, timeout=120)


async def refused(call):
    """Return the error of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def ask(channel, running, tracking_id="a"):
    stub = trackers_pb2_grpc.TrackerServiceStub(channel)
    request = ResolveEventTrackerRequest(tracking_id=tracking_id)
    return (await stub.ResolveEventTracker(request, metadata=bearer(running), timeout=60)).event_tracker_arn


def above_info(written):
    """Return lines above INFO, and all of gRPC's library: it logs problems only."""
    return [line for line in written() if isinstance(line, str) or line["log_level"] != "info"]
