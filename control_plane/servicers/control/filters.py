"""Operations on filters and metric attributions."""

from __future__ import annotations

from control_plane.domain.fields import required
from control_plane.metadata_store.tables import Filter, MetricAttribution
from control_plane.servicers.control.messages import status, timestamp
from control_plane.servicers.control.methods import Context, Methods, optional, page_request, tags_of
from protos.tailorbird.control.v1 import filter_pb2, metric_attribution_pb2

__all__ = ["FilterMethods", "MetricAttributionMethods"]


class FilterMethods(Methods):
    """Filters."""

    def CreateFilter(
        self, request: filter_pb2.CreateFilterRequest, context: Context
    ) -> filter_pb2.CreateFilterResponse:
        """Create a filter."""
        row = self._transact(
            request,
            lambda unit: self._resources.filters.create(
                unit,
                required("name", request.name),
                dataset_group_arn=required("datasetGroupArn", request.dataset_group_arn),
                filter_expression=required("filterExpression", request.filter_expression),
                tags=tags_of(request),
            ),
        )
        return filter_pb2.CreateFilterResponse(filter_arn=row.arn)

    def DescribeFilter(
        self, request: filter_pb2.DescribeFilterRequest, context: Context
    ) -> filter_pb2.DescribeFilterResponse:
        """Describe a filter."""
        arn = required("filterArn", request.filter_arn)
        row = self._view(request, lambda unit: self._resources.filters.describe(unit, arn))
        return filter_pb2.DescribeFilterResponse(
            filter=filter_pb2.Filter(
                name=row.name,
                filter_arn=row.arn,
                creation_date_time=timestamp(row.creation_date_time),
                last_updated_date_time=timestamp(row.last_updated_date_time),
                dataset_group_arn=row.dataset_group_arn,
                failure_reason=row.failure_reason,
                filter_expression=row.filter_expression,
                status=status(row.status),
            )
        )

    def ListFilters(self, request: filter_pb2.ListFiltersRequest, context: Context) -> filter_pb2.ListFiltersResponse:
        """List filters."""
        group = optional(request, "dataset_group_arn")
        page = self._view(
            request, lambda unit: self._resources.filters.list(unit, page_request(request), dataset_group_arn=group)
        )
        return filter_pb2.ListFiltersResponse(
            filters=[_filter_summary(row) for row in page.items], next_token=page.next_token
        )

    def DeleteFilter(
        self, request: filter_pb2.DeleteFilterRequest, context: Context
    ) -> filter_pb2.DeleteFilterResponse:
        """Delete a filter."""
        arn = required("filterArn", request.filter_arn)
        self._transact(request, lambda unit: self._resources.filters.delete(unit, arn))
        return filter_pb2.DeleteFilterResponse()


class MetricAttributionMethods(Methods):
    """Metric attributions."""

    def CreateMetricAttribution(
        self, request: metric_attribution_pb2.CreateMetricAttributionRequest, context: Context
    ) -> metric_attribution_pb2.CreateMetricAttributionResponse:
        """Create the metric attribution of a dataset group."""
        required("metricsOutputConfig.roleArn", request.metrics_output_config.role_arn)
        row = self._transact(
            request,
            lambda unit: self._resources.metric_attributions.create(
                unit,
                required("name", request.name),
                dataset_group_arn=required("datasetGroupArn", request.dataset_group_arn),
                metrics=request.metrics,
                output=request.metrics_output_config,
            ),
        )
        return metric_attribution_pb2.CreateMetricAttributionResponse(metric_attribution_arn=row.arn)

    def DescribeMetricAttribution(
        self, request: metric_attribution_pb2.DescribeMetricAttributionRequest, context: Context
    ) -> metric_attribution_pb2.DescribeMetricAttributionResponse:
        """Describe a metric attribution."""
        arn = required("metricAttributionArn", request.metric_attribution_arn)
        row = self._view(request, lambda unit: self._resources.metric_attributions.describe(unit, arn))
        return metric_attribution_pb2.DescribeMetricAttributionResponse(
            metric_attribution=metric_attribution_pb2.MetricAttribution(
                name=row.name,
                metric_attribution_arn=row.arn,
                dataset_group_arn=row.dataset_group_arn,
                metrics_output_config=row.metrics_output_config,
                status=status(row.status),
                creation_date_time=timestamp(row.creation_date_time),
                last_updated_date_time=timestamp(row.last_updated_date_time),
                failure_reason=row.failure_reason,
            )
        )

    def ListMetricAttributions(
        self, request: metric_attribution_pb2.ListMetricAttributionsRequest, context: Context
    ) -> metric_attribution_pb2.ListMetricAttributionsResponse:
        """List metric attributions."""
        group = optional(request, "dataset_group_arn")
        page = self._view(
            request,
            lambda unit: self._resources.metric_attributions.list(unit, page_request(request), dataset_group_arn=group),
        )
        return metric_attribution_pb2.ListMetricAttributionsResponse(
            metric_attributions=[_attribution_summary(row) for row in page.items], next_token=page.next_token
        )

    def ListMetricAttributionMetrics(
        self, request: metric_attribution_pb2.ListMetricAttributionMetricsRequest, context: Context
    ) -> metric_attribution_pb2.ListMetricAttributionMetricsResponse:
        """List the metrics of a metric attribution."""
        arn = required("metricAttributionArn", request.metric_attribution_arn)
        metrics, next_token = self._view(
            request,
            lambda unit: self._resources.metric_attributions.list_metrics(unit, page_request(request), arn=arn),
        )
        return metric_attribution_pb2.ListMetricAttributionMetricsResponse(
            metrics=[
                metric_attribution_pb2.MetricAttribute(
                    event_type=metric.event_type, metric_name=metric.metric_name, expression=metric.expression
                )
                for metric in metrics
            ],
            next_token=next_token,
        )

    def UpdateMetricAttribution(
        self, request: metric_attribution_pb2.UpdateMetricAttributionRequest, context: Context
    ) -> metric_attribution_pb2.UpdateMetricAttributionResponse:
        """Add and remove metrics, and change where the counts are written."""
        arn = required("metricAttributionArn", request.metric_attribution_arn)
        row = self._transact(
            request,
            lambda unit: self._resources.metric_attributions.update(
                unit,
                arn,
                add=request.add_metrics,
                remove_names=request.remove_metrics,
                output=optional(request, "metrics_output_config"),
            ),
        )
        return metric_attribution_pb2.UpdateMetricAttributionResponse(metric_attribution_arn=row.arn)

    def DeleteMetricAttribution(
        self, request: metric_attribution_pb2.DeleteMetricAttributionRequest, context: Context
    ) -> metric_attribution_pb2.DeleteMetricAttributionResponse:
        """Delete a metric attribution."""
        arn = required("metricAttributionArn", request.metric_attribution_arn)
        self._transact(request, lambda unit: self._resources.metric_attributions.delete(unit, arn))
        return metric_attribution_pb2.DeleteMetricAttributionResponse()


def _filter_summary(row: Filter) -> filter_pb2.FilterSummary:
    return filter_pb2.FilterSummary(
        name=row.name,
        filter_arn=row.arn,
        creation_date_time=timestamp(row.creation_date_time),
        last_updated_date_time=timestamp(row.last_updated_date_time),
        dataset_group_arn=row.dataset_group_arn,
        failure_reason=row.failure_reason,
        status=status(row.status),
    )


def _attribution_summary(row: MetricAttribution) -> metric_attribution_pb2.MetricAttributionSummary:
    return metric_attribution_pb2.MetricAttributionSummary(
        name=row.name,
        metric_attribution_arn=row.arn,
        status=status(row.status),
        creation_date_time=timestamp(row.creation_date_time),
        last_updated_date_time=timestamp(row.last_updated_date_time),
        failure_reason=row.failure_reason,
    )
