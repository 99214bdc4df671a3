"""Operations on filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.avro import AvroSchema
from common.errors import ResourceInUse
from common.filters import Dataset, parse_filter
from control_plane.domain.fields import check_name, check_tags
from control_plane.domain.states import CREATING
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import BatchInferenceJob, BatchSegmentJob, DatasetGroup, Filter
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
from control_plane.serving.revisions import next_revision

__all__ = ["Filters"]


class Filters(ResourceOperations):
    """Operations on filters."""

    def create(
        self,
        unit: Unit,
        name: str,
        *,
        dataset_group_arn: str,
        filter_expression: str,
        tags: Sequence[tuple[str, str]] = (),
    ) -> Filter:
        """Create a filter, after checking its expression against the datasets of its group.

        Raises:
            InvalidInput: The name is malformed, or the expression is, or it does not fit the datasets.
            ResourceNotFound: The group does not exist.
            ResourceAlreadyExists: The name is taken.
            ResourceInUse: The group is not ACTIVE.
            LimitExceeded: The group has as many filters, or its filters read as many fields, as they may.
        """
        check_name("name", name)
        checked_tags = check_tags(tags)
        group = fetch(unit, DatasetGroup, dataset_group_arn, field="datasetGroupArn", kind="dataset-group")
        require_active(group.status, group.arn, field="datasetGroupArn")
        definition = parse_filter(filter_expression, _schemas(unit, group.arn))
        fields = sorted(f"{field.dataset}.{field.name}" for field in definition.fields)
        now = self._now()
        row = Filter(
            arn=self._arn(unit, "filter", name),
            name=name,
            dataset_group_arn=group.arn,
            filter_expression=filter_expression,
            fields=fields,
            creation_date_time=now,
            last_updated_date_time=now,
        )
        existing = unit.find(Filter, dataset_group_arn=group.arn)
        insert(unit, row, tags=checked_tags)
        quotas = self._app_context.quotas
        quotas.check("filters_per_group", used=len(existing))
        quotas.check(
            "filter_fields_per_group", used=len({*fields, *(name for one in existing for name in one.fields)}) - 1
        )
        # Runtimes watch the filters of the groups that they serve.
        next_revision(unit)
        return row

    def describe(self, unit: Unit, arn: str) -> Filter:
        """Return a filter; errors as of `fetch`."""
        return fetch(unit, Filter, arn, field="filterArn", kind="filter")

    def list(self, unit: Unit, request: PageRequest, *, dataset_group_arn: str | None) -> Page[Filter]:
        """Return a page of the filters of a group, or of all."""
        return list_page(unit, Filter, request, filters={"dataset_group_arn": dataset_group_arn})

    def delete(self, unit: Unit, arn: str) -> None:
        """Delete a filter.

        Raises:
            ResourceInUse: A batch job that waits or runs has it.
        """
        row = fetch(unit, Filter, arn, field="filterArn", kind="filter")
        for table in (BatchInferenceJob, BatchSegmentJob):
            if (job := unit.first(table, filter_arn=arn, status=CREATING)) is not None:
                raise ResourceInUse(f"`filterArn`: got {arn}, which {job.arn} is using; wait for its end")
        remove(unit, row)
        next_revision(unit)


def _schemas(unit: Unit, group_arn: str) -> Mapping[Dataset, AvroSchema]:
    by_type = {dataset.upper(): dataset for dataset in Dataset}
    return {by_type[kind]: AvroSchema.parse(text) for kind, text in dataset_schemas(unit, group_arn).items()}
