"""What metric attributions count, and how their reports look: the same for records that are sent and for imports."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from common.metric_expressions import MathFunction, MetricExpression

__all__ = [
    "MAX_SOURCES", "REPORT_COLUMNS", "UNDEFINED_SOURCE", "WINDOW_SECONDS", "FollowedMetric", "SumKey", "bounded_source",
    "followed_metrics", "report_name",
]  # fmt: skip

#: The source of events that name none, or one that is not known.
UNDEFINED_SOURCE: Final = "SOURCE_NAME_UNDEFINED"
#: Sources of one attribution, beside the undefined one.
MAX_SOURCES: Final = 100
WINDOW_SECONDS: Final = 900
#: The header of reports.
REPORT_COLUMNS: Final = ("METRIC_NAME", "EVENT_TYPE", "VALUE", "MATH_FUNCTION", "EVENT_ATTRIBUTION_SOURCE", "TIMESTAMP")


@dataclass(frozen=True, slots=True)
class FollowedMetric:
    """A metric: events of a type, exactly, are added up by an expression."""

    name: str
    event_type: str
    expression: MetricExpression


@dataclass(frozen=True, slots=True, order=True)
class SumKey:
    """What a sum is of.

    Attributes:
        window_seconds: Begin of the window of the events' own times, in seconds since 1970.
        metric: Name of the metric.
        event_type: Their type.
        function: How they were added up.
        source: What led to the events.
    """

    window_seconds: int
    metric: str
    event_type: str
    function: MathFunction
    source: str


def followed_metrics(metrics: Iterable[tuple[str, str, str]]) -> list[FollowedMetric]:
    """Return metrics by name, event type and expression; those whose expressions mean nothing are left out."""
    parsed = [(name, event_type, MetricExpression.parse(text)) for name, event_type, text in metrics]
    return [FollowedMetric(name, event_type, expression) for name, event_type, expression in parsed if expression]


def bounded_source(source: str | None, counted: set[str]) -> str:
    """Return a source as it is counted: one beyond the limit is counted as undefined.

    Args:
        source: Of an event; None for none.
        counted: Sources that were counted before; a new one is added.
    """
    if not source or (source not in counted and len(counted) >= MAX_SOURCES):
        return UNDEFINED_SOURCE
    if source != UNDEFINED_SOURCE:
        counted.add(source)
    return source


def report_name(method: str, seconds: int, *, writer: str = "") -> str:
    """Return the name of a report's file.

    Args:
        method: How the events came.
        seconds: When, in seconds since 1970.
        writer: Who wrote it, where several do.
    """
    parts = ("AggregatedAttributionMetrics", method, str(seconds), *([writer] if writer else ()))
    return f"{' - '.join(parts)}.csv"
