"""ServingService: what runtimes call."""

# ruff: noqa: ARG002 - gRPC passes a context to every method

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import grpc
import grpc.aio

from common.errors import invalid
from control_plane.domain.fields import required
from control_plane.servicers.jobs import wait_seconds
from control_plane.serving.assignment_service import AssignmentService, ReportedState
from control_plane.serving.reconciler import Phase
from protos.tailorbird.internal.v1 import serving_pb2, serving_pb2_grpc

__all__ = ["ServingServicer"]

_PHASES = {
    serving_pb2.SERVING_PHASE_LOADING: Phase.LOADING,
    serving_pb2.SERVING_PHASE_READY: Phase.READY,
    serving_pb2.SERVING_PHASE_FAILED: Phase.FAILED,
}


class ServingServicer(serving_pb2_grpc.ServingServiceServicer):
    """Assignments and reports on the wire."""

    def __init__(self, board: AssignmentService) -> None:
        self._board = board

    async def WatchServingAssignments(
        self, request: serving_pb2.WatchServingAssignmentsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> serving_pb2.WatchServingAssignmentsResponse:
        """Return the set of assignments."""
        found = await self._board.watch(
            _runtime_id(request.runtime_id),
            request.known_revision if request.HasField("known_revision") else None,
            wait_seconds=wait_seconds(request.wait_seconds),
        )
        return serving_pb2.WatchServingAssignmentsResponse(
            revision=found.revision,
            assignments=[serving_pb2.ServingAssignment(**asdict(item)) for item in found.assignments],
        )

    def ReportServing(
        self, request: serving_pb2.ReportServingRequest, context: grpc.ServicerContext
    ) -> serving_pb2.ReportServingResponse:
        """Take what a worker serves."""
        states = []
        for state in request.states:
            if state.phase not in _PHASES:
                raise invalid("phase", got=state.phase, want="LOADING, READY or FAILED")
            reason = state.failure_reason if state.HasField("failure_reason") else None
            states.append(ReportedState(required("deployment_id", state.deployment_id), _PHASES[state.phase], reason))
        self._board.report(_runtime_id(request.runtime_id), states)
        return serving_pb2.ReportServingResponse()


def _runtime_id(value: str) -> str:
    if len(required("runtime_id", value)) > 256:
        raise invalid("runtime_id", got=value, want="at most 256 characters")
    return value
