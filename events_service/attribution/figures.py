"""The figures of metric attributions for Prometheus: what each metric came to since its attribution was created."""

from __future__ import annotations

from collections.abc import Iterator

from common.metric_expressions import MathFunction
from common.telemetry import Reading
from events_service.attribution.state import AttributionState
from events_service.figures import ATTRIBUTED_SAMPLES, ATTRIBUTED_SUM

__all__ = ["AttributionFigures"]


class AttributionFigures:
    """Reads the figures when they are asked for; ten metrics and a hundred sources a group bound how many there are.

    Args:
        state: Keeps the sums.
    """

    def __init__(self, state: AttributionState) -> None:
        self._state = state

    def read(self) -> Iterator[Reading]:
        """Yield counts as a counter, and sums, which values below zero let fall, as a gauge."""
        for item in self._state.totals():
            figure = ATTRIBUTED_SAMPLES if item.function is MathFunction.COUNT else ATTRIBUTED_SUM
            labels = (item.dataset_group_arn, item.metric.upper(), item.event_type, item.source)
            yield Reading(figure, item.value, labels)
