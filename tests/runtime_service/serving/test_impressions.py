"""What was shown of new items is counted for their exploration."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
import pytest

from common.positions import LEGACY_EPOCH, Position
from common.telemetry.shared import Block, SharedFigures
from common.testing import loop_in_thread, wait_until
from inference.model import ModelLoader
from inference.new_items import NewItems
from recipes.components.exploration import ExplorationSettings, UcbExploration
from recipes.components.item_age import ItemAges
from recipes.data.columns import NO_TIME
from runtime_service.figures import FIGURES
from runtime_service.history import HistoryEvent
from runtime_service.history.lmdb import LmdbHistoryReader, LmdbHistoryWriter, prepare_history
from runtime_service.serving.deployments import Deployment, DeploymentTable
from runtime_service.serving.impressions import ExplorerUpdater, count_impressions
from tests.common.telemetry.shown import shown
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


@dataclass(slots=True)
class NotedExploration(UcbExploration):
    """Notes in which threads its noise is drawn, first of all when it is made."""

    threads: list[int] = field(default_factory=list)

    def redraw(self):
        self.threads.append(threading.get_ident())
        UcbExploration.redraw(self)


def test_new_items_change_and_are_drawn_beside_the_requests(deployment, tmp_path):
    prepare_history(tmp_path / "history", map_bytes=1 << 20)
    reader = LmdbHistoryReader(tmp_path / "history")
    n_new, width = 1500, deployment.model.scorer.item_vectors.shape[1]
    items = np.arange(N_ITEMS, N_ITEMS + n_new, dtype=np.int32)
    deployment.model.new_items.ids.add(f"later-{number}" for number in range(n_new))
    deployment.model.new_items.current = NewItems.of(
        items,
        vectors=np.zeros((n_new, width), np.float32),
        described=np.ones(n_new, bool),
        created=np.full(n_new, NO_TIME),
        clusters=None,
        first=N_ITEMS,
    )
    none = np.empty(0, np.int32)
    explorer = NotedExploration(none, none.astype(np.int64), 30.0, 0, N_ITEMS, np.random.default_rng(1))
    table = DeploymentTable()
    table.serve(replace(deployment, pipeline=replace(deployment.pipeline, explorer=explorer)))

    asyncio.run(ExplorerUpdater(table, reader, clock=lambda: 0.0).update())

    assert len(explorer.items) == n_new
    # The items came, what was shown of them was counted, and the noise is drawn again.
    assert len(explorer.threads) == 1 + 3
    assert threading.get_ident() not in explorer.threads[1:]
    reader.close()


class TrippingReader(LmdbHistoryReader):
    """A reader that trips over one dataset group."""

    def shown(self, dataset_group_arn, item_ids, *, after):
        if dataset_group_arn != GROUP:
            raise RuntimeError("a bug")
        return super().shown(dataset_group_arn, item_ids, after=after)


def test_what_one_campaign_trips_over_is_counted_and_ends_nothing(deployment, history_folder):
    writer = LmdbHistoryWriter(history_folder, max_events=5)
    event = HistoryEvent(WATERMARK + 1, GROUP, "", "u", "i", "watch", "", 1, impression=(item(NEW[0]),))
    writer.append([event], next_offset=WATERMARK + 2)
    writer.close()
    first = replace(
        deployment, assignment=replace(deployment.assignment, campaign_arn="arn:first", dataset_group_arn="arn:other")
    )
    table, block = DeploymentTable(), Block("worker-0")
    table.serve(replace(first, pipeline=replace(first.pipeline, explorer=copy(deployment.pipeline.explorer))))
    table.serve(deployment)

    # Each round counts: the clock goes an hour ahead at every look.
    hours = count(0.0, 3600.0)
    with closing(TrippingReader(history_folder)) as reader, loop_in_thread() as loop:
        updater = ExplorerUpdater(table, reader, clock=lambda: next(hours), figures=SharedFigures(block))
        with loop.running(updater.run()):
            wait_until(lambda: shown([block], FIGURES).get(("tailorbird_upkeep_failures_total", "exploration"), 0) >= 2)

    assert deployment.pipeline.explorer.counts.tolist() == [1, 0, 0]


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
