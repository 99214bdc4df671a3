"""Checks of metric attributions: names, event types and expressions of the metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from common.avro import AvroSchema
from common.columns import EVENT_TYPE
from common.errors import invalid
from common.metric_expressions import MathFunction, MetricExpression
from protos.tailorbird.control.v1.metric_attribution_pb2 import MetricAttribute

__all__ = ["MAX_METRICS", "check_events_have_types", "check_metrics"]

MAX_METRICS: Final = 10
_MAX_TEXT: Final = 256
_NUMERIC: Final = frozenset({"int", "long", "float", "double"})
_WANT: Final = "SAMPLECOUNT(), SUM(Items.COLUMN) or SUM(Interactions.COLUMN)"


def check_metrics(
    metrics: Sequence[MetricAttribute], *, field: str, schemas: Mapping[str, str], others: int = 0
) -> None:
    """Check new metrics of a metric attribution.

    Args:
        metrics: The metrics.
        field: Member of the request that holds them.
        schemas: Avro schemas of the group's datasets, by type.
        others: How many metrics the attribution has besides.

    Raises:
        InvalidInput: There are too many, a name comes twice, or one is malformed or sums what is no numeric column.
    """
    if len(metrics) + others > MAX_METRICS:
        raise invalid(field, got=f"{len(metrics) + others} metrics", want=f"at most {MAX_METRICS}")
    names = [metric.metric_name for metric in metrics]
    for place, metric in enumerate(metrics):
        where = f"{field}[{place}]"
        for member, text in (("metricName", metric.metric_name), ("eventType", metric.event_type)):
            if not 1 <= len(text) <= _MAX_TEXT:
                raise invalid(f"{where}.{member}", got=text, want=f"1 to {_MAX_TEXT} characters")
        if metric.metric_name in names[:place]:
            raise invalid(f"{where}.metricName", got=metric.metric_name, want="every name once")
        _check_expression(metric.expression, field=f"{where}.expression", schemas=schemas)


def check_events_have_types(schemas: Mapping[str, str], *, field: str, group_arn: str) -> None:
    """Check that the interactions of a group have types, by which metrics choose them.

    Raises:
        InvalidInput: The group has no Interactions dataset, or its schema no EVENT_TYPE.
    """
    interactions = schemas.get("INTERACTIONS")
    if interactions is None or AvroSchema.parse(interactions).field(EVENT_TYPE) is None:
        raise invalid(field, got=group_arn, want="a group with an Interactions dataset that has the field EVENT_TYPE")


def _check_expression(text: str, *, field: str, schemas: Mapping[str, str]) -> None:
    if len(text) > _MAX_TEXT:
        raise invalid(field, got=text, want=f"at most {_MAX_TEXT} characters")
    expression = MetricExpression.parse(text)
    if expression is None:
        raise invalid(field, got=text, want=_WANT)
    if expression.function is MathFunction.COUNT:
        return
    dataset = expression.dataset_type
    schema = schemas.get(dataset)
    if schema is None:
        raise invalid(field, got=text, want=f"a column of a dataset that exists; the group has no {dataset} dataset")
    numeric = [item.name for item in AvroSchema.parse(schema).fields if item.type in _NUMERIC]
    if expression.column not in (item.upper() for item in numeric):
        want = f"one of the numeric columns of {dataset}: {', '.join(numeric) or 'it has none'}"
        raise invalid(field, got=expression.column, want=want)
