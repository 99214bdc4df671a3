"""What was shown of new items is counted for their exploration."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from common.positions import LEGACY_EPOCH, Position
from inference.model import ModelLoader
from recipes.components.exploration import ExplorationSettings, ItemAges
from runtime_service.history import HistoryEvent
from runtime_service.history.lmdb import LmdbHistoryReader, LmdbHistoryWriter, prepare_history
from runtime_service.serving.deployments import Deployment
from runtime_service.serving.impressions import count_impressions
from tests.runtime_service.world import GROUP, N_ITEMS, WATERMARK, assignment, item

NEW = [2, 5, 7]


@pytest.fixture
def deployment(shelf, tmp_path):
    """A campaign that explores three items."""
    model = ModelLoader(shelf, cache=tmp_path / "cache", index="exact").load("artifacts/personal")
    created = np.full(N_ITEMS, -(10**8))
    created[NEW] = 0
    ages = ItemAges(created, np.zeros(N_ITEMS, np.int64), 0)
    model = replace(model, recipe=replace(model.recipe, exploration="configured"), ages=ages)
    return Deployment.make(assignment(exploration=ExplorationSettings(weight=1.0)), model, cache_users=0)


def test_impressions_of_events_behind_the_snapshot_are_counted(deployment, tmp_path):
    prepare_history(tmp_path / "history", map_bytes=1 << 20)
    writer = LmdbHistoryWriter(tmp_path / "history", max_events=5)
    shown = [(WATERMARK, NEW[0]), (WATERMARK + 1, NEW[0]), (WATERMARK + 2, NEW[0]), (WATERMARK + 3, NEW[2])]
    writer.append(
        [
            HistoryEvent(offset, GROUP, "", "u", "i", "watch", "", 1, impression=(item(at), "gone"))
            for offset, at in shown
        ],
        next_offset=WATERMARK + 4,
    )
    writer.close()
    reader = LmdbHistoryReader(tmp_path / "history")

    asyncio.run(count_impressions(deployment, reader))

    assert deployment.pipeline.explorer.counts.tolist() == [2, 0, 1]
    assert reader.shown("another-group", [item(NEW[0])], after=Position(LEGACY_EPOCH, 0)) == [0]
    reader.close()


def test_an_item_that_was_shown_very_often_needs_no_more_room(tmp_path):
    prepare_history(tmp_path / "history", map_bytes=1 << 20)
    writer = LmdbHistoryWriter(tmp_path / "history", max_events=5)
    writer.append(
        [HistoryEvent(offset, GROUP, "", "u", "i", "watch", "", 1, impression=("a",)) for offset in range(1, 601)],
        next_offset=601,
    )
    writer.close()
    reader = LmdbHistoryReader(tmp_path / "history")
    assert reader.shown(GROUP, ["a", "b"], after=Position(LEGACY_EPOCH, 590)) == [10, 0]
    assert reader.shown(GROUP, ["a"], after=Position(LEGACY_EPOCH, 0)) == [256]
    reader.close()
