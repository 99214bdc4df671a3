"""Shows what a worker serves: looked at once a second, beside the requests and not within them."""

from __future__ import annotations

import asyncio
from typing import Final

from common.telemetry import NO_FIGURES, Figures
from runtime_service.figures import DEPLOYMENTS_MISSING, DEPLOYMENTS_SERVING
from runtime_service.serving.deployments import DeploymentTable

__all__ = ["TableFigures"]

_PAUSE_SECONDS: Final = 1.0


class TableFigures:
    """Counts the deployments of a table.

    Args:
        table: What is served.
        figures: Of the worker.
    """

    def __init__(self, table: DeploymentTable, figures: Figures) -> None:
        self._table = table
        self._is_shown = figures is not NO_FIGURES
        self._serving, self._missing = figures.gauge(DEPLOYMENTS_SERVING), figures.gauge(DEPLOYMENTS_MISSING)

    async def run(self) -> None:
        """Look once a second until cancelled; at nothing where nobody is shown anything."""
        while self._is_shown:
            self.look()
            await asyncio.sleep(_PAUSE_SECONDS)

    def look(self) -> None:
        """Note what is served."""
        self._serving.set(len(self._table.all()))
        self._missing.set(sum(self._table.lacks(arn) for arn in self._table.expected))
