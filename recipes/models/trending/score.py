"""Serving Trending-Now: the trend at the snapshot as a vector, and the trend of this moment from fresh counts.

A list of this recipe changes while nothing is trained, so a runtime does not search the vectors: it counts what is
streamed and asks `trend`. The vectors say what is trending at the snapshot, and which items are popular, which is the
answer when nothing has happened for two intervals.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact
from recipes.data.histories import FloatArray, Histories, History, ItemIndexes
from recipes.models.trending.rates import DEPTH, trend_scores
from recipes.ports import ScoreDelta

__all__ = ["BUCKET_SECONDS", "BulkCounts", "TrendingScorer", "load"]

#: Counts are kept by quarters of an hour since 1970; every interval is a whole number of them.
BUCKET_SECONDS: Final = 900


@dataclass(frozen=True, slots=True)
class BulkCounts:
    """Newest interactions that were imported, by quarter of an hour; the streamed ones are counted by the runtime.

    Attributes:
        buckets: int64 [k], seconds since 1970 by `BUCKET_SECONDS`, ascending.
        items: int32 [k].
        counts: int32 [k].
    """

    buckets: NDArray[np.int64]
    items: ItemIndexes
    counts: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class TrendingScorer:
    """Scores items by the growth of their rates; a `recipes.ports.ItemScorer`.

    Attributes:
        item_vectors: float32 [n_items, 2], the trend at the snapshot and the number of distinct users.
        bulk: What was imported lately.
        interval_seconds: Length of an interval.
        half_life: See `rates.discounts`.
        began: When the first interaction of all happened, in seconds since 1970.
    """

    item_vectors: FloatArray
    bulk: BulkCounts
    interval_seconds: int
    half_life: float
    began: int

    def embed_history(self, history: History) -> FloatArray:  # noqa: ARG002 -- the port's signature
        """Return the query of the trend at the snapshot: float32 [2]."""
        return np.array([1.0, 0.0], np.float32)

    def popular(self) -> FloatArray:
        """Return the query of popularity: float32 [2]."""
        return np.array([0.0, 1.0], np.float32)

    def embed_histories(self, histories: Histories) -> FloatArray:
        """Return the one query for each history: float32 [number of histories, 2]."""
        return np.tile(self.embed_history(History.of_items([])), (len(histories), 1))

    def score_deltas(self, history: History) -> ScoreDelta:  # noqa: ARG002 -- the port's signature
        """Return no deltas: a history changes no score here."""
        return ScoreDelta.nothing()

    def first_bucket(self, now: float) -> int:
        """Return the oldest bucket that matters at a moment, given in seconds since 1970."""
        return int(now // BUCKET_SECONDS) + 1 - DEPTH * (self.interval_seconds // BUCKET_SECONDS)

    def trend(
        self, buckets: NDArray[np.int64], items: ItemIndexes, counts: NDArray[np.int32], *, n_items: int, now: float
    ) -> FloatArray | None:
        """Score the items as they trend at a moment.

        The newest interval ends with the present bucket, which has been seen in part.

        Args:
            buckets: int64 [k], when something was streamed; see `BulkCounts`.
            items: int32 [k], what; items beyond those of the model are new since the training.
            counts: int32 [k], how often.
            n_items: Number of items, new ones included.
            now: Seconds since 1970.

        Returns:
            float32 [n_items]; None when nothing happened in the last two intervals.
        """
        present, wide = now / BUCKET_SECONDS, self.interval_seconds // BUCKET_SECONDS
        interval_counts = np.zeros((DEPTH, n_items), np.float32)
        for when, which, times in ((buckets, items, counts), (self.bulk.buckets, self.bulk.items, self.bulk.counts)):
            age = (int(present) - when) // wide
            inside = (age >= 0) & (age < DEPTH)
            np.add.at(interval_counts, (age[inside], which[inside]), times[inside])
        if not interval_counts[:2].any():
            return None
        ends = int(present) + 1 - wide * np.arange(DEPTH)
        exposure = (ends > self.began / BUCKET_SECONDS).astype(np.float64)
        exposure[0] = (wide - 1 + present % 1.0) / wide or 1.0
        return trend_scores(interval_counts, exposure=exposure, half_life=self.half_life)

    def save(self, folder: Path) -> None:
        """Write the vectors, the counts and the settings."""
        save_arrays(
            folder,
            {
                "item_vectors": self.item_vectors,
                "bulk_buckets": self.bulk.buckets,
                "bulk_items": self.bulk.items,
                "bulk_counts": self.bulk.counts,
                "trend_settings": np.array([self.interval_seconds, self.half_life, self.began], np.float64),
            },
        )


def load(folder: Path) -> TrendingScorer:
    """Open a saved scorer.

    Raises:
        CorruptArtifact: A file is missing, cannot be read or does not fit the others.
    """
    names = ("item_vectors", "bulk_buckets", "bulk_items", "bulk_counts", "trend_settings")
    vectors, buckets, items, counts, settings = map_arrays(folder, names).values()
    if vectors.ndim != 2 or vectors.shape[1] != 2:
        raise CorruptArtifact(f"`item_vectors.npy`: got shape {vectors.shape}, want two columns")
    if not len(buckets) == len(items) == len(counts):
        raise CorruptArtifact(f"`bulk_items.npy`: got {len(items)} rows, want {len(buckets)} as in `bulk_buckets.npy`")
    if len(items) and not 0 <= int(items.min()) <= int(items.max()) < len(vectors):
        raise CorruptArtifact(f"`bulk_items.npy`: got indexes out of range, want 0 to {len(vectors) - 1}")
    if settings.shape != (3,) or settings[0] < BUCKET_SECONDS:
        raise CorruptArtifact(f"`trend_settings.npy`: got {settings}, want an interval, a half-life and a beginning")
    interval, half_life, began = settings.tolist()
    return TrendingScorer(vectors, BulkCounts(buckets, items, counts), int(interval), half_life, int(began))
