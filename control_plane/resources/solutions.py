"""Operations on solutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from common.errors import ResourceInUse, invalid
from control_plane.app_context import AppContext
from control_plane.domain.events import check_event_type
from control_plane.domain.fields import check_name, check_tags, required
from control_plane.domain.recipes import recipe_arn, recipe_of, trainable_recipe
from control_plane.domain.schedules import AutomaticTraining, Task, training_interval
from control_plane.domain.solutions import check_columns_exist, check_solution
from control_plane.domain.states import BLOCKING, CREATING, Status
from control_plane.jobs.submit import StopResult, enqueue, request_stop
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import (
    BatchInferenceJob,
    BatchSegmentJob,
    Campaign,
    DatasetGroup,
    Solution,
    SolutionVersion,
)
from control_plane.resources.artifacts import stored_folders
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
from control_plane.resources.schedules import start_schedule, stop_schedule
from protos.tailorbird.control.v1.common_pb2 import ResourceStatus
from protos.tailorbird.control.v1.solution_config_pb2 import SolutionConfig
from protos.tailorbird.control.v1.solution_pb2 import (
    CreateSolutionRequest,
    SolutionUpdateConfig,
    SolutionUpdateSummary,
    UpdateSolutionRequest,
)
from protos.tailorbird.internal.v1.jobs_pb2 import StorageRemovalPayload
from recipes.spec import RecipeSpec

__all__ = ["Solutions"]

_UPDATED_RATE: Final = "solutionUpdateConfig.autoTrainingConfig.schedulingExpression"


class Solutions(ResourceOperations):
    """Operations on solutions.

    Args:
        app_context: Clock, ids, ARNs and quotas.
        automatic_training: How solutions are trained that do not say.
    """

    def __init__(self, app_context: AppContext, *, automatic_training: AutomaticTraining) -> None:
        super().__init__(app_context)
        self._automatic_training = automatic_training

    def create(self, unit: Unit, request: CreateSolutionRequest, *, tags: Sequence[tuple[str, str]] = ()) -> Solution:
        """Create a solution, and begin its schedules if it is trained automatically or updated.

        Raises:
            InvalidInput: Something in the request is wrong.
            ResourceNotFound: Group or recipe do not exist.
            ResourceAlreadyExists: The name is taken.
            ResourceInUse: The group is not ACTIVE.
            LimitExceeded: The group has as many solutions as it may.
        """
        name = check_name("name", required("name", request.name))
        group_arn = required("datasetGroupArn", request.dataset_group_arn)
        recipe = _requested_recipe(request)
        updates = _incremental_update(recipe, request, default=_has_updates(recipe))
        config = request.solution_config
        event_type = check_event_type(request.event_type if request.HasField("event_type") else None)
        check_solution(recipe, config, perform_hpo=request.perform_hpo, event_type=event_type)
        checked_tags = check_tags(tags)
        now = self._now()
        says = request.HasField("perform_auto_training")
        solution = Solution(
            arn=self._arn(unit, "solution", name),
            name=name,
            dataset_group_arn=group_arn,
            recipe_arn=None if recipe is None else recipe_arn(recipe),
            event_type=event_type,
            solution_config=config,
            perform_hpo=request.perform_hpo,
            perform_auto_ml=recipe is None,
            perform_auto_training=request.perform_auto_training if says else self._automatic_training.by_default,
            perform_incremental_update=updates,
            creation_date_time=now,
            last_updated_date_time=now,
        )
        group = fetch(unit, DatasetGroup, group_arn, field="datasetGroupArn", kind="dataset-group")
        require_active(group.status, group.arn, field="datasetGroupArn")
        check_columns_exist(config.training_data_config, dataset_schemas(unit, group.arn))
        insert(unit, solution, tags=checked_tags)
        self._check_quota(unit, "solutions_per_group", Solution, dataset_group_arn=group.arn, of_recommender=False)
        if solution.perform_auto_training:
            self._start_schedule(unit, solution, config)
        if updates:
            self._start_updates(unit, solution)
        return solution

    def update(self, unit: Unit, request: UpdateSolutionRequest) -> Solution:
        """Change when a solution is trained automatically, which events it is trained on, and whether it is updated.

        It holds at once; versions that are being made keep the configuration that they began with. Another interval
        begins the schedule anew.

        Raises:
            InvalidInput: Something in the request is wrong, or does not fit the recipe.
            ResourceNotFound: The solution does not exist.
            ResourceInUse: It is not ACTIVE.
        """
        arn = required("solutionArn", request.solution_arn)
        solution = fetch(unit, Solution, arn, field="solutionArn", kind="solution")
        require_active(solution.status, arn, field="solutionArn")
        recipe = recipe_of(solution.recipe_arn)
        updates = _incremental_update(recipe, request, default=solution.perform_incremental_update)
        training_interval(request.solution_update_config.auto_training_config, field=_UPDATED_RATE)
        before = solution.solution_config or SolutionConfig()
        config = _changed(before, request.solution_update_config)
        check_solution(recipe, config, perform_hpo=solution.perform_hpo, event_type=solution.event_type)
        was_scheduled = solution.perform_auto_training
        if request.HasField("perform_auto_training"):
            solution.perform_auto_training = request.perform_auto_training
        interval, interval_before = (training_interval(item.auto_training_config) for item in (config, before))
        if not solution.perform_auto_training:
            stop_schedule(unit, arn)
        elif not was_scheduled or interval != interval_before:
            self._start_schedule(unit, solution, config)
        if not updates:
            stop_schedule(unit, arn, task=Task.UPDATE)
        elif not solution.perform_incremental_update:
            self._start_updates(unit, solution)
        solution.perform_incremental_update = updates
        now = self._now()
        solution.solution_config = config
        solution.latest_update = SolutionUpdateSummary(
            solution_update_config=request.solution_update_config
            if request.HasField("solution_update_config")
            else None,
            status=ResourceStatus.RESOURCE_STATUS_ACTIVE,
            perform_auto_training=solution.perform_auto_training,
            perform_incremental_update=updates,
        )
        solution.latest_update.creation_date_time.FromDatetime(now)
        solution.latest_update.last_updated_date_time.FromDatetime(now)
        solution.last_updated_date_time = now
        return solution

    def describe(self, unit: Unit, arn: str) -> tuple[Solution, SolutionVersion | None]:
        """Return a solution and its newest version; errors as of `fetch`."""
        solution = fetch(unit, Solution, arn, field="solutionArn", kind="solution")
        newest = unit.first(SolutionVersion, solution_arn=arn, order=["-creation_date_time", "-arn"])
        return solution, newest

    def list(self, unit: Unit, request: PageRequest, *, dataset_group_arn: str | None) -> Page[Solution]:
        """Return a page of the solutions of a group, or of all."""
        return list_page(
            unit, Solution, request, filters={"dataset_group_arn": dataset_group_arn, "of_recommender": False}
        )

    def delete(self, unit: Unit, arn: str) -> None:
        """Begin to delete a solution and its versions; the rows are removed when a trainer has removed the artifacts.

        Its schedules end at once.

        Raises:
            ResourceInUse: A campaign is based on it, a version is being made or updated, or it is being deleted.
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
        for task in Task:
            stop_schedule(unit, arn, task=task)
        versions = unit.find(SolutionVersion, solution_arn=arn)
        _require_no_batch_jobs(unit, versions)
        self._end_updates(unit, versions)
        if not versions:
            remove(unit, solution)
            return
        solution.status = Status.DELETE_PENDING
        solution.last_updated_date_time = self._now()
        removal = StorageRemovalPayload(locations=stored_folders(versions))
        enqueue(unit, self._app_context, removal, subject=arn, group_arn=solution.dataset_group_arn)

    def _start_schedule(self, unit: Unit, solution: Solution, config: SolutionConfig) -> None:
        now = self._now()
        start_schedule(
            unit,
            solution.arn,
            interval=training_interval(config.auto_training_config),
            first_at=now + self._automatic_training.first_after,
            now=now,
        )

    def _start_updates(self, unit: Unit, solution: Solution) -> None:
        now, interval = self._now(), self._automatic_training.update_every
        start_schedule(unit, solution.arn, interval=interval, first_at=now + interval, now=now, task=Task.UPDATE)

    def _end_updates(self, unit: Unit, versions: Sequence[SolutionVersion]) -> None:
        """Stop the updates that wait; one that runs would publish into the folder that is to be removed."""
        now = self._now()
        for version in versions:
            if request_stop(unit, version.arn, now=now) is StopResult.REQUESTED:
                raise ResourceInUse(
                    f"`solutionArn`: got a solution whose version {version.arn} is being updated; wait for its end"
                )


def _requested_recipe(request: CreateSolutionRequest) -> RecipeSpec | None:
    """Return the recipe that a request names; None where AutoML chooses it.

    Raises:
        InvalidInput: It names none, or one for AutoML, or not the ARN of a recipe of solutions.
        ResourceNotFound: There is no such recipe.
    """
    if request.perform_auto_ml and request.HasField("recipe_arn"):
        raise invalid("recipeArn", got=request.recipe_arn, want="none beside performAutoML true, which chooses it")
    if request.perform_auto_ml:
        return None
    if not request.recipe_arn:
        raise invalid("recipeArn", got=None, want="the ARN of a recipe, or performAutoML true")
    return trainable_recipe(request.recipe_arn)


def _has_updates(recipe: RecipeSpec | None) -> bool:
    """Return whether versions of a recipe can be updated with new items."""
    return recipe is not None and "performIncrementalUpdate" in recipe.solution_options


def _incremental_update(
    recipe: RecipeSpec | None, request: CreateSolutionRequest | UpdateSolutionRequest, *, default: bool
) -> bool:
    """Return whether a solution is updated with new items: as requested, by default where the request does not say.

    Raises:
        InvalidInput: It is requested of a recipe that has no incremental updates.
    """
    if not request.HasField("perform_incremental_update"):
        return default
    if request.perform_incremental_update and not _has_updates(recipe):
        name = "a recipe that AutoML chooses" if recipe is None else recipe.name
        raise invalid("performIncrementalUpdate", got=True, want=f"false: {name} has no incremental updates")
    return request.perform_incremental_update


def _changed(config: SolutionConfig, changes: SolutionUpdateConfig) -> SolutionConfig:
    """Return a configuration with the parts of an update in the place of its own."""
    changed = SolutionConfig()
    changed.CopyFrom(config)
    if changes.HasField("auto_training_config"):
        changed.auto_training_config.CopyFrom(changes.auto_training_config)
    if changes.HasField("events_config"):
        changed.events_config.CopyFrom(changes.events_config)
    return changed


def _require_no_batch_jobs(unit: Unit, versions: Sequence[SolutionVersion]) -> None:
    """Make sure that no batch job reads one of the versions of a solution that is to be deleted."""
    arns = frozenset(version.arn for version in versions)
    job = unit.first(BatchInferenceJob, solution_version_arn=arns, status=CREATING) or unit.first(
        BatchSegmentJob, solution_version_arn=arns, status=CREATING
    )
    if job is not None:
        raise ResourceInUse(
            f"`solutionArn`: got a solution of which {job.arn} uses a version ({job.status}); wait for its end"
        )
