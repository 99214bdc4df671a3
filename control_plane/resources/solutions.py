"""Operations on solutions."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import ResourceInUse, invalid
from control_plane.domain.events import check_event_type
from control_plane.domain.fields import check_name, check_tags, not_built, required
from control_plane.domain.recipes import recipe_arn, trainable_recipe
from control_plane.domain.solutions import check_columns_exist, check_solution
from control_plane.domain.states import BLOCKING, Status
from control_plane.jobs.payloads import StorageRemoval
from control_plane.jobs.submit import enqueue
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Campaign, DatasetGroup, Solution, SolutionVersion
from control_plane.resources.base import (
    Page,
    PageRequest,
    ResourceOperations,
    fetch,
    insert,
    list_page,
    remove,
    require_active,
)
from control_plane.resources.datasets import dataset_schemas
from protos.tailorbird.control.v1.solution_pb2 import CreateSolutionRequest

__all__ = ["Solutions"]


class Solutions(ResourceOperations):
    """Operations on solutions."""

    def create(self, unit: Unit, request: CreateSolutionRequest, *, tags: Sequence[tuple[str, str]] = ()) -> Solution:
        """Create a solution.

        A solution is trained by CreateSolutionVersion only: automatic training, Personalize's default, is not built
        yet. A request without `performAutoTraining` therefore means false here, and true is an error.

        Raises:
            InvalidInput: Something in the request is wrong, or not built yet.
            ResourceNotFound: Group or recipe do not exist.
            ResourceAlreadyExists: The name is taken.
            ResourceInUse: The group is not ACTIVE.
            LimitExceeded: The group has as many solutions as it may.
        """
        name = check_name("name", required("name", request.name))
        group_arn = required("datasetGroupArn", request.dataset_group_arn)
        if request.perform_auto_training:
            raise not_built("performAutoTraining", got=True, want="false, and CreateSolutionVersion for each training")
        config = request.solution_config
        if request.perform_auto_ml:
            raise not_built("performAutoML", got=True, want="false, and a recipeArn")
        if not request.recipe_arn:
            raise invalid("recipeArn", got=None, want="the ARN of a recipe")
        recipe = trainable_recipe(request.recipe_arn)
        if request.perform_incremental_update and "performIncrementalUpdate" in recipe.solution_options:
            raise not_built("performIncrementalUpdate", got=True, want="false, and a new version for new items")
        if request.perform_incremental_update:
            raise invalid("performIncrementalUpdate", got=True, want=f"false: {recipe.name} has no incremental updates")
        event_type = check_event_type(request.event_type if request.HasField("event_type") else None)
        check_solution(recipe, config, perform_hpo=request.perform_hpo, event_type=event_type)
        checked_tags = check_tags(tags)
        now = self._now()
        solution = Solution(
            arn=self._arn(unit, "solution", name),
            name=name,
            dataset_group_arn=group_arn,
            recipe_arn=recipe_arn(recipe),
            event_type=event_type,
            solution_config=config,
            perform_hpo=request.perform_hpo,
            creation_date_time=now,
            last_updated_date_time=now,
        )
        group = fetch(unit, DatasetGroup, group_arn, field="datasetGroupArn", kind="dataset-group")
        require_active(group.status, group.arn, field="datasetGroupArn")
        check_columns_exist(config.training_data_config, dataset_schemas(unit, group.arn))
        insert(unit, solution, tags=checked_tags)
        used = unit.count(Solution, dataset_group_arn=group.arn) - 1
        self._app_context.quotas.check("solutions_per_group", used=used)
        return solution

    def describe(self, unit: Unit, arn: str) -> tuple[Solution, SolutionVersion | None]:
        """Return a solution and its newest version; errors as of `fetch`."""
        solution = fetch(unit, Solution, arn, field="solutionArn", kind="solution")
        newest = unit.first(SolutionVersion, solution_arn=arn, order=["-creation_date_time", "-arn"])
        return solution, newest

    def list(self, unit: Unit, request: PageRequest, *, dataset_group_arn: str | None) -> Page[Solution]:
        """Return a page of the solutions of a group, or of all."""
        return list_page(unit, Solution, request, filters={"dataset_group_arn": dataset_group_arn})

    def delete(self, unit: Unit, arn: str) -> None:
        """Begin to delete a solution and its versions; the rows are removed when a trainer has removed the artifacts.

        Raises:
            ResourceInUse: A campaign is based on it, a version is being made, or it is being deleted already.
        """
        solution = fetch(unit, Solution, arn, field="solutionArn", kind="solution")
        require_active(solution.status, arn, field="solutionArn")
        if (campaign := unit.first(Campaign, solution_arn=arn)) is not None:
            raise ResourceInUse(
                f"`solutionArn`: got {arn}, on which {campaign.arn} is based ({campaign.status}); delete that first"
            )
        if (version := unit.first(SolutionVersion, solution_arn=arn, status=BLOCKING)) is not None:
            raise ResourceInUse(
                f"`solutionArn`: got {arn}, whose version {version.arn} is {version.status}; stop or await it"
            )
        versions = unit.find(SolutionVersion, solution_arn=arn)
        if not versions:
            remove(unit, solution)
            return
        solution.status = Status.DELETE_PENDING
        solution.last_updated_date_time = self._now()
        folders = tuple(version.artifact_location for version in versions)
        enqueue(unit, self._app_context, StorageRemoval(folders), subject=arn, group_arn=solution.dataset_group_arn)
