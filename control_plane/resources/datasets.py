"""Operations on dataset groups, schemas and datasets."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from common.errors import ResourceInUse, invalid
from control_plane.app_context import AppContext
from control_plane.domain.fields import check_kms_key, check_name, check_role, check_tags
from control_plane.domain.schemas import DatasetType, Domain, check_dataset_type, check_schema, check_schema_change
from control_plane.domain.states import BLOCKING, CREATING, DELETING_DATA, Status
from control_plane.jobs.submit import enqueue, request_stop
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import (
    AnyResource,
    BatchInferenceJob,
    BatchSegmentJob,
    DataDeletionJob,
    Dataset,
    DatasetExportJob,
    DatasetGroup,
    DatasetImportJob,
    DatasetSchema,
    EventTracker,
    Filter,
    MetricAttribution,
    Recommender,
    Solution,
    SolutionVersion,
)
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
from control_plane.resources.features import plan_snapshot
from control_plane.resources.ledger import deletion_location
from control_plane.serving.revisions import next_revision
from control_plane.tracking.deletions import DeletionReconciler
from protos.tailorbird.control.v1.common_pb2 import ResourceStatus
from protos.tailorbird.control.v1.dataset_pb2 import DatasetUpdateSummary
from protos.tailorbird.internal.v1.jobs_pb2 import DatasetTable, StorageRemovalPayload

__all__ = ["DatasetGroups", "Datasets", "Schemas", "columns_added_since", "dataset_schemas", "dataset_table"]

Tags = Sequence[tuple[str, str]]
#: A group that cannot be deleted yet is described up to this number of resources.
_COUNTED: Final = 100


def dataset_table(unit: Unit, dataset: Dataset) -> DatasetTable:
    """Return the table of a dataset with its schema."""
    schema = unit.get(DatasetSchema, dataset.schema_arn)
    assert schema is not None, "a foreign key holds it"
    return DatasetTable(dataset_type=dataset.dataset_type, location=dataset.location, schema=schema.schema_text)


def dataset_schemas(unit: Unit, group_arn: str) -> dict[str, str]:
    """Return the Avro schemas (JSON) of a group's ACTIVE datasets, by dataset type."""
    datasets = unit.find(Dataset, dataset_group_arn=group_arn, status=Status.ACTIVE)
    return {dataset.dataset_type: dataset_table(unit, dataset).schema for dataset in datasets}


def columns_added_since(unit: Unit, group_arn: str, moment: datetime) -> dict[str, list[str]]:
    """Return the columns that a group's ACTIVE datasets got by a change of their schema after a moment, by type."""
    added: dict[str, list[str]] = {}
    for dataset in unit.find(Dataset, dataset_group_arn=group_arn, status=Status.ACTIVE):
        names = [name for name, at in (dataset.added_columns or {}).items() if datetime.fromisoformat(at) > moment]
        if names:
            added[dataset.dataset_type] = names
    return added


def _check_schema_fits(schema: DatasetSchema, kind: DatasetType, group: DatasetGroup) -> None:
    if schema.dataset_type != kind:
        raise invalid("schemaArn", got=f"a schema for {schema.dataset_type}", want=f"a schema for {kind}")
    if schema.domain != group.domain:
        raise invalid(
            "schemaArn",
            got=f"a schema of domain {schema.domain or 'none'}",
            want=f"one of the group's domain: {group.domain or 'none'}",
        )


def _require_unused(unit: Unit, dataset: Dataset, *, by_models: bool = True) -> None:
    """Make sure that no job reads or writes a dataset; trainings and batch jobs count by default."""
    group_arn = dataset.dataset_group_arn
    running = (
        unit.first(DatasetImportJob, dataset_arn=dataset.arn, status=BLOCKING)
        or unit.first(DatasetExportJob, dataset_arn=dataset.arn, status=BLOCKING)
        or unit.first(DataDeletionJob, dataset_group_arn=group_arn, status=DELETING_DATA)
        or (_use_by_models(unit, group_arn) if by_models else None)
    )
    if running is not None:
        raise ResourceInUse(f"`datasetArn`: got {dataset.arn}, which {running.arn} is using; wait for its end")


def _use_by_models(unit: Unit, group_arn: str) -> AnyResource | None:
    """Return a training or batch job that reads the datasets of a group; None without one."""
    if (training := unit.first(SolutionVersion, dataset_group_arn=group_arn, status=BLOCKING)) is not None:
        return training
    # Quotas bound how many there are.
    jobs: list[BatchInferenceJob | BatchSegmentJob] = unit.find(BatchInferenceJob, status=CREATING)
    jobs += unit.find(BatchSegmentJob, status=CREATING)
    for job in jobs:
        version = unit.get(SolutionVersion, job.solution_version_arn)
        if version is not None and version.dataset_group_arn == group_arn:
            return job
    return None


class DatasetGroups(ResourceOperations):
    """Operations on dataset groups."""

    def create(
        self,
        unit: Unit,
        name: str,
        *,
        domain: str | None = None,
        role_arn: str | None = None,
        kms_key_arn: str | None = None,
        tags: Tags = (),
    ) -> DatasetGroup:
        """Create a dataset group.

        Raises:
            InvalidInput: A field is malformed, or a role comes without a key.
            ResourceAlreadyExists: The name is taken.
            LimitExceeded: There are as many groups as there may be.
        """
        check_name("name", name)
        if role_arn is not None:
            check_role("roleArn", role_arn)
            if kms_key_arn is None:
                raise invalid("roleArn", got=role_arn, want="none, or a kmsKeyArn beside it")
        if kms_key_arn is not None:
            check_kms_key("kmsKeyArn", kms_key_arn)
        now = self._now()
        group = DatasetGroup(
            arn=self._arn(unit, "dataset-group", name),
            name=name,
            domain=domain,
            role_arn=role_arn,
            kms_key_arn=kms_key_arn,
            creation_date_time=now,
            last_updated_date_time=now,
        )
        checked_tags = check_tags(tags)
        insert(unit, group, tags=checked_tags)
        self._check_quota(unit, "dataset_groups", DatasetGroup)
        return group

    def describe(self, unit: Unit, arn: str) -> DatasetGroup:
        """Return a dataset group; errors as of `fetch`."""
        return fetch(unit, DatasetGroup, arn, field="datasetGroupArn", kind="dataset-group")

    def list(self, unit: Unit, request: PageRequest) -> Page[DatasetGroup]:
        """Return a page of all dataset groups."""
        return list_page(unit, DatasetGroup, request)

    def delete(self, unit: Unit, arn: str) -> None:
        """Delete an empty dataset group.

        Raises:
            ResourceInUse: It still has datasets, solutions, recommenders or an event tracker.
        """
        group = fetch(unit, DatasetGroup, arn, field="datasetGroupArn", kind="dataset-group")
        for table, word in (
            (EventTracker, "event trackers"),
            (Recommender, "recommenders"),
            (Solution, "solutions"),
            (Filter, "filters"),
            (MetricAttribution, "metric attributions"),
            (Dataset, "datasets"),
        ):
            if count := unit.count(table, limit=_COUNTED, dataset_group_arn=arn):
                shown = f"{count} or more" if count == _COUNTED else f"{count}"
                raise ResourceInUse(f"`datasetGroupArn`: got {arn}, which has {shown} {word}; delete them first")
        deletions = unit.find(DataDeletionJob, dataset_group_arn=arn)
        if deletions:
            locations = [deletion_location(job, f"datasets/{unit.account}/{group.name}/-") for job in deletions]
            enqueue(
                unit, self._app_context, StorageRemovalPayload(locations=locations), subject=arn, group_arn=group.arn
            )
        for job in deletions:
            remove(unit, job)
        remove(unit, group)


class Schemas(ResourceOperations):
    """Operations on schemas."""

    def create(self, unit: Unit, name: str, schema: str, *, domain: str | None = None) -> DatasetSchema:
        """Create a schema.

        Raises:
            InvalidInput: It breaks a rule of its type of dataset.
            ResourceAlreadyExists: The name is taken.
            LimitExceeded: There are as many schemas as there may be.
        """
        check_name("name", name)
        kind = check_schema(schema, Domain(domain) if domain else None)
        now = self._now()
        row = DatasetSchema(
            arn=self._arn(unit, "schema", name),
            name=name,
            schema_text=schema,
            dataset_type=kind,
            domain=domain,
            creation_date_time=now,
            last_updated_date_time=now,
        )
        insert(unit, row)
        self._check_quota(unit, "schemas", DatasetSchema)
        return row

    def describe(self, unit: Unit, arn: str) -> DatasetSchema:
        """Return a schema; errors as of `fetch`."""
        return fetch(unit, DatasetSchema, arn, field="schemaArn", kind="schema")

    def list(self, unit: Unit, request: PageRequest) -> Page[DatasetSchema]:
        """Return a page of all schemas."""
        return list_page(unit, DatasetSchema, request)

    def delete(self, unit: Unit, arn: str) -> None:
        """Delete a schema.

        Raises:
            ResourceInUse: A dataset has it.
        """
        schema = fetch(unit, DatasetSchema, arn, field="schemaArn", kind="schema")
        if (dataset := unit.first(Dataset, schema_arn=arn)) is not None:
            raise ResourceInUse(f"`schemaArn`: got {arn}, which dataset {dataset.arn} has; delete that first")
        remove(unit, schema)


class Datasets(ResourceOperations):
    """Operations on datasets.

    Args:
        app_context: Clock, ids, ARNs and quotas.
        deletions: Delays deletions until no events service takes events for the dataset.
    """

    def __init__(self, app_context: AppContext, *, deletions: DeletionReconciler) -> None:
        super().__init__(app_context)
        self._deletions = deletions

    def create(
        self, unit: Unit, name: str, *, schema_arn: str, dataset_group_arn: str, dataset_type: str, tags: Tags = ()
    ) -> Dataset:
        """Create an empty dataset.

        Raises:
            InvalidInput: The schema is for another type of dataset or another domain.
            ResourceNotFound: Schema or group do not exist.
            ResourceAlreadyExists: The group has a dataset of this type.
            ResourceInUse: The group is not ACTIVE.
        """
        check_name("name", name)
        kind = check_dataset_type(dataset_type)
        checked_tags = check_tags(tags)
        now = self._now()
        group = fetch(unit, DatasetGroup, dataset_group_arn, field="datasetGroupArn", kind="dataset-group")
        require_active(group.status, group.arn, field="datasetGroupArn")
        schema = fetch(unit, DatasetSchema, schema_arn, field="schemaArn", kind="schema")
        _check_schema_fits(schema, kind, group)
        dataset = Dataset(
            arn=self._arn(unit, "dataset", f"{group.name}/{kind}"),
            name=name,
            dataset_group_arn=group.arn,
            schema_arn=schema.arn,
            dataset_type=kind,
            # The id keeps the rows of a deleted dataset apart from those of the next one of this type.
            tracking_id=(
                str(uuid.UUID(hex=self._app_context.new_id())) if kind is DatasetType.ACTION_INTERACTIONS else None
            ),
            location=f"datasets/{unit.account}/{group.name}/{kind}-{self._short_id()}",
            creation_date_time=now,
            last_updated_date_time=now,
        )
        insert(unit, dataset, tags=checked_tags)
        # Events services watch which table the group's events go to.
        next_revision(unit)
        return dataset

    def describe(self, unit: Unit, arn: str) -> Dataset:
        """Return a dataset; errors as of `fetch`."""
        return fetch(unit, Dataset, arn, field="datasetArn", kind="dataset")

    def list(self, unit: Unit, request: PageRequest, *, dataset_group_arn: str | None) -> Page[Dataset]:
        """Return a page of the datasets of a group, or of all."""
        return list_page(unit, Dataset, request, filters={"dataset_group_arn": dataset_group_arn})

    def update(self, unit: Unit, arn: str, *, schema_arn: str) -> Dataset:
        """Replace the schema of a dataset by one with more fields, which hold null for the rows that exist.

        Solutions that exist do not learn from the new fields, recommenders not before an update that names columns.

        Raises:
            InvalidInput: The dataset keeps its schema for good, or the schema does not fit.
            ResourceNotFound: Dataset or schema do not exist.
            ResourceInUse: The dataset is not ACTIVE, or a job other than trainings and batch jobs reads or writes it.
        """
        dataset = fetch(unit, Dataset, arn, field="datasetArn", kind="dataset")
        require_active(dataset.status, arn, field="datasetArn")
        schema = fetch(unit, DatasetSchema, schema_arn, field="schemaArn", kind="schema")
        # Trainings and batch jobs have the schema that they began with.
        _require_unused(unit, dataset, by_models=False)
        group = unit.get(DatasetGroup, dataset.dataset_group_arn)
        assert group is not None, "a foreign key holds it"
        kind = DatasetType(dataset.dataset_type)
        _check_schema_fits(schema, kind, group)
        added = check_schema_change(kind, dataset_table(unit, dataset).schema, schema.schema_text)
        now = self._now()
        dataset.schema_arn = schema.arn
        dataset.added_columns = {**(dataset.added_columns or {}), **dict.fromkeys(added, now.isoformat())}
        update = DatasetUpdateSummary(schema_arn=schema.arn, status=ResourceStatus.RESOURCE_STATUS_ACTIVE)
        update.creation_date_time.FromDatetime(now)
        update.last_updated_date_time.FromDatetime(now)
        dataset.latest_update = update
        dataset.last_updated_date_time = now
        # One that is being made of the old schema must not stand for rows of the new one.
        request_stop(unit, dataset.arn, now=now)
        plan_snapshot(dataset, at=now)
        # Events services watch the schemas of the tables, too.
        next_revision(unit)
        return dataset

    def delete(self, unit: Unit, arn: str) -> None:
        """Begin to delete a dataset; its row is removed after its table, once no events service takes events for it.

        Raises:
            ResourceInUse: A job reads or writes it, or it is being deleted already.
        """
        dataset = fetch(unit, Dataset, arn, field="datasetArn", kind="dataset")
        require_active(dataset.status, arn, field="datasetArn")
        _require_unused(unit, dataset)
        # No caller knows of a snapshot that is being made.
        request_stop(unit, dataset.arn, now=self._now())
        self._deletions.begin(unit, dataset)
