"""Calling the control plane over the wire, as each role does."""

from __future__ import annotations

from types import SimpleNamespace

from common.testing import make_keys
from protos.tailorbird.control.v1.control_plane_service_pb2_grpc import ControlPlaneServiceStub
from protos.tailorbird.control.v1.evaluation_service_pb2_grpc import EvaluationServiceStub
from protos.tailorbird.internal.v1.jobs_pb2_grpc import JobServiceStub
from protos.tailorbird.internal.v1.serving_pb2_grpc import ServingServiceStub
from protos.tailorbird.internal.v1.trackers_pb2_grpc import TrackerServiceStub

KEYS = make_keys()


class As:
    """A stub whose calls carry a token of one role, and a deadline."""

    def __init__(self, stub, role: str | None) -> None:
        self._stub = stub
        self._metadata = [("authorization", f"Bearer {KEYS.token(role)}")] if role else []

    def __getattr__(self, method):
        call = getattr(self._stub, method)
        return lambda request: call(request, metadata=self._metadata, timeout=20)


def stubs(channel):
    """Return each service's stub in the hands of a role that may call it; `with_role` gives others."""
    return SimpleNamespace(
        control=As(ControlPlaneServiceStub(channel), "client"),
        evaluations=As(EvaluationServiceStub(channel), "client"),
        jobs=As(JobServiceStub(channel), "trainer"),
        serving=As(ServingServiceStub(channel), "runtime"),
        trackers=As(TrackerServiceStub(channel), "events"),
        with_role=lambda stub, role: As(stub(channel), role),
    )
