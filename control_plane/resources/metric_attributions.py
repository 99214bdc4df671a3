"""Operations on metric attributions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from common.errors import invalid
from control_plane.domain.fields import check_name, check_page_size, check_role
from control_plane.domain.imports import check_output_location
from control_plane.domain.metric_attributions import check_events_have_types, check_metrics
from control_plane.domain.paging import Position, read_token, write_token
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import AttributedMetric, DatasetGroup, MetricAttribution
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
from protos.tailorbird.control.v1.metric_attribution_pb2 import MetricAttribute, MetricAttributionOutput

__all__ = ["MetricAttributions", "MetricPage"]

_FIELD = "metricAttributionArn"
_KIND = "metric-attribution"
#: Metrics have no time of their own: their pages are ordered by name.
_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)
MetricPage = tuple[list[AttributedMetric], str | None]


class MetricAttributions(ResourceOperations):
    """Operations on metric attributions."""

    def create(
        self,
        unit: Unit,
        name: str,
        *,
        dataset_group_arn: str,
        metrics: Sequence[MetricAttribute],
        output: MetricAttributionOutput,
    ) -> MetricAttribution:
        """Create the metric attribution of a dataset group.

        Raises:
            InvalidInput: A field is malformed, or a metric does not fit the datasets of the group.
            ResourceNotFound: The group does not exist.
            ResourceAlreadyExists: The name is taken.
            ResourceInUse: The group is not ACTIVE.
            LimitExceeded: The group has as many as it may.
        """
        check_name("name", name)
        _check_output(output)
        group = fetch(unit, DatasetGroup, dataset_group_arn, field="datasetGroupArn", kind="dataset-group")
        require_active(group.status, group.arn, field="datasetGroupArn")
        schemas = dataset_schemas(unit, group.arn)
        check_events_have_types(schemas, field="datasetGroupArn", group_arn=group.arn)
        if not metrics:
            raise invalid("metrics", got="none", want="at least one")
        check_metrics(metrics, field="metrics", schemas=schemas)
        now = self._now()
        row = MetricAttribution(
            arn=self._arn(unit, _KIND, name),
            name=name,
            dataset_group_arn=group.arn,
            metrics_output_config=output,
            creation_date_time=now,
            last_updated_date_time=now,
        )
        insert(unit, row)
        self._check_quota(unit, "metric_attributions_per_group", MetricAttribution, dataset_group_arn=group.arn)
        _add_metrics(unit, row, metrics)
        next_revision(unit)
        return row

    def describe(self, unit: Unit, arn: str) -> MetricAttribution:
        """Return a metric attribution; errors as of `fetch`."""
        return fetch(unit, MetricAttribution, arn, field=_FIELD, kind=_KIND)

    def list(self, unit: Unit, request: PageRequest, *, dataset_group_arn: str | None) -> Page[MetricAttribution]:
        """Return a page of the metric attributions of a group, or of all."""
        return list_page(unit, MetricAttribution, request, filters={"dataset_group_arn": dataset_group_arn})

    def list_metrics(self, unit: Unit, request: PageRequest, *, arn: str) -> MetricPage:
        """Return a page of the metrics of a metric attribution by name, and the token of the next page or None.

        Raises:
            ResourceNotFound: There is no such metric attribution.
            InvalidNextToken: The token is not of this list.
        """
        self.describe(unit, arn)
        size, scope = check_page_size(request.max_results), f"metrics:{arn}"
        after = read_token(request.next_token, scope=scope).arn if request.next_token else ""
        # There are ten at most. They are ordered here, because databases do not agree on the order of names.
        metrics = sorted(unit.find(AttributedMetric, metric_attribution_arn=arn), key=lambda row: row.metric_name)
        rest = [metric for metric in metrics if metric.metric_name > after]
        page = rest[:size]
        last = Position(_ANY_TIME, page[-1].metric_name) if len(rest) > size else None
        return page, write_token(last, scope=scope) if last else None

    def update(
        self,
        unit: Unit,
        arn: str,
        *,
        add: Sequence[MetricAttribute],
        remove_names: Sequence[str],
        output: MetricAttributionOutput | None,
    ) -> MetricAttribution:
        """Add and remove metrics, and change where the counts are written; what is left out stays.

        Raises:
            InvalidInput: A field is malformed, a metric does not fit, its name exists, or one to remove does not.
            ResourceNotFound: There is no such metric attribution.
            ResourceInUse: It is not ACTIVE.
        """
        row = self.describe(unit, arn)
        require_active(row.status, arn, field=_FIELD)
        if output is not None:
            _check_output(output)
        metrics = {metric.metric_name: metric for metric in unit.find(AttributedMetric, metric_attribution_arn=arn)}
        for name in dict.fromkeys(remove_names):
            if name not in metrics:
                raise invalid("removeMetrics", got=name, want=f"some of {', '.join(sorted(metrics))}")
            unit.remove(metrics.pop(name))
        for place, metric in enumerate(add):
            if metric.metric_name in metrics:
                raise invalid(f"addMetrics[{place}].metricName", got=metric.metric_name, want="a name that is new")
        # Those that stay are not checked again: a dataset that they need may be gone for now.
        schemas = dataset_schemas(unit, row.dataset_group_arn)
        check_metrics(add, field="addMetrics", schemas=schemas, others=len(metrics))
        _add_metrics(unit, row, add)
        if output is not None:
            row.metrics_output_config = output
        row.last_updated_date_time = self._now()
        next_revision(unit)
        return row

    def delete(self, unit: Unit, arn: str) -> None:
        """Delete a metric attribution with its metrics; what was published stays."""
        remove(unit, self.describe(unit, arn))
        next_revision(unit)


def _check_output(output: MetricAttributionOutput) -> None:
    if output.role_arn:
        check_role("metricsOutputConfig.roleArn", output.role_arn)
    if output.HasField("s3_data_destination"):
        check_output_location(output.s3_data_destination.path, field="metricsOutputConfig.s3DataDestination.path")


def _add_metrics(unit: Unit, row: MetricAttribution, metrics: Iterable[MetricAttribute]) -> None:
    for metric in metrics:
        unit.add(
            AttributedMetric(
                metric_attribution_arn=row.arn,
                metric_name=metric.metric_name,
                event_type=metric.event_type,
                expression=metric.expression,
            )
        )
