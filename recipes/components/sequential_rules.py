"""Sequential rules "who used i goes on to j": counted, cut to the strongest, applied to a history's newest items.

See Ludewig and Jannach, "Evaluation of session-based recommendation algorithms" (UMUAI 2018), where such rules are a
baseline under the name SR, which many networks do not reach. Deviations: pairs within a window count, nearer ones more;
both items' popularity is divided out; and what `RuleShape` holds, which `learn_shape` chooses on held-out steps.

`SequentialRules` are a part of the sequence models; `SequentialRulesBaseline` scores the whole catalogue by them, for
offline evaluation alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.compiled import compiled
from common.errors import CorruptArtifact
from recipes.components.history_deltas import rule_sums
from recipes.data.counts import StepsOfItems, strongest_followers
from recipes.data.histories import FloatArray, Histories, History, ItemIndexes, Offsets
from recipes.data.sparse import SparseRows
from recipes.data.training_data import TrainingData
from recipes.evaluation.rank_metrics import ndcg
from recipes.evaluation.ranking import CatalogueScores

__all__ = ["PLACES", "RuleShape", "SequentialRules", "SequentialRulesBaseline", "learn_shape"]

#: Newest items of a history that rules are applied to.
PLACES = 10
#: Places that a follower may come after an item.
_WINDOW = 10
#: Followers kept for an item.
_KEPT = 256
#: The same of the baseline, whose lists are of 25.
_KEPT_OF_BASELINE = 2048
#: Power of the leader's popularity that is divided out.
_LEADER_POWER = 0.5

#: Shapes that are tried; between neighbours figures differ little.
_BACKWARD = (0.0, 0.25, 1.0)
_FOLLOWER_POWERS = (0.0, 0.15, 0.3, 0.5)
#: Held-out steps that are enough to choose a shape by, and places that count.
_MAX_ROWS = 1024
_LIMIT = 10
#: Occurrences of a leader that its followers are estimated from at most, spread over all, while a shape is chosen.
_OCCURRENCES = 4096

_ARRAYS = ("rule_offsets", "rule_items", "rule_values", "rule_shape")


@dataclass(frozen=True, slots=True)
class RuleShape:
    """What rules are like in some data.

    Attributes:
        backward: What a pair counts for the rule against its order, as a share of what it counts for the rule along it:
            near 0 where order tells what comes next, as with films; near 1 within sessions of a shop, where like items
            are compared to and fro.
        follower_power: Power of the follower's popularity that is divided out: 0 favours popular followers, 1/2 is the
            cosine, which favours rare ones.
    """

    backward: float = 0.0
    follower_power: float = 0.3


def _popularity(histories: Histories, *, n_items: int, weights: FloatArray | None) -> FloatArray:
    """Return how much each item is used, at least 1: float32 [n_items]."""
    uses = np.bincount(histories.items, weights=weights, minlength=n_items)
    return np.maximum(uses, 1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class SequentialRules:
    """Strengths of rules, row by row; immutable.

    Attributes:
        rules: Row i, column j: how strongly i leads to j.
        shape: What they were counted by.
    """

    rules: SparseRows
    shape: RuleShape = field(default_factory=RuleShape)

    @classmethod
    def count(
        cls,
        histories: Histories,
        *,
        n_items: int,
        shape: RuleShape | None = None,
        kept: int = _KEPT,
        weights: FloatArray | None = None,
    ) -> Self:
        """Count followers up to `_WINDOW` places on, each 1 / distance, and keep the strongest rules of each item.

        Args:
            histories: To count in.
            n_items: Items of the catalogue.
            shape: Of the rules.
            kept: Rules kept for an item.
            weights: float32 [total], what each step counts as a follower and for popularity; None for 1.
        """
        shape = shape or RuleShape()
        popularity = _popularity(histories, n_items=n_items, weights=weights)
        rules = strongest_followers(
            StepsOfItems.of(histories, n_items=n_items, window=_WINDOW),
            weights=weights,
            backward=shape.backward,
            leader_scale=popularity**-_LEADER_POWER,
            follower_scale=popularity**-shape.follower_power,
            kept=kept,
        )
        return cls(rules, shape)

    def entries(self, history: History) -> tuple[ItemIndexes, NDArray[np.int64], FloatArray]:
        """Collect the rules of the newest items of a history.

        Returns:
            follower: int32 [k], an item may occur for several leaders; place: int64 [k], of the leader, 0 for the
            newest; strength: float32 [k].
        """
        offsets = self.rules.offsets
        leaders = history.items[::-1][:PLACES].astype(np.int64)
        begins, lengths = offsets[leaders], offsets[leaders + 1] - offsets[leaders]
        places = np.repeat(np.arange(len(leaders)), lengths)
        starts = np.cumsum(lengths) - lengths
        at = np.arange(len(places)) + (begins - starts)[places]
        return self.rules.columns[at], places, self.rules.values[at]

    def strengths(self, history: History, *, weights: FloatArray) -> tuple[ItemIndexes, FloatArray]:
        """Add up how strongly the newest items lead to others.

        Args:
            history: Items that are not in the catalogue are passed over.
            weights: float32 [PLACES], of each place, the newest first.

        Returns:
            item: int32 [k], all different; strength: float32 [k].
        """
        return rule_sums(history.items, self.rules.offsets, self.rules.columns, self.rules.values, weights)

    def save(self, folder: Path) -> None:
        """Write the arrays."""
        shape = np.array([self.shape.backward, self.shape.follower_power])
        arrays = (self.rules.offsets, self.rules.columns, self.rules.values, shape)
        save_arrays(folder, dict(zip(_ARRAYS, arrays, strict=True)))

    @classmethod
    def load(cls, folder: Path, *, n_items: int) -> Self:
        """Open what was saved.

        Raises:
            CorruptArtifact: A file is missing, cannot be read or does not fit.
        """
        arrays = map_arrays(folder, _ARRAYS)
        offsets, columns, values, shape = (arrays[name] for name in _ARRAYS)
        if offsets.shape != (n_items + 1,) or columns.shape != values.shape or int(offsets[-1]) != len(columns):
            raise CorruptArtifact(f"`rule_offsets.npy`: got shape {offsets.shape}, want {n_items + 1} rising places")
        if int(offsets[0]) != 0 or (offsets[1:] < offsets[:-1]).any():
            raise CorruptArtifact(f"`rule_offsets.npy`: got places that fall, want {n_items + 1} rising from 0")
        if shape.shape != (2,):
            raise CorruptArtifact(f"`rule_shape.npy`: got shape {shape.shape}, want 2 values")
        return cls(SparseRows(offsets, columns, values), RuleShape(float(shape[0]), float(shape[1])))


def learn_shape(
    learnt: Histories,
    *,
    shown: Histories,
    targets: ItemIndexes,
    n_items: int,
    weights: FloatArray | None = None,
    target_weights: FloatArray | None = None,
) -> RuleShape:
    """Choose the shape of greatest NDCG@10 on held-out steps.

    Steps back to an item of the history do not count: repeats are not predicted by rules. Older items of a history
    weigh 1 / place.

    Args:
        learnt: Histories to count rules in.
        shown: What came before each held-out step.
        targets: int32 [m], the items of these steps.
        n_items: Items of the catalogue.
        weights: float32 [total], what each step counts as a follower and for popularity; None for 1.
        target_weights: float32 [m], how much each held-out step counts; None for 1.
    """
    popularity = _popularity(learnt, n_items=n_items, weights=weights)
    rows = _new_steps(shown, targets)
    ranks = _ranks_by_rules(
        StepsOfItems.of(learnt, n_items=n_items, window=_WINDOW),
        shown.take(rows),
        targets[rows],
        weights=np.ones(len(learnt.items), np.float32) if weights is None else weights,
        popularity=popularity,
    )
    counts = None if target_weights is None or not target_weights[rows].any() else target_weights[rows]
    best, best_ndcg = RuleShape(), -1.0
    for backward, of_backward in zip(_BACKWARD, ranks, strict=True):
        for power, of_shape in zip(_FOLLOWER_POWERS, of_backward, strict=True):
            value = ndcg(of_shape, _LIMIT, weights=counts) if len(rows) else 0.0
            if value > best_ndcg:
                best, best_ndcg = RuleShape(backward, power), value
    return best


def _new_steps(shown: Histories, targets: ItemIndexes) -> NDArray[np.int64]:
    """Return the steps to items that were not used before, spread over all: int64 [up to `_MAX_ROWS`]."""
    repeated = np.zeros(len(targets), bool)
    owners = shown.owners()
    repeated[owners[shown.items == targets[owners]]] = True
    new = np.flatnonzero(~repeated)
    chosen = min(len(new), _MAX_ROWS)
    return new[np.arange(chosen) * len(new) // max(chosen, 1)]


def _ranks_by_rules(
    steps: StepsOfItems, shown: Histories, targets: ItemIndexes, *, weights: FloatArray, popularity: FloatArray
) -> NDArray[np.int64]:
    """Rank the targets by the rules of every shape, among what is not in the history.

    Strengths are linear in what is counted along and against the order, so both are added up once for all shapes.

    Args:
        steps: That rules are counted in.
        shown: Histories of the held-out steps.
        targets: int32 [m].
        weights: float32 [total], what each step counts as a follower.
        popularity: float32 [n_items].

    Returns:
        int64 [backward, follower powers, m], from 1; beyond all for items that no rule leads to.
    """
    ranks = np.full((len(_BACKWARD), len(_FOLLOWER_POWERS), len(targets)), np.iinfo(np.int64).max)
    _rank_by_rules(
        steps.items, steps.offsets, steps.places, steps.before, steps.after, weights, popularity**-_LEADER_POWER,
        np.stack([popularity**-power for power in _FOLLOWER_POWERS]), np.array(_BACKWARD), shown.offsets, shown.items,
        targets, PLACES, _OCCURRENCES, ranks,
    )  # fmt: skip
    return ranks


@compiled
def _rank_by_rules(
    items: ItemIndexes,
    offsets: Offsets,
    places: NDArray[np.signedinteger],
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
    weights: FloatArray,
    leader_scale: FloatArray,
    follower_scales: FloatArray,
    backward: NDArray[np.float64],
    shown_offsets: Offsets,
    shown_items: ItemIndexes,
    targets: ItemIndexes,
    n_leaders: int,
    occurrences: int,
    ranks: NDArray[np.int64],
) -> None:
    n_items = len(offsets) - 1
    along, against = np.zeros(n_items), np.zeros(n_items)
    is_shown = np.zeros(n_items, np.bool_)
    for row in range(len(targets)):
        history = shown_items[shown_offsets[row] : shown_offsets[row + 1]]
        for place in range(min(n_leaders, len(history))):
            leader = history[len(history) - 1 - place]
            count = offsets[leader + 1] - offsets[leader]
            used = min(count, occurrences)
            for number in range(used):
                step = np.int64(places[offsets[leader] + number * count // used])
                share = np.float64(leader_scale[leader]) / (place + 1) * (count / used)
                for gap in range(1, after[step] + 1):
                    along[items[step + gap]] += share * weights[step + gap] / gap
                for gap in range(1, before[step] + 1):
                    against[items[step - gap]] += share * weights[step] / gap
        is_shown[history] = True
        listed = np.flatnonzero((along + against > 0.0) & ~is_shown)
        for first in range(len(backward)):
            for second in range(len(follower_scales)):
                ranks[first, second, row] = _rank(
                    targets[row], listed, along, against, backward[first], follower_scales[second]
                )
        is_shown[history] = False
        along[:], against[:] = 0.0, 0.0


@compiled
def _rank(
    target: int,
    listed: NDArray[np.int64],
    along: NDArray[np.float64],
    against: NDArray[np.float64],
    backward: float,
    scale: FloatArray,
) -> int:
    """Return the rank of an item among those that are listed, which is beyond all where no rule leads to it."""
    least = (along[target] + backward * against[target]) * scale[target]
    if least <= 0.0:
        return np.iinfo(np.int64).max
    rank = 0
    for item in listed:
        rank += (along[item] + backward * against[item]) * scale[item] >= least
    return rank


class SequentialRulesBaseline:
    """Counted rules over the whole catalogue, the cosine of both items' popularity divided out.

    A baseline for offline evaluation: its scores come from a sparse matrix, not from vectors, so it is not served.

    Args:
        rules: Row i, column j: how strongly i leads to j.
        window: Newest items of a history that rules are applied to.
    """

    def __init__(self, rules: SparseRows, *, window: int) -> None:
        self._rules = rules
        self._window = window
        self._n_items = len(rules.offsets) - 1

    @classmethod
    def fit(cls, data: TrainingData, *, window: int = 10) -> SequentialRulesBaseline:
        """Count followers up to `window` places on, each 1 / distance, over the root of both items' popularity."""
        scale = _popularity(data.histories(), n_items=data.n_items, weights=None) ** -0.5
        rules = strongest_followers(
            StepsOfItems.of(data.histories(), n_items=data.n_items, window=window),
            weights=None,
            backward=0.0,
            leader_scale=scale,
            follower_scale=scale,
            kept=_KEPT_OF_BASELINE,
        )
        return cls(rules, window=window)

    def scores(self, histories: Histories) -> CatalogueScores:
        """Score the catalogue for some users: the newest item's rules count 1, the next newest's 1/2, and so on."""
        newest = histories.newest(self._window)

        def of_rows(rows: slice) -> FloatArray:
            scores = np.zeros((rows.stop - rows.start, self._n_items), np.float32)
            for row in range(rows.start, rows.stop):
                self._add_scores(newest.of(row).items, scores[row - rows.start])
            return scores

        return of_rows

    def _add_scores(self, items: ItemIndexes, scores: FloatArray) -> None:
        """Add the rules of one history's newest items, oldest first, to float32 [n_items]."""
        leaders = items[::-1][(items[::-1] >= 0) & (items[::-1] < self._n_items)]
        for place, item in enumerate(leaders.tolist(), start=1):
            entries = slice(int(self._rules.offsets[item]), int(self._rules.offsets[item + 1]))
            # Columns of one row differ, so nothing is added twice to one place.
            scores[self._rules.columns[entries]] += self._rules.values[entries] / np.float32(place)
