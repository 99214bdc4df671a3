"""Spans as a collector gets them: whose they are, what they lie in, and which are not made."""

from __future__ import annotations

import subprocess
import sys

import grpc
import pytest

from common.errors import ResourceNotFound
from common.rpc import Service, channel
from common.telemetry import NO_FIGURES, MeasuredCalls, bound, span, traceparent
from common.telemetry.otlp import OtlpTracer
from common.testing import serving
from protos.tailorbird.internal.v1 import trackers_pb2, trackers_pb2_grpc
from protos.tailorbird.internal.v1.trackers_pb2 import ResolveEventTrackerRequest, ResolveEventTrackerResponse
from tests.common.telemetry.receiver import collector

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = PARENT[:-1] + "0"


class Trackers(trackers_pb2_grpc.TrackerServiceServicer):
    """Does its work in a step of its own, in a thread."""

    def ResolveEventTracker(self, request, context):
        with span("look up"):
            if request.tracking_id == "missing":
                raise ResourceNotFound("no such tracker")
            if request.tracking_id == "crash":
                raise ZeroDivisionError
            return ResolveEventTrackerResponse(event_tracker_arn=traceparent())


SERVICE = Service(
    trackers_pb2.DESCRIPTOR.services_by_name["TrackerService"],
    trackers_pb2_grpc.add_TrackerServiceServicer_to_server,
    Trackers(),
)


@pytest.fixture
def received():
    with collector() as made:
        yield made


@pytest.fixture
def tracer(received):
    made = OtlpTracer(received.endpoint, service="trackers", instance="here", ratio=1.0)
    yield made
    made.close()


def by_name(received):
    return {one.name: one for one in received.spans}


def resolve(running, tracking_id):
    with channel(running.target, token=running.keys.token("events")) as opened:
        stub = trackers_pb2_grpc.TrackerServiceStub(opened)
        return stub.ResolveEventTracker(ResolveEventTrackerRequest(tracking_id=tracking_id)).event_tracker_arn


def test_a_call_continues_the_trace_of_its_caller_and_its_steps_lie_in_it(tracer, received):
    with serving([SERVICE], observer=MeasuredCalls(NO_FIGURES, tracer)) as running:
        with bound(tracer.begin("request")):
            within = resolve(running, "abc")
        assert traceparent() == ""
    tracer.close()

    spans = by_name(received)
    request, call, step = (
        spans[name] for name in ("request", "tailorbird.internal.v1.TrackerService/ResolveEventTracker", "look up")
    )
    assert request.parent_id == b""
    assert (call.parent_id, step.parent_id) == (request.span_id, call.span_id)
    assert {one.trace_id for one in spans.values()} == {request.trace_id}
    assert call.attributes == {"rpc.system": "grpc", "rpc.status": "OK"}
    assert within.rsplit("-", 1)[0] == f"00-{step.trace_id.hex()}-{step.span_id.hex()}"
    assert {one.service for one in spans.values()} == {"trackers"}


def test_failures_of_the_service_are_marked_and_mistakes_of_callers_are_not(tracer, received):
    with serving([SERVICE], observer=MeasuredCalls(NO_FIGURES, tracer)) as running:
        for tracking_id in ("missing", "crash"):
            with pytest.raises(grpc.RpcError), bound(tracer.begin("request")):
                resolve(running, tracking_id)
    tracer.close()

    calls = {one.attributes["rpc.status"]: one.failed for one in received.spans if "rpc.status" in one.attributes}
    assert calls == {"NOT_FOUND": False, "INTERNAL": True}


def test_calls_between_processes_begin_no_trace(tracer, received):
    with serving([SERVICE], observer=MeasuredCalls(NO_FIGURES, tracer)) as running:
        assert resolve(running, "abc") == ""
    tracer.close()
    assert received.spans == []


def test_the_callers_decision_holds_and_malformed_ones_begin_a_trace(received):
    tracer = OtlpTracer(received.endpoint, service="trackers", instance="here", ratio=0.0)
    for parent in (PARENT, UNSAMPLED, "malformed"):
        current = tracer.begin("request", parent=parent)
        if parent == UNSAMPLED:
            assert current.traceparent.endswith("-00")
            assert current.child("step") is current
        current.end()
    tracer.close()

    assert [(one.trace_id.hex(), one.parent_id.hex()) for one in received.spans] == [
        ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    ]


def test_a_collector_that_is_away_keeps_no_process_from_ending():
    tracer = OtlpTracer("http://127.0.0.1:9", service="trackers", instance="here", ratio=1.0)
    tracer.begin("request").end()
    tracer.close()


def test_a_process_that_does_not_trace_does_not_load_opentelemetry_nor_the_server_of_figures():
    code = (
        "import sys, runtime_service.settings as s; s.RuntimeSettings().telemetry().tracer('worker-0');"
        "sys.exit(any(m.split('.')[0] in ('opentelemetry', 'prometheus_client') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, env={"PATH": "/bin"}).returncode == 0
