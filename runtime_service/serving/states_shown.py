"""Shows what answers started from, and how old the features are that filters read: looked at beside the requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, fields
from typing import Final

from common.process.upkeep import keep_doing
from common.telemetry import NO_FIGURES, Figures
from inference.user_state import StateCounts
from runtime_service.figures import FEATURES_MADE, UPKEEP_FAILURES, USER_STATES
from runtime_service.serving.deployments import DeploymentTable

__all__ = ["StateFigures"]

_PAUSE_SECONDS: Final = 1.0


class StateFigures:
    """Counts the states of users that a table's deployments answered from.

    Args:
        table: What is served.
        oldest_features: Returns when the oldest snapshot of features in force was made, in seconds since 1970; None for
            no snapshot.
        figures: Of the worker.
    """

    def __init__(
        self, table: DeploymentTable, figures: Figures, *, oldest_features: Callable[[], float | None]
    ) -> None:
        self._table = table
        self._oldest_features = oldest_features
        self._is_shown = figures is not NO_FIGURES
        self._failures = figures.counter(UPKEEP_FAILURES, "state_figures")
        self._made = figures.gauge(FEATURES_MADE)
        self._states = [figures.counter(USER_STATES, one.name) for one in fields(StateCounts)]
        #: What had been counted at the last look, by the identity of the counts, which are kept with it.
        self._seen: dict[int, tuple[StateCounts, tuple[int, ...]]] = {}

    async def run(self) -> None:
        """Look once a second until cancelled; at nothing where nobody is shown anything."""
        if self._is_shown:
            await keep_doing(
                self._look, name="state_figures", every_seconds=_PAUSE_SECONDS, count_failure=self._failures.add
            )

    async def _look(self) -> None:
        self.look()

    def look(self) -> None:
        """Note what answers started from since the last look, and the age of the features."""
        seen: dict[int, tuple[StateCounts, tuple[int, ...]]] = {}
        for deployment in self._table.all():
            counts = deployment.pipeline.users.counts
            now = astuple(counts)
            _, before = self._seen.get(id(counts), (counts, (0,) * len(now)))
            for counter, value, last in zip(self._states, now, before, strict=True):
                counter.add(value - last)
            seen[id(counts)] = counts, now
        self._seen = seen
        if (made := self._oldest_features()) is not None:
            self._made.set(made)
