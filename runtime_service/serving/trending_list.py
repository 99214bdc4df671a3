"""The list of a campaign that ranks by what everybody did a moment ago: counted by the tail, put into order here.

A request that finds the list older than a pause waits until it is made anew, in a thread: the counters that changed are
read and all items are scored. The pause is long beside the work, whatever the size of the catalogue.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.positions import Position
from common.vocabulary import Vocabulary
from inference.new_items import NewIds
from inference.request import Trend
from recipes.data.histories import ItemIndexes
from recipes.ports import TrendScorer
from recipes.retrieval.top_k import top_k
from runtime_service.domain.requests import MAX_RESULTS
from runtime_service.history import BucketCounts, HistoryReader, ItemCount

__all__ = ["TrendingList"]

#: Seconds that a list is good for at least, and how many times as long as making it took.
_PAUSE_SECONDS, _PAUSE_FACTOR = 2.0, 20.0


#: Items that the model does not know, of each quarter of an hour: those that were used most.
_MAX_NEWER: Final = MAX_RESULTS


class _Bucket(NamedTuple):
    last: Position
    items: ItemIndexes
    counts: NDArray[np.int32]


class TrendingList:
    """What trends now, to a campaign; used on one event loop. Only its thread, one at a time, touches the counts.

    Args:
        scorer: Of the artifact.
        items: Ids and indexes of the model's items.
        new_ids: Gives indexes to items that came after the model, which events name.
        dataset_group_arn: Whose events count.
        event_type: The only type that counts; None for all.
        now: Tells the present moment in seconds since 1970.
    """

    def __init__(
        self,
        scorer: TrendScorer,
        items: Vocabulary,
        *,
        new_ids: NewIds,
        dataset_group_arn: str,
        event_type: str | None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._scorer = scorer
        self._items = items
        self._new_ids = new_ids
        self._group = dataset_group_arn
        self._event_type = event_type
        self._now = now
        # Of items that were counted: a look-up in the vocabulary takes fifty times as long, and a request waits for it.
        self._indexes: dict[str, int] = {}
        self._held: set[str] = set()
        self._buckets: dict[int, _Bucket] = {}
        self._trend: Trend | None = None
        self._good_until = 0.0
        self._making: asyncio.Task[None] | None = None

    async def current(self, reader: HistoryReader) -> Trend | None:
        """Return how items rise now; None when nothing happened lately.

        Args:
            reader: Has the counts; the same at each call.
        """
        if not self._now() < self._good_until:
            if self._making is None:
                self._making = asyncio.create_task(self._make(reader))
            # Others wait for the same list when this caller goes away.
            await asyncio.shield(self._making)
        return self._trend

    async def _make(self, reader: HistoryReader) -> None:
        now, began = self._now(), time.perf_counter()
        try:
            trend = await asyncio.to_thread(self._score, reader, now)
        finally:
            self._making = None
        self._trend = trend
        self._good_until = now + max(_PAUSE_SECONDS, _PAUSE_FACTOR * (time.perf_counter() - began))

    def _score(self, reader: HistoryReader, now: float) -> Trend | None:
        read_before = {bucket: read.last for bucket, read in self._buckets.items()}
        counted = reader.counts(self._group, first_bucket=self._scorer.first_bucket(now), read_positions=read_before)
        self._buckets = {counts.bucket: self._to_bucket(counts) for counts in counted}
        self._drop_unused()
        read = self._buckets.values()
        scores = self._scorer.trend(
            np.repeat(np.array(list(self._buckets), np.int64), [len(bucket.items) for bucket in read]),
            np.concatenate([np.empty(0, np.int32), *(bucket.items for bucket in read)]),
            np.concatenate([np.empty(0, np.int32), *(bucket.counts for bucket in read)]),
            n_items=self._new_ids.first + len(self._new_ids),
            now=now,
        )
        return None if scores is None else Trend(scores, top_k(scores, MAX_RESULTS))

    def _to_bucket(self, counts: BucketCounts) -> _Bucket:
        if counts.counters is None:
            return self._buckets[counts.bucket]
        items: list[int] = []
        times: list[int] = []
        unknown: list[ItemCount] = []
        for one in counts.counters:
            if self._event_type not in (None, one.event_type):
                continue
            index = self._indexes.get(one.item_id)
            if index is None and (index := self._items.index(one.item_id)) is not None:
                self._indexes[one.item_id] = index
            if index is None:
                unknown.append(one)
            else:
                items.append(index)
                times.append(one.count)
        # What nobody else uses cannot be among the items that rise most, and there may be any number of it.
        newest = heapq.nlargest(_MAX_NEWER, unknown, key=lambda one: one.count)
        named = {one.item_id for one in newest}
        self._new_ids.hold(named - self._held)
        self._held |= named
        for one in newest:
            index = self._new_ids.index(one.item_id)
            if index is not None:  # as many as may have one have one
                items.append(index)
                times.append(one.count)
        return _Bucket(counts.last, np.array(items, np.int32), np.array(times, np.int32))

    def _drop_unused(self) -> None:
        """Hold ids no longer that are in no bucket any more."""
        used = np.unique(np.concatenate([np.empty(0, np.int32), *(read.items for read in self._buckets.values())]))
        named = {self._new_ids.id(index) for index in used[used >= self._new_ids.first].tolist()}
        self._new_ids.drop(self._held - named)
        self._held &= named
