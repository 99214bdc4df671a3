"""What the protocols of collaborative filtering share: several hidden items a user, in no order, ranked among all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.quality.data import DATA_ROOT
from common.errors import InvalidInput
from inference.batch import catalogue_scores
from recipes.catalog import get_recipe
from recipes.data.histories import FloatArray, Histories
from recipes.data.training_data import TrainingData
from recipes.evaluation.ranking import CatalogueScores, top_items
from recipes.registry import make_fitter, read_config

__all__ = ["HiddenSets", "ease", "eases", "find_folder", "fit_recipe", "ndcg_at", "ranked_hits", "recall_at"]

#: Penalties of the EASE that stands beside sequence models, and items up to which it is affordable.
_PENALTIES = (50.0, 200.0, 800.0)
_MOST_ITEMS = 15_000


@dataclass(frozen=True, slots=True)
class HiddenSets:
    """A protocol's parts.

    Attributes:
        training: What is learnt from.
        histories: Of the tested users: what is shown, and left out of their lists.
        relevant: Of the same users: what is hidden, at least one item each.
    """

    training: TrainingData
    histories: Histories
    relevant: Histories


def find_folder(name: str) -> Path:
    """Find a folder of data by its path, absolute, from here, or below the folder that the environment names.

    Raises:
        InvalidInput: There is none.
    """
    root = os.environ.get(DATA_ROOT)
    for path in (Path(name), *([Path(root) / name] if root else [])):
        if path.is_dir():
            return path
    hint = "" if root else f", or {DATA_ROOT} set to the folder that holds the data sets"
    raise InvalidInput(f"`data`: got {name}, which is no folder, want the path of one{hint}")


def fit_recipe(name: str, split: HiddenSets, *, hyperparameters: Mapping[str, str], seed: int) -> CatalogueScores:
    """Fit a recipe and score its users as serving would."""
    declared = get_recipe(name)
    made = make_fitter(declared, read_config(declared, hyperparameters), seed=seed)
    return catalogue_scores(made.fit(split.training), split.histories)


def ease(training: TrainingData, histories: Histories, *, penalty: float) -> CatalogueScores:
    """Fit the published EASE and score users by their histories.

    Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (WWW 2019): with P the inverse of X'X + penalty, the
    weights are I - P / diag(P), column by column. Needs a few arrays [n_items, n_items], or, where there are fewer
    users, [users, n_items]: penalty P is I - X' (XX' + penalty)^-1 X then (Woodbury).
    """
    learnt = _matrix(training.histories(), n_items=training.n_items)
    if len(learnt) < training.n_items:
        of_users = learnt @ learnt.T
        of_users[np.diag_indices(len(of_users))] += penalty
        left, right = learnt.T, np.linalg.solve(of_users, learnt)
        diagonal = 1.0 - (learnt * right).sum(axis=0)
    else:
        gram = learnt.T @ learnt
        gram[np.diag_indices(len(gram))] += penalty
        right = np.linalg.inv(gram)
        diagonal = np.diag(right).copy()
        left = None

    def scores(rows: slice) -> FloatArray:
        shown = _matrix(histories.take(np.arange(rows.start, rows.stop)), n_items=training.n_items)
        inverse = shown @ right if left is None else shown - (shown @ left) @ right
        products: FloatArray = shown - inverse / diagonal
        return products

    return scores


def eases(training: TrainingData, histories: Histories) -> dict[str, Callable[[], CatalogueScores]]:
    """Return by name what fits an EASE of each of a few penalties; nothing for large catalogues."""
    if training.n_items > _MOST_ITEMS:
        return {}
    return {f"EASE, penalty {penalty:g}": partial(ease, training, histories, penalty=penalty) for penalty in _PENALTIES}


def ranked_hits(scores: CatalogueScores, split: HiddenSets, *, limit: int) -> NDArray[np.bool_]:
    """Rank all items that are not shown: bool [users, limit], which places of the lists hold hidden items."""
    lists = top_items(scores, n_items=split.training.n_items, histories=split.histories, limit=limit, exclude_seen=True)
    hits = [np.isin(items, split.relevant.of(row).items) for row, items in enumerate(lists)]
    return np.array(hits, bool).reshape(len(lists), -1)


def recall_at(
    limit: int, hits: NDArray[np.bool_], hidden: NDArray[np.int64], *, divisor: Literal["hidden", "reachable"]
) -> float:
    """Share of the hidden items that are in the first `limit` places, a mean over users.

    Args:
        limit: k.
        hits: bool [users, at least k].
        hidden: int64 [users], n, the number of each user's hidden items.
        divisor: n, as LightGCN's lineage counts, or min(k, n), as that of Mult-VAE.
    """
    most = hidden if divisor == "hidden" else np.minimum(hidden, limit)
    return float((hits[:, :limit].sum(axis=1) / most).mean())


def ndcg_at(limit: int, hits: NDArray[np.bool_], hidden: NDArray[np.int64]) -> float:
    """Discounted gain of the first `limit` places by that of the best list possible, a mean over users."""
    discounts = 1.0 / np.log2(np.arange(2, limit + 2))
    ideals = np.cumsum(discounts)[np.minimum(hidden, limit) - 1]
    return float((hits[:, :limit] @ discounts[: hits.shape[1]] / ideals).mean())


def _matrix(histories: Histories, *, n_items: int) -> FloatArray:
    filled = np.zeros((len(histories), n_items), np.float32)
    filled[histories.owners(), histories.items] = 1.0
    return filled
