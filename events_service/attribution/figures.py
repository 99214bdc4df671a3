"""The figures of metric attributions for Prometheus: what each metric came to since its attribution was created."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from common.metric_expressions import MathFunction
from events_service.attribution.state import AttributionState

__all__ = ["AttributionFigures"]

_LABELS: Final = ("dataset_group_arn", "metric_name", "event_type", "event_attribution_source")


class AttributionFigures(Collector):
    """Reads the figures when they are asked for; ten metrics and a hundred sources a group bound how many there are.

    Args:
        state: Keeps the sums.
    """

    def __init__(self, state: AttributionState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        """Yield counts as a counter, and sums, which values below zero let fall, as a gauge."""
        counts = CounterMetricFamily("tailorbird_attributed_samples", "Events by SAMPLECOUNT().", labels=_LABELS)
        sums = GaugeMetricFamily("tailorbird_attributed_sum", "Values by SUM().", labels=_LABELS)
        for item in self._state.totals():
            family = counts if item.function is MathFunction.COUNT else sums
            labels = [item.dataset_group_arn, item.metric.upper(), item.event_type, item.source]
            family.add_metric(labels, item.value)
        yield counts
        yield sums
