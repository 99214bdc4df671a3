"""What an event adds to the metrics of an attribution."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from common.attribution import WINDOW_SECONDS, FollowedMetric, SumKey
from common.avro import AvroSchema
from common.metric_expressions import MathFunction, MetricExpression
from events_service.domain.events import Event
from events_service.domain.rows import interaction_values

__all__ = ["add_up"]

#: Events whose time is further away do not count, so that the number of windows is bounded.
_OLDEST_SECONDS: Final = 14 * 86_400
_NEWEST_SECONDS: Final = 86_400


def add_up(
    events: Iterable[Event],
    metrics: Collection[FollowedMetric],
    schema: AvroSchema,
    *,
    now: float,
    source_of: Callable[[Event], str],
    item_values: Mapping[str, Mapping[str, float]],
) -> dict[SumKey, float]:
    """Return what events add to the sums of metrics.

    A value that is missing, or no finite number, adds nothing.

    Args:
        events: In any order.
        metrics: Those of the attribution.
        schema: That of the interactions.
        now: Seconds since 1970.
        source_of: Returns what led to an event.
        item_values: Numeric columns of items by id and by name in upper case.
    """
    sums: dict[SumKey, float] = {}
    by_type: dict[str, list[FollowedMetric]] = {}
    for metric in metrics:
        by_type.setdefault(metric.event_type, []).append(metric)
    for event in events:
        followed = by_type.get(event.event_type, ())
        seconds = event.sent_at_millis // 1000
        if not followed or not now - _OLDEST_SECONDS <= seconds <= now + _NEWEST_SECONDS:
            continue
        source, window = source_of(event), seconds // WINDOW_SECONDS * WINDOW_SECONDS
        for metric in followed:
            value = _value(event, metric.expression, schema, item_values)
            if value is not None:
                key = SumKey(window, metric.name, metric.event_type, metric.expression.function, source)
                sums[key] = sums.get(key, 0.0) + value
    return sums


def _value(
    event: Event, expression: MetricExpression, schema: AvroSchema, item_values: Mapping[str, Mapping[str, float]]
) -> float | None:
    if expression.function is MathFunction.COUNT:
        return 1.0
    if expression.dataset_type == "ITEMS":
        value: Any = item_values.get(event.item_id or "", {}).get(expression.column)
    else:
        row = interaction_values(event, schema)
        value = next((row[name] for name in row if name.upper() == expression.column), None)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
