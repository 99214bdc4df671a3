"""Operations on batch inference jobs and batch segment jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from common.errors import invalid
from common.files.locations import normalised_folder
from common.filters import Target, filter_target
from control_plane.domain.campaigns import check_exploration, check_influence
from control_plane.domain.events import event_rules
from control_plane.domain.fields import check_name, check_role, check_tags
from control_plane.domain.imports import check_data_location, check_output_location
from control_plane.domain.recipes import recipe_of
from control_plane.domain.schemas import DatasetType, check_theme_column
from control_plane.domain.states import CREATING, Status
from control_plane.jobs.submit import enqueue
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import (
    BatchInferenceJob,
    BatchJob,
    BatchSegmentJob,
    Dataset,
    Filter,
    Solution,
    SolutionVersion,
)
from control_plane.resources.artifacts import served_artifact
from control_plane.resources.base import Page, PageRequest, ResourceOperations, fetch, insert, list_page, require_active
from control_plane.resources.datasets import dataset_schemas, dataset_table
from protos.tailorbird.control.v1.batch_inference_job_pb2 import BatchInferenceJobMode, CreateBatchInferenceJobRequest
from protos.tailorbird.control.v1.batch_segment_job_pb2 import CreateBatchSegmentJobRequest
from protos.tailorbird.control.v1.solution_config_pb2 import SolutionConfig
from protos.tailorbird.internal.v1.jobs_pb2 import BatchInferencePayload, BatchSegmentPayload
from protos.tailorbird.internal.v1.serving_pb2 import EventRule
from recipes.catalog import RECIPES
from recipes.spec import RecipeSpec

__all__ = ["BatchInferenceJobs", "BatchSegmentJobs"]

Tags = Sequence[tuple[str, str]]
CreateBatchJobRequest = CreateBatchInferenceJobRequest | CreateBatchSegmentJobRequest
_DEFAULT_RESULTS: Final = 25
#: Results for one line of the input, and users of one segment.
_MAX_RESULTS: Final = 500
_MAX_USERS: Final = 5_000_000
_INFERENCE: Final = "BATCH_INFERENCE"
_THEMES: Final = "THEME_GENERATION"


class _BatchJobs(ResourceOperations):
    """What the operations on both kinds of batch jobs share."""

    def _columns(
        self, unit: Unit, request: CreateBatchJobRequest, version: SolutionVersion, *, target: Target, most: int
    ) -> dict[str, Any]:
        """Return the columns that all batch jobs have, but for the ARN.

        Args:
            unit: A unit of work.
            request: Asks for the job.
            version: The solution version of the job.
            target: What the job's results are, which filters have to be about.
            most: Results for one line of the input at most.
        """
        now = self._now()
        return {
            "job_name": request.job_name,
            "solution_version_arn": version.arn,
            "filter_arn": _filter_arn(unit, request.filter_arn, version, target=target),
            "num_results": _num_results(request, most=most),
            "job_input": request.job_input,
            "job_output": request.job_output,
            "role_arn": request.role_arn,
            "creation_date_time": now,
            "last_updated_date_time": now,
        }

    def _enqueue(
        self, unit: Unit, payload: BatchInferencePayload | BatchSegmentPayload, row: BatchJob, version: SolutionVersion
    ) -> None:
        """Submit the job; those with one folder of output are done one by one, or their files would be mixed."""
        enqueue(
            unit,
            self._app_context,
            payload,
            subject=row.arn,
            group_arn=version.dataset_group_arn,
            output_folder=normalised_folder(payload.output_location),
        )


class BatchInferenceJobs(_BatchJobs):
    """Operations on batch inference jobs."""

    def create(self, unit: Unit, request: CreateBatchInferenceJobRequest, *, tags: Tags = ()) -> BatchInferenceJob:
        """Submit a job that makes recommendations for the users or items in files.

        Raises:
            InvalidInput: A field is malformed, or does not fit the recipe of the version.
            ResourceNotFound: Version or filter do not exist.
            ResourceAlreadyExists: The name is taken.
            ResourceInUse: The version, its solution or the filter is not ACTIVE.
            LimitExceeded: As many such jobs wait or run as the quota allows.
        """
        _check_members(request)
        checked_tags = check_tags(tags)
        version, recipe = _version(unit, request.solution_version_arn, operation="CreateBatchInferenceJob")
        config = request.batch_inference_job_config
        check_influence(config.ranking_influence, recipe, field="batchInferenceJobConfig.rankingInfluence")
        check_exploration(config.item_exploration_config, recipe, field="batchInferenceJobConfig.itemExplorationConfig")
        row = BatchInferenceJob(
            arn=self._arn(unit, "batch-inference-job", request.job_name),
            **self._columns(unit, request, version, target=Target.ITEM, most=_MAX_RESULTS),
            batch_inference_job_config=config if request.HasField("batch_inference_job_config") else None,
            batch_inference_job_mode=_mode(unit, request, recipe, version),
            theme_generation_config=(
                request.theme_generation_config if request.HasField("theme_generation_config") else None
            ),
        )
        insert(unit, row, tags=checked_tags)
        self._check_quota(unit, "pending_batch_inference_jobs", BatchInferenceJob, status=CREATING)
        payload = BatchInferencePayload(
            **_work(unit, request, row, version),
            config=row.batch_inference_job_config,
            mode=BatchInferenceJobMode.Value(f"BATCH_INFERENCE_JOB_MODE_{row.batch_inference_job_mode}"),
            theme_generation_config=row.theme_generation_config,
            event_type=version.event_type,
            event_rules=[
                EventRule(event_type=rule.event_type, least_value=rule.least_value)
                for rule in event_rules(version.solution_config or SolutionConfig())
            ],
        )
        self._enqueue(unit, payload, row, version)
        return row

    def describe(self, unit: Unit, arn: str) -> BatchInferenceJob:
        """Return a batch inference job; errors as of `fetch`."""
        return fetch(unit, BatchInferenceJob, arn, field="batchInferenceJobArn", kind="batch-inference-job")

    def list(self, unit: Unit, request: PageRequest, *, solution_version_arn: str | None) -> Page[BatchInferenceJob]:
        """Return a page of the batch inference jobs of a version, or of all."""
        return list_page(unit, BatchInferenceJob, request, filters={"solution_version_arn": solution_version_arn})


class BatchSegmentJobs(_BatchJobs):
    """Operations on batch segment jobs."""

    def create(self, unit: Unit, request: CreateBatchSegmentJobRequest, *, tags: Tags = ()) -> BatchSegmentJob:
        """Submit a job that finds the users for the items or attributes in files.

        Raises:
            InvalidInput: A field is malformed, or the recipe of the version makes no segments.
            ResourceNotFound: Version or filter do not exist.
            ResourceAlreadyExists: The name is taken.
            ResourceInUse: The version, its solution or the filter is not ACTIVE.
            LimitExceeded: As many such jobs wait or run as the quota allows.
        """
        _check_members(request)
        checked_tags = check_tags(tags)
        version, _ = _version(unit, request.solution_version_arn, operation="CreateBatchSegmentJob")
        row = BatchSegmentJob(
            arn=self._arn(unit, "batch-segment-job", request.job_name),
            **self._columns(unit, request, version, target=Target.USER, most=_MAX_USERS),
        )
        insert(unit, row, tags=checked_tags)
        self._check_quota(unit, "pending_batch_segment_jobs", BatchSegmentJob, status=CREATING)
        payload = BatchSegmentPayload(**_work(unit, request, row, version))
        self._enqueue(unit, payload, row, version)
        return row

    def describe(self, unit: Unit, arn: str) -> BatchSegmentJob:
        """Return a batch segment job; errors as of `fetch`."""
        return fetch(unit, BatchSegmentJob, arn, field="batchSegmentJobArn", kind="batch-segment-job")

    def list(self, unit: Unit, request: PageRequest, *, solution_version_arn: str | None) -> Page[BatchSegmentJob]:
        """Return a page of the batch segment jobs of a version, or of all."""
        return list_page(unit, BatchSegmentJob, request, filters={"solution_version_arn": solution_version_arn})


def _check_members(request: CreateBatchJobRequest) -> None:
    check_name("jobName", request.job_name)
    check_role("roleArn", request.role_arn)
    source, output = request.job_input.s3_data_source.path, request.job_output.s3_data_destination.path
    check_data_location(source, field="jobInput.s3DataSource.path", content="JSON Lines")
    check_output_location(output, field="jobOutput.s3DataDestination.path", source=source)


def _version(unit: Unit, arn: str, *, operation: str) -> tuple[SolutionVersion, RecipeSpec]:
    version = fetch(unit, SolutionVersion, arn, field="solutionVersionArn", kind="solution")
    require_active(version.status, arn, field="solutionVersionArn")
    solution = unit.get(Solution, version.solution_arn)
    assert solution is not None, "a foreign key holds it"
    # The versions of a solution that is being deleted are ACTIVE until they are gone.
    require_active(solution.status, solution.arn, field="solutionVersionArn")
    recipe = recipe_of(version.recipe_arn)
    assert recipe is not None, "an ACTIVE version has a recipe"
    if recipe.kind.batch_operation != operation:
        fitting = [name for name, spec in RECIPES.items() if spec.kind.batch_operation == operation]
        want = f"a version of one of {', '.join(name for name in fitting if RECIPES[name].domain is None)}"
        raise invalid("solutionVersionArn", got=f"a version of {recipe.name}", want=want)
    return version, recipe


def _filter_arn(unit: Unit, arn: str, version: SolutionVersion, *, target: Target) -> str | None:
    """Return the ARN of a request's filter, after checking that it is of the version's group and about its results."""
    if not arn:
        return None
    row = fetch(unit, Filter, arn, field="filterArn", kind="filter")
    require_active(row.status, arn, field="filterArn")
    if row.dataset_group_arn != version.dataset_group_arn:
        raise invalid("filterArn", got=arn, want=f"a filter of {version.dataset_group_arn}")
    if (actual := filter_target(row.filter_expression)) is not target:
        raise invalid("filterArn", got=f"a filter of {actual}", want=f"a filter of {target}")
    return arn


def _work(unit: Unit, request: CreateBatchJobRequest, row: BatchJob, version: SolutionVersion) -> dict[str, Any]:
    """Return the members that the payloads of all batch jobs have."""
    used_filter = unit.get(Filter, row.filter_arn) if row.filter_arn else None
    datasets = unit.find(Dataset, dataset_group_arn=version.dataset_group_arn, status=Status.ACTIVE, order=["arn"])
    return {
        "solution_version_arn": version.arn,
        "artifact_location": served_artifact(version),
        "input_location": request.job_input.s3_data_source.path,
        "output_location": request.job_output.s3_data_destination.path,
        "num_results": row.num_results,
        "filter_expression": used_filter.filter_expression if used_filter else None,
        "tables": [dataset_table(unit, dataset) for dataset in datasets],
    }


def _num_results(request: CreateBatchJobRequest, *, most: int) -> int:
    if not request.HasField("num_results"):
        return _DEFAULT_RESULTS
    if not 1 <= request.num_results <= most:
        raise invalid("numResults", got=request.num_results, want=f"an integer from 1 to {most:,}")
    return request.num_results


def _mode(unit: Unit, request: CreateBatchInferenceJobRequest, recipe: RecipeSpec, version: SolutionVersion) -> str:
    """Return the mode of a job; themes need a recipe that has them, and items with names and texts."""
    if request.batch_inference_job_mode != BatchInferenceJobMode.BATCH_INFERENCE_JOB_MODE_THEME_GENERATION:
        if request.HasField("theme_generation_config"):
            raise invalid("themeGenerationConfig", got="a configuration", want=f"none, or the mode {_THEMES}")
        return _INFERENCE
    if _THEMES not in recipe.batch_options:
        raise invalid("batchInferenceJobMode", got=_THEMES, want=f"{_INFERENCE}: {recipe.name} has no themes")
    name = request.theme_generation_config.fields_for_theme_generation.item_name
    items = dataset_schemas(unit, version.dataset_group_arn).get(DatasetType.ITEMS)
    check_theme_column(name, items=items, field="themeGenerationConfig.fieldsForThemeGeneration.itemName")
    return _THEMES
