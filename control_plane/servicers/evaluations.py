"""EvaluationService: Tailorbird's own operations on the evaluations of solution versions."""

from __future__ import annotations

import grpc

from control_plane.domain.fields import required
from control_plane.metadata_store import MetadataStore
from control_plane.resources.evaluations import EvaluatedVersion, Evaluations
from control_plane.servicers.control.methods import AccountMethods
from protos.tailorbird.control.v1 import evaluation_service_pb2, evaluation_service_pb2_grpc

__all__ = ["EVALUATION_SERVICE", "EvaluationServicer"]

EVALUATION_SERVICE = evaluation_service_pb2.DESCRIPTOR.services_by_name["EvaluationService"]


class EvaluationServicer(AccountMethods, evaluation_service_pb2_grpc.EvaluationServiceServicer):
    """Turns calls of clients into calls of the evaluations.

    Args:
        metadata_store: The database of the versions.
        evaluations: Reads and compares evaluations.
    """

    def __init__(self, metadata_store: MetadataStore, evaluations: Evaluations) -> None:
        super().__init__(metadata_store)
        self._evaluations = evaluations

    def GetSolutionVersionEvaluation(
        self, request: evaluation_service_pb2.GetSolutionVersionEvaluationRequest, context: grpc.ServicerContext
    ) -> evaluation_service_pb2.GetSolutionVersionEvaluationResponse:
        """Return the evaluation of one version."""
        arn = required("solutionVersionArn", request.solution_version_arn)
        evaluated = self._view(request, lambda unit: self._evaluations.get(unit, arn))
        return evaluation_service_pb2.GetSolutionVersionEvaluationResponse(
            solution_version_evaluation=_message(evaluated)
        )

    def CompareSolutionVersions(
        self, request: evaluation_service_pb2.CompareSolutionVersionsRequest, context: grpc.ServicerContext
    ) -> evaluation_service_pb2.CompareSolutionVersionsResponse:
        """Return the evaluations of several versions of a solution or a recommender."""
        arn = required("solutionArn", request.solution_arn)
        versions = self._view(request, lambda unit: self._evaluations.compare(unit, arn, request.solution_version_arns))
        return evaluation_service_pb2.CompareSolutionVersionsResponse(
            solution_version_evaluations=[_message(evaluated) for evaluated in versions]
        )


def _message(evaluated: EvaluatedVersion) -> evaluation_service_pb2.SolutionVersionEvaluation:
    version = evaluated.version
    message = evaluation_service_pb2.SolutionVersionEvaluation(
        solution_version_arn=version.arn,
        name=version.name,
        recipe_arn=version.recipe_arn,
        training_hours=version.training_hours,
        metrics=version.metrics or {},
    )
    message.creation_date_time.FromDatetime(version.creation_date_time)
    if version.evaluation is not None:
        message.evaluation.CopyFrom(version.evaluation)
    for deployment in evaluated.rejections:
        rejection = message.refusals.add(reason=deployment.failure_reason)
        if version.of_recommender:
            rejection.recommender_arn = deployment.target_arn
        else:
            rejection.campaign_arn = deployment.target_arn
        rejection.creation_date_time.FromDatetime(deployment.creation_date_time)
    return message
