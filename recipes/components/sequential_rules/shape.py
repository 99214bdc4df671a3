"""Finding out what rules are like in some data: the shape by which they rank held-out steps best."""

from __future__ import annotations

import numpy as np

from recipes.components.sequential_rules.rules import PLACES, RuleShape, SequentialRules, count_pairs, strengths_of
from recipes.data.histories import FloatArray, Histories, ItemIndexes
from recipes.evaluation.rank_metrics import ndcg

__all__ = ["learn_shape"]

#: Tried shapes; between neighbours figures differ little.
_BACKWARD = (0.0, 0.25, 1.0)
_FOLLOWER_POWERS = (0.0, 0.15, 0.3, 0.5)
#: Held-out steps that are enough to choose by, and places that count.
_MAX_ROWS = 1024
_LIMIT = 10


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

    Steps back to an item of the history do not count: what is used again is not for rules to tell. Older items of a
    history weigh 1 / place.

    Args:
        learnt: Histories to count rules in.
        shown: What came before each held-out step.
        targets: int32 [m], the items of these steps.
        n_items: Items of the catalogue.
        weights: As of `count_pairs`.
        target_weights: float32 [m], how much each held-out step counts; None for 1.
    """
    pairs, popularity = count_pairs(learnt, n_items=n_items, weights=weights)
    rows = _new_steps(shown, targets)
    counts = None if target_weights is None or not target_weights[rows].any() else target_weights[rows]
    best, best_reached = RuleShape(), -1.0
    for backward in _BACKWARD:
        counted = pairs.with_transpose(backward)
        for power in _FOLLOWER_POWERS:
            rules = SequentialRules(strengths_of(counted, popularity, follower_power=power))
            reached = _judge(rules, shown, targets, rows, counts)
            if reached > best_reached:
                best, best_reached = RuleShape(backward, power), reached
    return best


def _new_steps(shown: Histories, targets: ItemIndexes) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the steps to items that were not used before, spread over all."""
    repeated = np.zeros(len(targets), bool)
    owners = shown.owners()
    repeated[owners[shown.items == targets[owners]]] = True
    new = np.flatnonzero(~repeated)
    chosen = min(len(new), _MAX_ROWS)
    return new[np.arange(chosen) * len(new) // max(chosen, 1)]


def _judge(
    rules: SequentialRules,
    shown: Histories,
    targets: ItemIndexes,
    rows: np.ndarray[tuple[int], np.dtype[np.int64]],
    counts: FloatArray | None,
) -> float:
    """Return the NDCG@10 of rules alone, 0 without rows; items that no rule leads to are never found."""
    weights = (1.0 / np.arange(1, PLACES + 1)).astype(np.float32)
    ranks = np.full(len(rows), np.iinfo(np.int64).max)
    for place, row in enumerate(rows):
        history = shown.of(int(row))
        items, strengths = rules.strengths(history, weights=weights)
        wanted = strengths[items == targets[row]]
        if len(wanted):
            ranks[place] = int((strengths[~np.isin(items, history.items)] >= wanted[0]).sum())
    return ndcg(ranks, _LIMIT, weights=counts) if len(rows) else 0.0
