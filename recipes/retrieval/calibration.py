"""Choosing the index of a model by measurement: the cheapest one that finds enough of what there is to find.

Queries are vectors of users that the index was not made from. Small catalogues are scored whole, which takes less time
than anything else. In larger ones the scan over bytes is measured, which is exact, and from some tens of thousands of
items on the lists of clusters and forests of random trees, in several coordinates, with and without a head. What
forests can do is first measured on a part of the catalogue: a forest of all of it is built only where that part
promises to be cheaper than what is there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

import numpy as np

from recipes.data.histories import FloatArray, ItemIndexes
from recipes.retrieval.annoy import DEFAULT_TREES, AnnoyIndex, build_annoy
from recipes.retrieval.exact import ExactIndex
from recipes.retrieval.interface import ItemIndex
from recipes.retrieval.lists import ListIndex, build_lists
from recipes.retrieval.scan import ScanIndex, build_scan
from recipes.retrieval.transforms import TRANSFORMS, Transform, TransformName

__all__ = ["LISTED_FROM", "SCANNED_FROM", "IndexCalibration", "IndexKind", "IndexMeasurement", "Plan", "calibrate"]

IndexKind = Literal["exact", "scan", "lists", "annoy"]
#: Places of the exact list that have to be found, Personalize's default number of results.
_RECALL_AT: Final = 25
#: Items found in one search: shares are taken over so many, and serving has to have some left after repeats.
_SEARCHED: Final = 100
#: Numbers of best items up to which an index may be good for: the last is the most that a request may want.
_DEPTHS: Final = (_RECALL_AT, 50, _SEARCHED, 200, 500)
#: Another index must be clearly cheaper than an exact one to be worth what it misses, or its files.
_CLEARLY_CHEAPER: Final = 0.8
#: Catalogues of so many items at least are worth a scan, and of so many anything that is not exact.
SCANNED_FROM: Final = 4_000
LISTED_FROM: Final = 20_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What is tried.

    Attributes:
        scanned_from: Items from which on the scan is tried.
        listed_from: Items from which on lists and forests are.
        lists: Clusters and items of each list, in the order of their cost.
        probes: Lists looked at, ascending.
        search_k: Nodes that forests inspect, ascending.
        sampled_items: Items of the part that forests are first tried on.
        sampled_trees: Trees there.
        head_share: Share of the catalogue that a head is, where there is one.
        largest_head: Items that it has at most.
    """

    scanned_from: int = SCANNED_FROM
    listed_from: int = LISTED_FROM
    lists: tuple[tuple[int, int], ...] = ((128, 500), (512, 1_000), (512, 2_000), (1_024, 2_000))
    probes: tuple[int, ...] = (1, 2)
    search_k: tuple[int, ...] = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
    sampled_items: int = 20_000
    sampled_trees: int = 10
    head_share: float = 0.02
    largest_head: int = 20_000


@dataclass(frozen=True, slots=True)
class IndexMeasurement:
    """One setting, and what was measured of it.

    Attributes:
        index: Which implementation.
        items: Of the catalogue, or of the part of it that was measured.
        transform: Coordinates, of all but exact.
        head: Items scored beside a forest.
        trees: Of a forest.
        search_k: Nodes inspected of a forest.
        clusters: Of lists.
        list_length: Items of a list.
        probes: Lists looked at.
        recall_at_25: Share of the exact first 25 that were found.
        recall_at_100: Share of the exact first 100 that were found.
        recall_at_500: Share of the exact first 500 that a search for 500 found; None of what is exact or not chosen.
        depth: The most best items, 25 to 500, of which the wanted share was found; None likewise.
        proven: Share of the answers that were proven to be exact.
        micros: Median microseconds of one search.
    """

    index: IndexKind
    items: int
    transform: TransformName | None = None
    head: int | None = None
    trees: int | None = None
    search_k: int | None = None
    clusters: int | None = None
    list_length: int | None = None
    probes: int | None = None
    recall_at_25: float = 1.0
    recall_at_100: float = 1.0
    recall_at_500: float | None = None
    depth: int | None = None
    proven: float = 1.0
    micros: float = 0.0


@dataclass(frozen=True, slots=True)
class IndexCalibration:
    """The choice, and everything that it was made from.

    Attributes:
        chosen: The cheapest setting that reaches the floor.
        recall_floor: Recall wanted.
        measurements: All settings measured, the exact one first.
        has_scan: Whether the scan's files are there, which serves requests with filters too.
        distinct_items: Different items among the exact first 25 of all queries: few make any index look good.
    """

    chosen: IndexMeasurement
    recall_floor: float
    measurements: tuple[IndexMeasurement, ...]
    has_scan: bool
    distinct_items: int


def calibrate(
    item_vectors: FloatArray,
    queries: FloatArray,
    *,
    user_vectors: FloatArray,
    folder: Path,
    seed: int,
    trees: int = DEFAULT_TREES,
    recall_floor: float = 0.98,
    plan: Plan | None = None,
    timer: Callable[[], float] = time.perf_counter,
) -> IndexCalibration:
    """Build indexes, measure them on queries, and leave the files of the chosen one and of the scan.

    Args:
        item_vectors: float32 [n_items, d].
        queries: float32 [m, d], vectors of users, a few hundred at best; at least one.
        user_vectors: float32 [l, d], vectors of other users, a few thousand at best, which indexes are made from.
        folder: Of the artifact, existing.
        seed: Of forests and clusters.
        trees: Of a forest.
        recall_floor: Recall of the first 25 that the chosen index has to reach.
        plan: What is tried; None for what suits a training.
        timer: Seconds, monotonic.
    """
    with TemporaryDirectory(dir=folder, prefix=".index-") as scratch:
        builder = _Builder(
            item_vectors, user_vectors, _Bench(queries, timer), Path(scratch), seed, trees, recall_floor, plan or Plan()
        )
        chosen = builder.choose()
        for part in sorted(builder.kept):
            for file in sorted((Path(scratch) / part).iterdir()):
                shutil.move(file, folder / file.name)
        measured = tuple(builder.measured)
    return IndexCalibration(chosen, recall_floor, measured, "scan" in builder.kept, builder.distinct_items)


@dataclass(frozen=True, slots=True)
class _Bench:
    """Measures indexes."""

    queries: FloatArray
    timer: Callable[[], float]

    def expected(self, item_vectors: FloatArray) -> list[ItemIndexes]:
        """Return the exact first 500 of each query, best first."""
        exact = ExactIndex(item_vectors)
        return [exact.nearest(query, _DEPTHS[-1]).items for query in self.queries]

    def measure(self, setting: IndexMeasurement, index: ItemIndex, expected: list[ItemIndexes]) -> IndexMeasurement:
        """Search for each query, and compare with what is right."""
        index.nearest(self.queries[0], _SEARCHED)  # compiles, and brings the pages into memory
        seconds, proven, hits, totals = [], 0, np.zeros(2), np.zeros(2)
        for query, right in zip(self.queries, expected, strict=True):
            began = self.timer()
            nearest = index.nearest(query, _SEARCHED)
            seconds.append(self.timer() - began)
            proven += nearest.proven
            for which, places in enumerate((right[:_RECALL_AT], right[:_SEARCHED])):
                hits[which] += len(np.intersect1d(nearest.items, places))
                totals[which] += len(places)
        return replace(
            setting,
            recall_at_25=float(hits[0] / totals[0]),
            recall_at_100=float(hits[1] / totals[1]),
            proven=proven / len(self.queries),
            micros=float(np.median(seconds)) * 1e6,
        )

    def deepen(
        self, measured: IndexMeasurement, index: ItemIndex, expected: list[ItemIndexes], *, floor: float
    ) -> IndexMeasurement:
        """Search for as many as a request may want: an index that finds the first few may miss many of the rest."""
        hits, totals = np.zeros(len(_DEPTHS)), np.zeros(len(_DEPTHS))
        for query, right in zip(self.queries, expected, strict=True):
            is_hit = np.isin(right, index.nearest(query, _DEPTHS[-1]).items)
            hits += [np.count_nonzero(is_hit[:depth]) for depth in _DEPTHS]
            totals += [len(is_hit[:depth]) for depth in _DEPTHS]
        recalls = (hits / totals).tolist()
        enough = [depth for depth, recall in zip(_DEPTHS[1:], recalls[1:], strict=True) if recall >= floor]
        return replace(measured, recall_at_500=recalls[-1], depth=max(enough, default=_RECALL_AT))


@dataclass(slots=True)
class _Builder:
    """Builds and measures one kind after the other, each in a folder of its own.

    Attributes:
        measured: All settings so far.
        kept: Folders below `scratch` whose files go into the artifact.
        distinct_items: Different items among the exact first 25 of all queries.
    """

    item_vectors: FloatArray
    user_vectors: FloatArray
    bench: _Bench
    scratch: Path
    seed: int
    trees: int
    recall_floor: float
    plan: Plan
    measured: list[IndexMeasurement] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    distinct_items: int = 0

    def choose(self) -> IndexMeasurement:
        """Return the cheapest setting that finds enough."""
        n_items, plan = len(self.item_vectors), self.plan
        expected = self.bench.expected(self.item_vectors)
        self.distinct_items = len(np.unique(np.concatenate([items[:_RECALL_AT] for items in expected])))
        best = self._add(IndexMeasurement("exact", n_items), ExactIndex(self.item_vectors), expected)
        if n_items < plan.scanned_from:
            return best
        scan = self._add(IndexMeasurement("scan", n_items, transform="whitened"), self._scan(), expected)
        self.kept.add("scan")
        if scan.micros < best.micros:
            best = scan
        if n_items < plan.listed_from or not len(self.user_vectors):
            return best
        for attempt in (self._lists, self._forest):
            measured, files = attempt(best, expected)
            if measured is not None and measured.micros < _CLEARLY_CHEAPER * best.micros:
                best = measured
                self.kept = {"scan", files}
        return best

    def _add(self, setting: IndexMeasurement, index: ItemIndex, expected: list[ItemIndexes]) -> IndexMeasurement:
        self.measured.append(self.bench.measure(setting, index, expected))
        return self.measured[-1]

    def _deepen_last(self, index: ItemIndex, expected: list[ItemIndexes]) -> IndexMeasurement:
        last = self.measured[-1]
        self.measured[-1] = self.bench.deepen(last, index, expected, floor=self.recall_floor)
        return self.measured[-1]

    def _folder(self, name: str) -> Path:
        folder = self.scratch / name
        folder.mkdir()
        return folder

    def _transform(self, name: TransformName) -> Transform:
        return Transform.fit(name, item_vectors=self.item_vectors, user_vectors=self.user_vectors)

    def _scan(self) -> ScanIndex:
        folder = self._folder("scan")
        build_scan(self.item_vectors, folder, user_vectors=self.user_vectors)
        return ScanIndex.open(folder, self.item_vectors)

    def _lists(self, best: IndexMeasurement, expected: list[ItemIndexes]) -> tuple[IndexMeasurement | None, str]:
        """Try more and longer lists until they find enough, or are no cheaper than what is there."""
        n_items = len(self.item_vectors)
        for most_clusters, length in self.plan.lists:
            clusters = min(most_clusters, len(self.user_vectors))
            name = f"lists-{clusters}-{length}"
            folder = self._folder(name)
            build_lists(
                self.item_vectors,
                self.user_vectors,
                folder,
                transform=self._transform("whitened"),
                clusters=clusters,
                length=length,
                seed=self.seed,
            )
            for probes in self.plan.probes:
                index = ListIndex.open(folder, self.item_vectors, probes=probes)
                setting = IndexMeasurement(
                    "lists",
                    n_items,
                    transform="whitened",
                    clusters=clusters,
                    list_length=min(length, n_items),
                    probes=probes,
                )
                measured = self._add(setting, index, expected)
                if measured.recall_at_25 >= self.recall_floor:
                    return self._deepen_last(index, expected), name
                if measured.micros > best.micros:
                    break
        return None, ""

    def _forest(self, best: IndexMeasurement, expected: list[ItemIndexes]) -> tuple[IndexMeasurement | None, str]:
        """Build a forest of the catalogue where the best one of a part is cheaper than what is there."""
        n_items = len(self.item_vectors)
        tried = self._best_of_part(best)
        if tried is None or tried.transform is None or tried.head is None:
            return None, ""
        head = self._head(n_items) if tried.head else 0
        folder = self._folder("annoy")
        build_annoy(
            self.item_vectors,
            folder,
            transform=self._transform(tried.transform),
            seed=self.seed,
            trees=self.trees,
            head=head,
        )
        setting = IndexMeasurement("annoy", n_items, transform=tried.transform, head=head, trees=self.trees)
        return self._inspect(folder, setting, self.item_vectors, expected, best=best), "annoy"

    def _best_of_part(self, best: IndexMeasurement) -> IndexMeasurement | None:
        """Return the cheapest coordinates and head that find enough in a part of the catalogue; None for none."""
        random, n_items = np.random.default_rng(self.seed), len(self.item_vectors)
        part = self.item_vectors[np.sort(random.permutation(n_items)[: self.plan.sampled_items])]
        expected = self.bench.expected(part)
        promising: list[IndexMeasurement] = []
        for name in TRANSFORMS:
            transform = Transform.fit(name, item_vectors=part, user_vectors=self.user_vectors)
            for head in (0, self._head(len(part))):
                folder = self._folder(f"part-{name}-{head}")
                trees = self.plan.sampled_trees
                build_annoy(part, folder, transform=transform, seed=self.seed, trees=trees, head=head)
                setting = IndexMeasurement("annoy", len(part), transform=name, head=head, trees=trees)
                measured = self._inspect(folder, setting, part, expected, best=best)
                if measured is not None and measured.micros < best.micros:
                    promising.append(measured)
        return min(promising, key=lambda measured: measured.micros, default=None)

    def _inspect(
        self,
        folder: Path,
        setting: IndexMeasurement,
        item_vectors: FloatArray,
        expected: list[ItemIndexes],
        *,
        best: IndexMeasurement,
    ) -> IndexMeasurement | None:
        """Inspect more and more nodes of a forest until it finds enough, or is no cheaper than what is there."""
        for search_k in self.plan.search_k:
            index = AnnoyIndex(folder, item_vectors, search_k=search_k)
            measured = self._add(replace(setting, search_k=search_k), index, expected)
            if measured.recall_at_25 >= self.recall_floor:
                return self._deepen_last(index, expected)
            if measured.micros > best.micros:
                break
        return None

    def _head(self, n_items: int) -> int:
        return min(int(self.plan.head_share * n_items), self.plan.largest_head)
