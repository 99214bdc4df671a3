"""The tables of metric attributions and their metrics."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, String, UniqueConstraint
from sqlmodel import Field, SQLModel

from control_plane.domain.states import Status
from control_plane.metadata_store.tables.base import (
    AnyResource,
    list_indexes,
    message_column,
    parent_column,
    text_column,
)
from protos.tailorbird.control.v1.metric_attribution_pb2 import MetricAttributionOutput

__all__ = ["AttributedMetric", "MetricAttribution"]


class MetricAttribution(AnyResource, table=True):
    """What is counted of the events of a dataset group, and where the counts are written."""

    __tablename__ = "metric_attribution"
    __table_args__ = (UniqueConstraint("account", "name"), *list_indexes("metric_attribution", "dataset_group_arn"))

    name: str = Field(max_length=63)
    dataset_group_arn: str = parent_column("dataset_group.arn")
    metrics_output_config: MetricAttributionOutput | None = message_column(MetricAttributionOutput)
    status: str = Field(default=Status.ACTIVE, max_length=32)
    failure_reason: str | None = text_column(nullable=True)


class AttributedMetric(SQLModel, table=True):
    """One metric of a metric attribution."""

    __tablename__ = "attributed_metric"

    metric_attribution_arn: str = Field(
        sa_column=Column(String(256), ForeignKey("metric_attribution.arn", ondelete="CASCADE"), primary_key=True)
    )
    metric_name: str = Field(primary_key=True, max_length=256)
    event_type: str = Field(max_length=256)
    expression: str = Field(max_length=256)
