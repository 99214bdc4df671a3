"""Keeps explorers up to date with what was shown to users: the more often, the less it is explored."""

from __future__ import annotations

import asyncio

from runtime_service.history import HistoryReader
from runtime_service.serving.deployments import Deployment, DeploymentTable

__all__ = ["count_impressions", "follow_impressions"]

#: Items looked up at a time; requests that wait are answered in between.
_CHUNK = 256


async def follow_impressions(table: DeploymentTable, histories: HistoryReader, *, pause_seconds: float) -> None:
    """Count anew again and again, until cancelled.

    Args:
        table: What is served.
        histories: Know what was shown.
        pause_seconds: Time between two counts.
    """
    while True:
        for deployment in table.all():
            await count_impressions(deployment, histories)
        await asyncio.sleep(pause_seconds)


async def count_impressions(deployment: Deployment, histories: HistoryReader) -> None:
    """Tell the explorer of a deployment how often each new item was shown since the snapshot."""
    explorer, model = deployment.pipeline.explorer, deployment.model
    if explorer is None:
        return
    ids = [model.item_ids[item] for item in explorer.items.tolist()]
    shown: list[int] = []
    for begin in range(0, len(ids), _CHUNK):
        group = deployment.assignment.dataset_group_arn
        shown += histories.shown(group, ids[begin : begin + _CHUNK], after=model.watermark)
        await asyncio.sleep(0)
    explorer.note(shown)
