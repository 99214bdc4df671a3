"""Keeps explorers up to date: with items that came after the model, with noise, and with what was shown to users.

All that takes longer the more new items there are is done in threads, as requests are answered on the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from common.process.upkeep import keep_doing
from common.telemetry import NO_FIGURES, Figures
from runtime_service.figures import UPKEEP_FAILURES
from runtime_service.history import HistoryReader
from runtime_service.serving.deployments import Deployment, DeploymentTable

__all__ = ["ExplorerUpdater", "count_impressions"]

#: Items looked up at a time; requests that wait are answered in between.
_CHUNK = 256
#: Seconds between two looks at new items, and between two counts of what was shown.
_PAUSE_SECONDS, _COUNT_SECONDS = 1.0, 60.0
#: How many times as long as drawing took the pause after it is at least.
_PAUSE_FACTOR: Final = 50.0


class ExplorerUpdater:
    """Goes through the explorers of what is served; used on one event loop.

    Args:
        table: What is served.
        histories: Know what was shown.
        clock: Tells seconds.
        figures: Count the rounds that fail.
    """

    def __init__(
        self,
        table: DeploymentTable,
        histories: HistoryReader,
        *,
        clock: Callable[[], float],
        figures: Figures = NO_FIGURES,
    ) -> None:
        self._failures = figures.counter(UPKEEP_FAILURES, "exploration")
        self._table = table
        self._histories = histories
        self._clock = clock
        self._counted = -_COUNT_SECONDS
        #: By campaign when its noise is drawn again.
        self._draws: dict[str, float] = {}

    async def run(self) -> None:
        """Keep explorers up to date until cancelled."""
        await keep_doing(
            self.update, name="exploration", every_seconds=_PAUSE_SECONDS, count_failure=self._failures.add
        )

    async def update(self) -> None:
        """Go through all explorers once; what one trips over keeps no other one waiting.

        Raises:
            Exception: What the first trips over that does.
        """
        deployments, counts = list(self._table.all()), self._clock() - self._counted >= _COUNT_SECONDS
        if counts:
            self._counted = self._clock()
        errors: list[Exception] = []
        for deployment in deployments:
            try:
                await self._update(deployment, counts=counts)
            except Exception as error:  # noqa: BLE001 -- raised below
                errors.append(error)
        self._draws = {arn: due for arn, due in self._draws.items() if self._table.find(arn) is not None}
        if errors:
            raise errors[0]

    async def _update(self, deployment: Deployment, *, counts: bool) -> None:
        explorer, new_items = deployment.pipeline.explorer, deployment.model.new_items.current
        if explorer is None:
            return
        await asyncio.to_thread(explorer.admit, new_items.items, created=new_items.created, vectors=new_items.vectors)
        if counts:
            await count_impressions(deployment, self._histories)
        campaign = deployment.assignment.campaign_arn
        if explorer.shares_noise and self._clock() >= self._draws.get(campaign, 0.0):
            began = self._clock()
            await asyncio.to_thread(explorer.redraw)
            self._draws[campaign] = self._clock() + _PAUSE_FACTOR * (self._clock() - began)


async def count_impressions(deployment: Deployment, histories: HistoryReader) -> None:
    """Tell the explorer of a deployment how often each new item was shown since the snapshot."""
    explorer, model = deployment.pipeline.explorer, deployment.model
    if explorer is None:
        return
    items, shown = explorer.items, list[int]()
    for begin in range(0, len(items), _CHUNK):
        ids = [model.item_id(item) for item in items[begin : begin + _CHUNK].tolist()]
        shown += histories.shown(deployment.assignment.dataset_group_arn, ids, after=model.watermark)
        await asyncio.sleep(0)
    await asyncio.to_thread(explorer.note, shown)
