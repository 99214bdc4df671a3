"""Operations on solutions and solution versions."""

from __future__ import annotations

from control_plane.domain.fields import required
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Solution, SolutionVersion
from control_plane.servicers.control.messages import enum_text, enum_value, status, timestamp
from control_plane.servicers.control.methods import Context, Methods, optional, page_request, tags_of
from protos.tailorbird.control.v1 import common_pb2, solution_config_pb2, solution_pb2, solution_version_pb2
from protos.tailorbird.control.v1.training_progress_pb2 import TrainingProgress

__all__ = ["SolutionMethods", "SolutionVersionMethods"]

_TRAINING_MODE = common_pb2.TrainingMode.DESCRIPTOR
_TRAINING_TYPE = common_pb2.TrainingType.DESCRIPTOR


class SolutionMethods(Methods):
    """Solutions."""

    def CreateSolution(
        self, request: solution_pb2.CreateSolutionRequest, context: Context
    ) -> solution_pb2.CreateSolutionResponse:
        """Create a solution."""
        solution = self._transact(
            request, lambda unit: self._resources.solutions.create(unit, request, tags=tags_of(request))
        )
        return solution_pb2.CreateSolutionResponse(solution_arn=solution.arn)

    def DescribeSolution(
        self, request: solution_pb2.DescribeSolutionRequest, context: Context
    ) -> solution_pb2.DescribeSolutionResponse:
        """Describe a solution with its newest version."""
        arn = required("solutionArn", request.solution_arn)
        solution, newest = self._view(request, lambda unit: self._resources.solutions.describe(unit, arn))
        return solution_pb2.DescribeSolutionResponse(
            solution=solution_pb2.Solution(
                name=solution.name,
                solution_arn=solution.arn,
                perform_hpo=solution.perform_hpo,
                perform_auto_ml=solution.perform_auto_ml,
                perform_auto_training=solution.perform_auto_training,
                perform_incremental_update=solution.perform_incremental_update,
                recipe_arn=solution.recipe_arn,
                dataset_group_arn=solution.dataset_group_arn,
                event_type=solution.event_type,
                solution_config=solution.solution_config,
                status=status(solution.status),
                creation_date_time=timestamp(solution.creation_date_time),
                last_updated_date_time=timestamp(solution.last_updated_date_time),
                auto_ml_result=_auto_ml_result(solution),
                latest_solution_version=None if newest is None else _version_summary(newest),
                latest_solution_update=solution.latest_update,
            )
        )

    def ListSolutions(
        self, request: solution_pb2.ListSolutionsRequest, context: Context
    ) -> solution_pb2.ListSolutionsResponse:
        """List solutions."""
        group = optional(request, "dataset_group_arn")
        page = self._view(
            request, lambda unit: self._resources.solutions.list(unit, page_request(request), dataset_group_arn=group)
        )
        return solution_pb2.ListSolutionsResponse(
            solutions=[_solution_summary(solution) for solution in page.items], next_token=page.next_token
        )

    def UpdateSolution(
        self, request: solution_pb2.UpdateSolutionRequest, context: Context
    ) -> solution_pb2.UpdateSolutionResponse:
        """Change the automatic training, the incremental updates and the events of a solution."""
        solution = self._transact(request, lambda unit: self._resources.solutions.update(unit, request))
        return solution_pb2.UpdateSolutionResponse(solution_arn=solution.arn)

    def DeleteSolution(
        self, request: solution_pb2.DeleteSolutionRequest, context: Context
    ) -> solution_pb2.DeleteSolutionResponse:
        """Delete a solution with all of its versions."""
        arn = required("solutionArn", request.solution_arn)
        self._transact(request, lambda unit: self._resources.solutions.delete(unit, arn))
        return solution_pb2.DeleteSolutionResponse()


class SolutionVersionMethods(Methods):
    """Solution versions."""

    def CreateSolutionVersion(
        self, request: solution_version_pb2.CreateSolutionVersionRequest, context: Context
    ) -> solution_version_pb2.CreateSolutionVersionResponse:
        """Ask for a training."""
        version = self._transact(
            request,
            lambda unit: self._resources.versions.create(
                unit,
                required("solutionArn", request.solution_arn),
                name=optional(request, "name"),
                training_mode=enum_text(_TRAINING_MODE, request.training_mode),
                tags=tags_of(request),
            ),
        )
        return solution_version_pb2.CreateSolutionVersionResponse(solution_version_arn=version.arn)

    def DescribeSolutionVersion(
        self, request: solution_version_pb2.DescribeSolutionVersionRequest, context: Context
    ) -> solution_version_pb2.DescribeSolutionVersionResponse:
        """Describe a solution version."""
        arn = required("solutionVersionArn", request.solution_version_arn)

        def read(unit: Unit) -> tuple[SolutionVersion, TrainingProgress | None]:
            version = self._resources.versions.describe(unit, arn)
            return version, self._resources.versions.progress(unit, version)

        version, progress = self._view(request, read)
        return solution_version_pb2.DescribeSolutionVersionResponse(
            solution_version=solution_version_pb2.SolutionVersion(
                name=version.name,
                solution_version_arn=version.arn,
                solution_arn=version.solution_arn,
                perform_hpo=version.perform_hpo,
                perform_auto_ml=version.perform_auto_ml,
                perform_incremental_update=version.perform_incremental_update,
                recipe_arn=version.recipe_arn,
                event_type=version.event_type,
                dataset_group_arn=version.dataset_group_arn,
                solution_config=version.solution_config,
                training_hours=version.training_hours,
                training_mode=enum_value(_TRAINING_MODE, version.training_mode),
                tuned_hpo_params=_tuned(version),
                status=status(version.status),
                failure_reason=version.failure_reason,
                creation_date_time=timestamp(version.creation_date_time),
                last_updated_date_time=timestamp(version.last_updated_date_time),
                training_type=enum_value(_TRAINING_TYPE, version.training_type),
                training_progress=progress,
            )
        )

    def ListSolutionVersions(
        self, request: solution_version_pb2.ListSolutionVersionsRequest, context: Context
    ) -> solution_version_pb2.ListSolutionVersionsResponse:
        """List solution versions."""
        solution = optional(request, "solution_arn")
        page = self._view(
            request, lambda unit: self._resources.versions.list(unit, page_request(request), solution_arn=solution)
        )
        return solution_version_pb2.ListSolutionVersionsResponse(
            solution_versions=[_version_summary(version) for version in page.items], next_token=page.next_token
        )

    def StopSolutionVersionCreation(
        self, request: solution_version_pb2.StopSolutionVersionCreationRequest, context: Context
    ) -> solution_version_pb2.StopSolutionVersionCreationResponse:
        """Stop a training."""
        arn = required("solutionVersionArn", request.solution_version_arn)
        self._transact(request, lambda unit: self._resources.versions.stop(unit, arn))
        return solution_version_pb2.StopSolutionVersionCreationResponse()

    def GetSolutionMetrics(
        self, request: solution_version_pb2.GetSolutionMetricsRequest, context: Context
    ) -> solution_version_pb2.GetSolutionMetricsResponse:
        """Return what was measured of a version."""
        arn = required("solutionVersionArn", request.solution_version_arn)
        metrics = self._view(request, lambda unit: self._resources.versions.metrics(unit, arn))
        return solution_version_pb2.GetSolutionMetricsResponse(solution_version_arn=arn, metrics=metrics)


def _solution_summary(solution: Solution) -> solution_pb2.SolutionSummary:
    return solution_pb2.SolutionSummary(
        name=solution.name,
        solution_arn=solution.arn,
        status=status(solution.status),
        creation_date_time=timestamp(solution.creation_date_time),
        last_updated_date_time=timestamp(solution.last_updated_date_time),
        recipe_arn=solution.recipe_arn,
    )


def _version_summary(version: SolutionVersion) -> solution_version_pb2.SolutionVersionSummary:
    return solution_version_pb2.SolutionVersionSummary(
        solution_version_arn=version.arn,
        status=status(version.status),
        training_mode=enum_value(_TRAINING_MODE, version.training_mode),
        training_type=enum_value(_TRAINING_TYPE, version.training_type),
        creation_date_time=timestamp(version.creation_date_time),
        last_updated_date_time=timestamp(version.last_updated_date_time),
        failure_reason=version.failure_reason,
    )


def _auto_ml_result(solution: Solution) -> solution_config_pb2.AutoMLResult | None:
    best = solution.best_recipe_arn
    return None if best is None else solution_config_pb2.AutoMLResult(best_recipe_arn=best)


def _tuned(version: SolutionVersion) -> solution_version_pb2.TunedHPOParams | None:
    chosen = version.tuned_hyper_parameters
    return solution_version_pb2.TunedHPOParams(algorithm_hyper_parameters=chosen) if chosen else None
