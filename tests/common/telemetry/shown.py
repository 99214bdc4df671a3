"""What is shown of figures, for tests."""

from __future__ import annotations

from collections.abc import Sequence

from common.telemetry import Figure
from common.telemetry.exposition import BlockCollector
from common.telemetry.shared import Block


def shown(blocks: Sequence[Block], figures: Sequence[Figure]) -> dict[tuple[str, ...], float]:
    """Return each sample, by its name and the values of its labels in the order of their names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in BlockCollector(blocks, figures).collect()
        for sample in family.samples
    }
