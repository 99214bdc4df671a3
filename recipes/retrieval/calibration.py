"""Choosing the index of a model by measurement: the cheapest one that finds enough of what there is to find."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from recipes.data.histories import FloatArray
from recipes.retrieval.annoy import DEFAULT_TREES, AnnoyIndex
from recipes.retrieval.exact import ExactIndex
from recipes.retrieval.interface import ItemIndex

__all__ = ["RECALL_AT", "IndexCalibration", "IndexMeasurement", "calibrate"]

#: Places of the exact list that have to be found, Personalize's default number of results.
RECALL_AT = 25
#: Items found in one search: serving finds more than it shows, to have some left after filters and repeats.
_SEARCHED = 100
#: An approximate index must be clearly cheaper than the exact one to be worth what it misses.
_CLEARLY_CHEAPER = 0.8

SEARCH_K = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000)


@dataclass(frozen=True, slots=True)
class IndexMeasurement:
    """One measured setting.

    Attributes:
        index: Which implementation.
        search_k: Nodes inspected by Annoy; None for exact.
        recall_at_25: Share of the exact first 25 that are among the first 25 found.
        micros: Median microseconds of one search.
    """

    index: Literal["exact", "annoy"]
    search_k: int | None
    recall_at_25: float
    micros: float


@dataclass(frozen=True, slots=True)
class IndexCalibration:
    """The choice, and everything that it was made from.

    Attributes:
        chosen: The cheapest setting that reaches the floor.
        recall_floor: Recall wanted.
        trees: Of the measured forest.
        measurements: All settings measured, the exact one first.
    """

    chosen: IndexMeasurement
    recall_floor: float
    trees: int
    measurements: tuple[IndexMeasurement, ...]


def calibrate(
    item_vectors: FloatArray,
    queries: FloatArray,
    *,
    path: Path,
    trees: int = DEFAULT_TREES,
    recall_floor: float = 0.98,
    search_k: Sequence[int] = SEARCH_K,
    timer: Callable[[], float] = time.perf_counter,
) -> IndexCalibration:
    """Measure exact search and Annoy on real queries.

    Annoy is measured with more and more inspected nodes until the floor is reached, or until it is no cheaper than
    exact search.

    Args:
        item_vectors: float32 [n_items, d].
        queries: float32 [m, d], vectors of users, a few hundred held-out ones at best; at least one.
        path: The Annoy file of these vectors.
        trees: What the file was built with.
        recall_floor: Recall of the first 25 that the chosen index has to reach.
        search_k: Settings to try, ascending.
        timer: Seconds, monotonic.
    """
    exact = ExactIndex(item_vectors)
    expected = [exact.search(query, RECALL_AT)[0] for query in queries]
    measured = [_measure("exact", None, exact, queries=queries, expected=expected, timer=timer)]
    for nodes in search_k:
        index = AnnoyIndex(path, item_vectors, search_k=nodes)
        measured.append(_measure("annoy", nodes, index, queries=queries, expected=expected, timer=timer))
        if measured[-1].recall_at_25 >= recall_floor or measured[-1].micros > measured[0].micros:
            break
    chosen = measured[0]
    last = measured[-1]
    if last.recall_at_25 >= recall_floor and last.micros < _CLEARLY_CHEAPER * chosen.micros:
        chosen = last
    return IndexCalibration(chosen, recall_floor, trees, tuple(measured))


def _measure(
    name: Literal["exact", "annoy"],
    search_k: int | None,
    index: ItemIndex,
    *,
    queries: FloatArray,
    expected: list[np.ndarray[tuple[int], np.dtype[np.int32]]],
    timer: Callable[[], float],
) -> IndexMeasurement:
    index.search(queries[0], _SEARCHED)  # brings the pages into memory
    seconds, hits, total = [], 0, 0
    for query, right in zip(queries, expected, strict=True):
        began = timer()
        items, _ = index.search(query, _SEARCHED)
        seconds.append(timer() - began)
        hits += len(np.intersect1d(items[:RECALL_AT], right))
        total += len(right)
    recall = hits / total if total else 1.0
    return IndexMeasurement(name, search_k, recall, float(np.median(seconds)) * 1e6)
