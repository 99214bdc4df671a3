"""A solution's objective as a bias of items: applied to a fitted model, and taken back before the model is updated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from common.arrays import map_arrays, save_arrays
from common.errors import invalid
from recipes.components.objective import objective_biases, spread
from recipes.data.histories import FloatArray
from recipes.ports import AcceptsItemBias, ItemScorer
from trainer.training.loading import LoadedData
from trainer.training.spec import TrainingSpec

__all__ = ["ItemModel", "apply_objective", "remove_objective"]

#: Users by whose scores the spread of relevance is measured.
_USERS: Final = 256
_BIASES: Final = "objective_biases"


@dataclass(frozen=True, slots=True)
class ItemModel:
    """A fitted model of items as it is served.

    Attributes:
        scorer: The model, the objective's biases included.
        biases: float32 [n_items], what the objective added to the scores of all users; None without an objective.
    """

    scorer: ItemScorer
    biases: FloatArray | None = None

    def save(self, folder: Path) -> None:
        """Write the model into an existing folder, and the biases, which an update takes back."""
        self.scorer.save(folder)
        if self.biases is not None:
            save_arrays(folder, {_BIASES: self.biases})


def apply_objective(scorer: ItemScorer, loaded: LoadedData, spec: TrainingSpec) -> ItemModel:
    """Return a model whose scores rise with the objective of the spec, if it has one.

    Raises:
        InvalidInput: The recipe takes no objective.
    """
    objective = spec.configuration.objective
    if objective is None or objective.sensitivity == "OFF":
        return ItemModel(scorer)
    if not isinstance(scorer, AcceptsItemBias):
        raise invalid("solutionConfig.optimizationObjective", got=objective, want=f"none: {spec.recipe} takes none")
    assert loaded.rewards is not None, "an objective has a column"
    histories = loaded.data.histories()
    chosen = np.random.default_rng(spec.seed).permutation(len(histories))[:_USERS]
    queries = scorer.embed_histories(histories.take(chosen))
    biases = objective_biases(
        loaded.rewards, sensitivity=objective.sensitivity, spread=spread(scorer.item_vectors, queries)
    )
    return ItemModel(scorer.with_item_bias(biases), biases)


def remove_objective(scorer: ItemScorer, folder: Path) -> ItemScorer:
    """Return a model as it was before an objective was applied to it, if one was; `folder` has its files."""
    if not (folder / f"{_BIASES}.npy").is_file():
        return scorer
    assert isinstance(scorer, AcceptsItemBias), "otherwise nothing would have been saved"
    return scorer.with_item_bias(-map_arrays(folder, [_BIASES])[_BIASES])
