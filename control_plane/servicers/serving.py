"""ServingService: what runtimes call."""

from __future__ import annotations

from typing import Any, Final

import grpc
import grpc.aio

from common.errors import invalid
from control_plane.domain.fields import required
from control_plane.servicers.jobs import wait_seconds
from control_plane.serving.assignment_service import AssignmentService, ReportedState
from control_plane.serving.assignments import Assignment
from control_plane.serving.reconciler import Phase
from control_plane.serving.served_groups import ServedGroup
from protos.tailorbird.internal.v1 import serving_pb2, serving_pb2_grpc

__all__ = ["SERVING_SERVICE", "ServingServicer"]

SERVING_SERVICE = serving_pb2.DESCRIPTOR.services_by_name["ServingService"]
_MAX_RUNTIME_ID: Final = 256

_PHASES = {
    serving_pb2.SERVING_PHASE_LOADING: Phase.LOADING,
    serving_pb2.SERVING_PHASE_READY: Phase.READY,
    serving_pb2.SERVING_PHASE_FAILED: Phase.FAILED,
}


class ServingServicer(serving_pb2_grpc.ServingServiceServicer):
    """Turns calls of runtime workers into calls of the assignment service.

    Args:
        assignment_service: The assignments, and what workers report of them.
    """

    def __init__(self, assignment_service: AssignmentService) -> None:
        self._assignment_service = assignment_service

    async def WatchServingAssignments(
        self, request: serving_pb2.WatchServingAssignmentsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> serving_pb2.WatchServingAssignmentsResponse:
        """Return the set of assignments, as soon as it is not the known one or the wait is over."""
        assignment_set = await self._assignment_service.watch(
            _runtime_id(request.runtime_id),
            request.known_revision if request.HasField("known_revision") else None,
            wait_seconds=wait_seconds(request.wait_seconds),
        )
        return serving_pb2.WatchServingAssignmentsResponse(
            revision=assignment_set.revision,
            assignments=[_message(item) for item in assignment_set.assignments],
            dataset_groups=[_group_message(group) for group in assignment_set.groups],
        )

    def GetServingRevision(
        self, request: serving_pb2.GetServingRevisionRequest, context: grpc.ServicerContext
    ) -> serving_pb2.GetServingRevisionResponse:
        """Return the revision of the set of assignments."""
        return serving_pb2.GetServingRevisionResponse(revision=self._assignment_service.revision())

    def ReportServing(
        self, request: serving_pb2.ReportServingRequest, context: grpc.ServicerContext
    ) -> serving_pb2.ReportServingResponse:
        """Record how far a worker is with each deployment."""
        states = []
        for state in request.states:
            if state.phase not in _PHASES:
                raise invalid("phase", got=state.phase, want="LOADING, READY or FAILED")
            reason = state.failure_reason if state.HasField("failure_reason") else None
            states.append(ReportedState(required("deployment_id", state.deployment_id), _PHASES[state.phase], reason))
        self._assignment_service.report(_runtime_id(request.runtime_id), states)
        return serving_pb2.ReportServingResponse()


def _message(assignment: Assignment) -> serving_pb2.ServingAssignment:
    return serving_pb2.ServingAssignment(
        serving_arn=assignment.serving_arn,
        deployment_id=assignment.deployment_id,
        solution_version_arn=assignment.solution_version_arn,
        artifact_location=assignment.artifact_location,
        campaign_config=assignment.campaign_config,
        tracking_ids=assignment.tracking_ids,
        dataset_group_arn=assignment.dataset_group_arn,
        event_type=assignment.event_type,
        event_rules=[
            serving_pb2.EventRule(event_type=rule.event_type, least_value=rule.least_value)
            for rule in assignment.event_rules
        ],
        active=assignment.active,
    )


def _group_message(group: ServedGroup) -> serving_pb2.ServingDatasetGroup:
    return serving_pb2.ServingDatasetGroup(
        dataset_group_arn=group.dataset_group_arn,
        datasets=[
            serving_pb2.ServingDataset(
                dataset_type=dataset.dataset_type, schema=dataset.schema, features_location=dataset.features_location
            )
            for dataset in group.datasets
        ],
        filters=[
            serving_pb2.ServingFilter(filter_arn=row.filter_arn, filter_expression=row.filter_expression)
            for row in group.filters
        ],
    )


def _runtime_id(value: str) -> str:
    if len(required("runtime_id", value)) > _MAX_RUNTIME_ID:
        raise invalid("runtime_id", got=value, want=f"at most {_MAX_RUNTIME_ID} characters")
    return value
