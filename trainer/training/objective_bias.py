"""Letting a model favour items by the solution's objective, and taking that back before the model is updated."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.errors import invalid
from recipes.components.objective import objective_biases, spread
from recipes.data.arrays import map_arrays, save_arrays
from recipes.data.histories import FloatArray
from recipes.ports import AcceptsItemBias, ItemScorer
from trainer.training.loading import LoadedData
from trainer.training.spec import TrainingSpec

__all__ = ["apply_objective", "remove_objective", "save_biases"]

#: Users whose scores tell the spread of relevance.
_USERS = 256
_NAME = "objective_biases"


def apply_objective(
    scorer: ItemScorer, loaded: LoadedData, order: TrainingSpec
) -> tuple[ItemScorer, FloatArray | None]:
    """Return a model that favours items as the order says, and by what: float32 [n_items], None for nothing.

    Raises:
        InvalidInput: The recipe takes no objective.
    """
    if order.objective is None or order.objective.sensitivity == "OFF":
        return scorer, None
    if not isinstance(scorer, AcceptsItemBias):
        raise invalid(
            "solutionConfig.optimizationObjective", got=order.objective, want=f"none: {order.recipe} takes none"
        )
    assert loaded.rewards is not None, "an objective has a column"
    histories = loaded.data.histories()
    chosen = np.random.default_rng(order.seed).permutation(len(histories))[:_USERS]
    queries = scorer.embed_histories(histories.take(chosen))
    biases = objective_biases(
        loaded.rewards, sensitivity=order.objective.sensitivity, spread=spread(scorer.item_vectors, queries)
    )
    return scorer.favouring(biases), biases


def remove_objective(scorer: ItemScorer, folder: Path) -> ItemScorer:
    """Return a model as it was before it favoured items, if it does; `folder` has its files."""
    if not (folder / f"{_NAME}.npy").is_file():
        return scorer
    assert isinstance(scorer, AcceptsItemBias), "otherwise nothing would have been saved"
    return scorer.favouring(-map_arrays(folder, [_NAME])[_NAME])


def save_biases(biases: FloatArray | None, folder: Path) -> None:
    """Write by what items are favoured, for later updates."""
    if biases is not None:
        save_arrays(folder, {_NAME: biases})
