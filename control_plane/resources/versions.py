"""Operations on solution versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

from common.errors import InvalidInput, ResourceInUse, invalid
from control_plane.domain.auto_ml import recipe_search
from control_plane.domain.events import check_event_columns
from control_plane.domain.fields import already_exists, check_name, check_tags
from control_plane.domain.jobs import UNFINISHED
from control_plane.domain.recipes import recipe_of
from control_plane.domain.schemas import DatasetType, check_describes_items
from control_plane.domain.solutions import (
    check_columns_exist,
    check_objective_column,
    check_training_mode,
    without_columns,
)
from control_plane.domain.states import BLOCKING, STOPPABLE, Status
from control_plane.domain.tuning import check_tuning
from control_plane.jobs.progress import job_progress
from control_plane.jobs.submit import StopResult, enqueue, request_stop
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Dataset, DatasetImportJob, EventTracker, Job, Solution, SolutionVersion
from control_plane.resources.artifacts import served_artifact, update_location
from control_plane.resources.base import (
    Page,
    PageRequest,
    ResourceOperations,
    fetch,
    insert,
    list_page,
    require_active,
)
from control_plane.resources.datasets import columns_added_since, dataset_schemas, dataset_table
from protos.tailorbird.control.v1.solution_config_pb2 import SolutionConfig
from protos.tailorbird.control.v1.training_progress_pb2 import TrainingProgress
from protos.tailorbird.internal.v1.jobs_pb2 import (
    DatasetTable,
    SolutionVersionTrainingPayload,
    SolutionVersionUpdatePayload,
)
from recipes.spec import RecipeSpec

__all__ = ["SolutionVersions", "TrainingType"]

#: Who asked for a version: a caller, or its solution's schedule.
TrainingType = Literal["MANUAL", "AUTOMATIC"]


class SolutionVersions(ResourceOperations):
    """Operations on solution versions."""

    def create(
        self,
        unit: Unit,
        solution_arn: str,
        *,
        name: str | None = None,
        training_mode: str | None = None,
        tags: Sequence[tuple[str, str]] = (),
    ) -> SolutionVersion:
        """Submit a training of a solution on the current data of its dataset group.

        Mode UPDATE brings the newest ACTIVE version of mode FULL up to date without training it again.

        Raises:
            InvalidInput: A field is malformed, the group has no data of the type that the recipe learns from, or
                there is no version that an update could begin from.
            ResourceNotFound: The solution does not exist.
            ResourceAlreadyExists: The solution has a version of this name.
            ResourceInUse: The solution is not ACTIVE.
            LimitExceeded: As many trainings wait or run as the quota allows.
        """
        if name is not None:
            check_name("name", name)
        checked_tags = check_tags(tags)
        solution = fetch(unit, Solution, solution_arn, field="solutionArn", kind="solution")
        require_active(solution.status, solution_arn, field="solutionArn")
        mode = check_training_mode(training_mode, recipe_of(solution.recipe_arn))
        base = self._base_version(unit, solution) if mode == "UPDATE" else None
        existing = unit.first(SolutionVersion, solution_arn=solution_arn, name=name) if name else None
        if existing is not None:
            raise already_exists(existing.arn)
        return self.train(unit, solution, name=name, mode=mode, base=base, tags=checked_tags)

    def train(
        self,
        unit: Unit,
        solution: Solution,
        *,
        name: str | None = None,
        mode: str = "FULL",
        training_type: TrainingType = "MANUAL",
        base: SolutionVersion | None = None,
        config: SolutionConfig | None = None,
        columns_chosen_at: datetime | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> SolutionVersion:
        """Submit a training of a solution, or of a recommender's hidden one, on the current data of its dataset group.

        Args:
            unit: A writing unit of work.
            solution: The solution.
            name: Name of the version; None for one of its id.
            mode: The training mode, which the recipe has.
            training_type: Whether a caller or the solution's schedule asks.
            base: The version that an update begins from; None in mode FULL.
            config: What to train by; None for the solution's own configuration.
            columns_chosen_at: Columns that datasets got later are not learnt from; None for the solution's own moment.
            tags: Tags of the version, already checked.

        Raises:
            InvalidInput: The group has no data of the type that the recipe learns from, or they lack columns.
            ResourceInUse: The solution is not ACTIVE.
            LimitExceeded: As many trainings wait or run as the quota allows; those of recommenders do not count.
        """
        require_active(solution.status, solution.arn, field="solutionArn")
        recipe = recipe_of(solution.recipe_arn)
        version = self._new_version(unit, solution, name=name, mode=mode)
        version.training_type = training_type
        if config is not None:
            version.solution_config = config
        version.columns_chosen_at = columns_chosen_at or solution.columns_chosen_at
        datasets = self._training_datasets(unit, solution, recipe, version.solution_config or SolutionConfig())
        insert(unit, version, tags=tags)
        if not solution.of_recommender:
            self._check_quota(unit, "pending_solution_versions", SolutionVersion, of_recommender=False, status=BLOCKING)
        tables = [dataset_table(unit, dataset) for dataset in datasets]
        chosen_at = version.columns_chosen_at or solution.creation_date_time
        added = columns_added_since(unit, solution.dataset_group_arn, chosen_at)
        payload = _training_payload(version, recipe, tables=tables, base=base, left_out=added)
        enqueue(unit, self._app_context, payload, subject=version.arn, group_arn=version.dataset_group_arn)
        return version

    def update_items(self, unit: Unit, solution: Solution, version: SolutionVersion) -> None:
        """Submit an update of an ACTIVE version, which stays what it is: new items are added to what is served of it.

        Raises:
            InvalidInput: The group has no data any more, or they lack columns.
        """
        config = version.solution_config or SolutionConfig()
        datasets = self._training_datasets(unit, solution, recipe_of(version.recipe_arn), config)
        training = _training_payload(
            version,
            recipe_of(version.recipe_arn),
            tables=[dataset_table(unit, dataset) for dataset in datasets],
            base=version,
            left_out=columns_added_since(unit, solution.dataset_group_arn, solution.creation_date_time),
        )
        training.training_mode = "UPDATE"
        training.base_artifact_location = served_artifact(version)
        training.artifact_location = update_location(version, self._short_id())
        payload = SolutionVersionUpdatePayload(training=training)
        version.perform_incremental_update = True
        enqueue(unit, self._app_context, payload, subject=version.arn, group_arn=version.dataset_group_arn)

    def _new_version(self, unit: Unit, solution: Solution, *, name: str | None, mode: str) -> SolutionVersion:
        version_id = self._short_id()
        now = self._now()
        return SolutionVersion(
            arn=f"{solution.arn}/{version_id}",
            name=name or f"{solution.name}/{version_id}",
            solution_arn=solution.arn,
            dataset_group_arn=solution.dataset_group_arn,
            of_recommender=solution.of_recommender,
            recipe_arn=solution.recipe_arn,
            event_type=solution.event_type,
            solution_config=solution.solution_config,
            perform_hpo=solution.perform_hpo,
            perform_auto_ml=solution.perform_auto_ml,
            perform_incremental_update=solution.perform_incremental_update,
            training_mode=mode,
            artifact_location=f"artifacts/{unit.account}/{solution.name}-{version_id}",
            creation_date_time=now,
            last_updated_date_time=now,
        )

    @staticmethod
    def _base_version(unit: Unit, solution: Solution) -> SolutionVersion:
        """Return the version that an update begins from."""
        base = unit.first(
            SolutionVersion, solution_arn=solution.arn, status=Status.ACTIVE, training_mode="FULL",
            order=["-creation_date_time", "-arn"],
        )  # fmt: skip
        if base is None:
            raise invalid("trainingMode", got="UPDATE", want=f"FULL: {solution.arn} has no ACTIVE version of that mode")
        return base

    @classmethod
    def _training_datasets(
        cls, unit: Unit, solution: Solution, recipe: RecipeSpec | None, config: SolutionConfig
    ) -> list[Dataset]:
        """Return the ACTIVE datasets of a solution's group, after checking that the solution can be trained on them."""
        group = solution.dataset_group_arn
        datasets = unit.find(Dataset, dataset_group_arn=group, status=Status.ACTIVE, order=["dataset_type"])
        by_type = {dataset.dataset_type: dataset for dataset in datasets}
        interactions = by_type.get(DatasetType.INTERACTIONS)
        if recipe is None or DatasetType.INTERACTIONS in recipe.required_datasets:
            cls._require_interactions(unit, solution, interactions)
        if recipe is not None and DatasetType.ITEMS in recipe.required_datasets:
            described = DatasetType.INTERACTIONS not in recipe.required_datasets
            cls._require_items(unit, solution, by_type.get(DatasetType.ITEMS), described=described)
        schemas = dataset_schemas(unit, group)
        if interactions is not None:
            check_event_columns(solution.event_type, config, schema=schemas[DatasetType.INTERACTIONS])
        if config.HasField("optimization_objective"):
            check_objective_column(config.optimization_objective, items=schemas.get(DatasetType.ITEMS))
        check_columns_exist(config.training_data_config, schemas)
        return datasets

    @staticmethod
    def _require_interactions(unit: Unit, solution: Solution, dataset: Dataset | None) -> None:
        group = solution.dataset_group_arn
        if dataset is None:
            raise _cannot_train(solution, want=f"an Interactions dataset in {group}: create one")
        imported = unit.first(DatasetImportJob, dataset_arn=dataset.arn, status=Status.ACTIVE)
        if imported is None and unit.first(EventTracker, dataset_group_arn=group) is None:
            raise _cannot_train(
                solution,
                want=f"interactions in {dataset.arn}: import some, or create an event tracker and put events",
            )

    @staticmethod
    def _require_items(unit: Unit, solution: Solution, dataset: Dataset | None, *, described: bool) -> None:
        """Make sure that there are items; `described`: with names and texts, which are all that is learnt from."""
        if dataset is None:
            group = solution.dataset_group_arn
            raise _cannot_train(solution, want=f"an Items dataset in {group}: create one")
        if described:
            check_describes_items(dataset_table(unit, dataset).schema, field="solutionArn")
        imported = unit.first(DatasetImportJob, dataset_arn=dataset.arn, status=Status.ACTIVE)
        if imported is None and dataset.rows_streamed_at is None:
            raise _cannot_train(solution, want=f"items in {dataset.arn}: import or put some")

    def describe(self, unit: Unit, arn: str) -> SolutionVersion:
        """Return a version; errors as of `fetch`."""
        return fetch(unit, SolutionVersion, arn, field="solutionVersionArn", kind="solution")

    def progress(self, unit: Unit, version: SolutionVersion) -> TrainingProgress | None:
        """Return how far the training of a version is; None when it is over."""
        if version.status not in BLOCKING:
            return None
        job = unit.first(Job, subject=version.arn, state=UNFINISHED)
        return None if job is None else job_progress(job)

    def list(self, unit: Unit, request: PageRequest, *, solution_arn: str | None) -> Page[SolutionVersion]:
        """Return a page of the versions of a solution, or of all.

        Raises:
            ResourceNotFound: The solution does not exist.
        """
        if solution_arn:
            fetch(unit, Solution, solution_arn, field="solutionArn", kind="solution")
        return list_page(
            unit, SolutionVersion, request, filters={"solution_arn": solution_arn, "of_recommender": False}
        )

    def metrics(self, unit: Unit, arn: str) -> Mapping[str, float]:
        """Return the metrics of a version.

        Raises:
            ResourceInUse: It is not ACTIVE, so it has none.
        """
        version = self.describe(unit, arn)
        require_active(version.status, arn, field="solutionVersionArn")
        return version.metrics or {}

    def stop(self, unit: Unit, arn: str) -> None:
        """Stop a training: at once when it waits, otherwise after the next heartbeat of its worker.

        Raises:
            ResourceInUse: It neither waits nor runs.
        """
        version = fetch(unit, SolutionVersion, arn, field="solutionVersionArn", kind="solution")
        if version.status not in STOPPABLE:
            raise ResourceInUse(
                f"`solutionVersionArn`: got {arn}, which is {version.status}, want {' or '.join(sorted(STOPPABLE))}"
            )
        self._stop(unit, version)

    def stop_all(self, unit: Unit, solution: Solution) -> None:
        """Stop the trainings of a solution that wait or run, as `stop` does."""
        for version in unit.find(SolutionVersion, solution_arn=solution.arn, status=STOPPABLE):
            self._stop(unit, version)

    def _stop(self, unit: Unit, version: SolutionVersion) -> None:
        now = self._now()
        result = request_stop(unit, version.arn, now=now)
        version.status = Status.CREATE_STOPPED if result is StopResult.STOPPED else Status.CREATE_STOPPING
        version.last_updated_date_time = now


def _cannot_train(solution: Solution, *, want: str) -> InvalidInput:
    """Return the error for a group without the data to train on: of a solution, or of a recommender being created."""
    if solution.of_recommender:
        return invalid("datasetGroupArn", got=solution.dataset_group_arn, want=want)
    return invalid("solutionArn", got=solution.arn, want=want)


def _training_payload(
    version: SolutionVersion,
    recipe: RecipeSpec | None,
    *,
    tables: Sequence[DatasetTable],
    base: SolutionVersion | None,
    left_out: Mapping[str, Sequence[str]],
) -> SolutionVersionTrainingPayload:
    """Return the payload of a version's training job.

    Args:
        version: The version.
        recipe: Its recipe.
        tables: Tables to train on.
        base: The version that an update begins from; None for a full training.
        left_out: Columns that are newer than what was chosen to learn from, by type of dataset.
    """
    config = without_columns(version.solution_config or SolutionConfig(), left_out)
    # An update keeps the hyperparameters of the version that it begins from.
    tuning = search = None
    if recipe is not None and base is None:
        tuning = check_tuning(recipe, config, perform_hpo=version.perform_hpo)
    if recipe is None:
        search = recipe_search(config, [table.dataset_type for table in tables], perform_hpo=version.perform_hpo)
    return SolutionVersionTrainingPayload(
        solution_version_arn=version.arn,
        artifact_location=version.artifact_location,
        recipe=None if recipe is None else recipe.name,
        solution_config=config,
        event_type=version.event_type,
        training_mode=version.training_mode,
        tables=tables,
        base_artifact_location=None if base is None else base.artifact_location,
        tuning=tuning,
        recipe_search=search,
    )
