"""Shows what a worker serves: looked at once a second, beside the requests and not within them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from common.process.upkeep import keep_doing
from common.telemetry import NO_FIGURES, Figures
from inference.pipelines import AnswerCounts
from runtime_service.figures import (
    ANSWERED_ITEMS,
    ANSWERS,
    DEPLOYMENTS_MISSING,
    DEPLOYMENTS_SERVING,
    EXPLORED_ITEMS,
    NEW_ITEMS,
    PROMOTED_ITEMS,
    UPKEEP_FAILURES,
)
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
        self._new_items = figures.gauge(NEW_ITEMS)
        #: By the names of what deployments count.
        self._counters = {
            "proven": figures.counter(ANSWERS, "true"),
            "unproven": figures.counter(ANSWERS, "false"),
            "items": figures.counter(ANSWERED_ITEMS),
            "explored": figures.counter(EXPLORED_ITEMS),
            "promoted": figures.counter(PROMOTED_ITEMS),
        }
        #: What the deployments had counted at the last look, by the identity of their counts, which are kept with it.
        self._seen: dict[int, tuple[AnswerCounts, AnswerCounts]] = {}

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
        deployments, seen = self._table.all(), dict[int, tuple[AnswerCounts, AnswerCounts]]()
        for deployment in deployments:
            counts = deployment.pipeline.answer_counts
            _, before = self._seen.get(id(counts), (counts, AnswerCounts()))
            for name, counter in self._counters.items():
                counter.add(getattr(counts, name) - getattr(before, name))
            seen[id(counts)] = counts, replace(counts)
        self._seen = seen
        lists = {id(deployment.model.new_items): deployment.model.new_items for deployment in deployments}
        self._new_items.set(sum(len(listed.current) for listed in lists.values()))
        self._serving.set(len(deployments))
        self._missing.set(sum(self._table.lacks(arn) for arn in self._table.expected))
