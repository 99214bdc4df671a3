"""Shows what a worker serves: looked at once a second, beside the requests and not within them."""

from __future__ import annotations

from typing import Final

from common.process.upkeep import keep_doing
from common.telemetry import NO_FIGURES, Figures
from inference.pipelines import AnswerCounts
from runtime_service.figures import ANSWERS, DEPLOYMENTS_MISSING, DEPLOYMENTS_SERVING, UPKEEP_FAILURES
from runtime_service.serving.deployments import DeploymentTable

__all__ = ["TableFigures"]

_PAUSE_SECONDS: Final = 1.0


class TableFigures:
    """Counts the deployments of a table and their answers.

    Args:
        table: What is served.
        figures: Of the worker.
    """

    def __init__(self, table: DeploymentTable, figures: Figures) -> None:
        self._table = table
        self._is_shown = figures is not NO_FIGURES
        self._failures = figures.counter(UPKEEP_FAILURES, "table_figures")
        self._serving, self._missing = figures.gauge(DEPLOYMENTS_SERVING), figures.gauge(DEPLOYMENTS_MISSING)
        self._proven, self._unproven = figures.counter(ANSWERS, "true"), figures.counter(ANSWERS, "false")
        #: What the deployments had counted at the last look, by the identity of their counts, which are kept with it.
        self._seen: dict[int, tuple[AnswerCounts, int, int]] = {}

    async def run(self) -> None:
        """Look once a second until cancelled; at nothing where nobody is shown anything."""
        if self._is_shown:
            await keep_doing(
                self._look, name="table_figures", every_seconds=_PAUSE_SECONDS, count_failure=self._failures.add
            )

    async def _look(self) -> None:
        self.look()

    def look(self) -> None:
        """Note what is served, and what was answered since the last look."""
        seen: dict[int, tuple[AnswerCounts, int, int]] = {}
        for deployment in self._table.all():
            counts = deployment.pipeline.answer_counts
            proven, unproven = counts.proven, counts.unproven
            _, proven_before, unproven_before = self._seen.get(id(counts), (counts, 0, 0))
            self._proven.add(proven - proven_before)
            self._unproven.add(unproven - unproven_before)
            seen[id(counts)] = (counts, proven, unproven)
        self._seen = seen
        self._serving.set(len(self._table.all()))
        self._missing.set(sum(self._table.lacks(arn) for arn in self._table.expected))
