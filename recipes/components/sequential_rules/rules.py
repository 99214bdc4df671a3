"""Rules "who used i goes on to j", counted, cut to the strongest and applied to the newest items of a history.

See Ludewig and Jannach, "Evaluation of session-based recommendation algorithms" (UMUAI 2018), where such rules are a
baseline under the name SR. Deviations: pairs within a window count, nearer ones more; both items' popularity is divided
out; and what `RuleShape` holds, which `recipes.components.sequential_rules.shape` finds out from the data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from common.errors import CorruptArtifact
from recipes.data.arrays import map_arrays, save_arrays
from recipes.data.counts import count_successors
from recipes.data.histories import FloatArray, Histories, History, ItemIndexes
from recipes.data.sparse import SparseRows

__all__ = ["PLACES", "RuleShape", "SequentialRules", "count_pairs", "strengths_of"]

#: Newest items of a history that rules are applied to.
PLACES = 10
#: Places that a follower may come after an item.
WINDOW = 10
#: Followers kept for an item.
KEPT = 256

#: Catalogues up to this size are added up in one array of all items, which is faster than sorting the followers.
_DENSE = 50_000
_LEADER_POWER = 0.5
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


def count_pairs(
    histories: Histories, *, n_items: int, weights: FloatArray | None = None
) -> tuple[SparseRows, FloatArray]:
    """Count followers up to `WINDOW` places on, each 1 / distance.

    Args:
        histories: To count in.
        n_items: Items of the catalogue.
        weights: float32 [total], what each step counts as a follower and for popularity; None for 1.

    Returns:
        The counts, and the popularity of each item, at least 1: float32 [n_items].
    """
    uses = np.bincount(histories.items, weights=weights, minlength=n_items)
    popularity = np.maximum(uses, 1).astype(np.float32)
    return count_successors(histories, n_items=n_items, window=WINDOW, weights=weights), popularity


def strengths_of(counted: SparseRows, popularity: FloatArray, *, follower_power: float) -> SparseRows:
    """Divide powers of the popularity of both items out of counts: the root of the leader's, and the follower's."""
    values = counted.values / (popularity**_LEADER_POWER)[counted.rows()]
    values /= (popularity**follower_power)[counted.columns]
    return SparseRows(counted.offsets, counted.columns, values.astype(np.float32))


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
        kept: int = KEPT,
        weights: FloatArray | None = None,
    ) -> Self:
        """Count pairs, and keep the strongest rules of each item.

        Args:
            histories: To count in.
            n_items: Items of the catalogue.
            shape: Of the rules.
            kept: Rules kept for an item.
            weights: As of `count_pairs`.
        """
        shape = shape or RuleShape()
        pairs, popularity = count_pairs(histories, n_items=n_items, weights=weights)
        counted = pairs.with_transpose(shape.backward)
        return cls(strengths_of(counted, popularity, follower_power=shape.follower_power).strongest(kept), shape)

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
            history: All items known.
            weights: float32 [PLACES], of each place, the newest first.

        Returns:
            item: int32 [k], ascending and all different; strength: float32 [k].
        """
        sequential_rules, places, values = self.entries(history)
        if not len(sequential_rules):
            return sequential_rules, values
        strengths, n_items = values * weights[places], len(self.rules.offsets) - 1
        if n_items <= _DENSE:
            sums = np.bincount(sequential_rules, weights=strengths, minlength=n_items)
            present = np.zeros(n_items, bool)
            present[sequential_rules] = True
            items = present.nonzero()[0]
            return items.astype(np.int32), sums[items].astype(np.float32)
        # Followers of one leader ascend: a stable sort merges such runs, at less than half the cost of `np.unique`.
        order = sequential_rules.argsort(kind="stable")
        ascending = sequential_rules[order]
        firsts = np.ones(len(order), bool)
        np.not_equal(ascending[1:], ascending[:-1], out=firsts[1:])
        return ascending[firsts], np.bincount(firsts.cumsum() - 1, weights=strengths[order]).astype(np.float32)

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
        if shape.shape != (2,):
            raise CorruptArtifact(f"`rule_shape.npy`: got shape {shape.shape}, want 2 values")
        return cls(SparseRows(offsets, columns, values), RuleShape(float(shape[0]), float(shape[1])))
