"""Bringing a model up to date: the data as they are now around weights that stay as they were learnt.

New items and users, and everything that users did since, are taken up; vectors of users and the index are made anew.
The network is not fitted and nothing is measured: the result repeats the metrics of the model that it began from, which
tell of the same weights. What the columns of new items predict of them is learnt from the items that were there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.artifacts import open_artifact
from common.errors import invalid
from common.storage import open_store
from common.vocabulary import Vocabulary
from recipes.catalog import get_recipe
from recipes.components.cold_start import predict_new_cold_vectors
from recipes.ports import FitProgress, SupportsIncrementalUpdate
from recipes.registry import open_scorer
from trainer.training.artifact_writer import pack
from trainer.training.loading import load
from trainer.training.objective_bias import apply_objective, remove_objective, save_biases
from trainer.training.pipeline import INDEX_FILE, index_model, told_measurements
from trainer.training.progress import Stages
from trainer.training.spec import ARTIFACT, TrainingResult, TrainingSpec

__all__ = ["update"]


def update(order: TrainingSpec, folder: Path, *, progress: FitProgress) -> TrainingResult:
    """Open, load, take up what is new, and write the artifact's files into `folder`/artifact.

    Raises:
        InvalidInput: Too little data, or the recipe cannot be updated.
        ResourceNotFound: The artifact to begin from, or a table, was deleted.
        CorruptArtifact: The artifact to begin from is damaged.
        Unavailable: The store cannot be reached.
    """
    assert order.base is not None, "it is what makes an order one for an update"
    stages, declared = Stages(), get_recipe(order.recipe)
    progress(fraction=0.0, stage="loading data", metrics={})
    store = open_store(order.store_settings())
    with stages.stage("load"):
        base = open_artifact(store, order.base, cache=folder / "base")
        loaded = load(store, order, event_types=list(base.manifest.event_types))
        scorer = remove_objective(open_scorer(declared, base.folder), base.folder)
    if base.manifest.recipe != declared.name or not isinstance(scorer, SupportsIncrementalUpdate):
        raise invalid("trainingMode", got="UPDATE", want=f"FULL: {base.manifest.recipe} knows no other")
    progress(fraction=0.4, stage="taking up what is new", metrics={})
    with stages.stage("update"):
        before = _before(loaded.items, Vocabulary.load(base.folder, "items"))
        updated = scorer.updated(before, loaded.data.histories())
        updated.item_vectors = predict_new_cold_vectors(updated, loaded.data, before, seed=order.seed)
        updated, biases = apply_objective(updated, loaded, order)
    artifact = folder / ARTIFACT
    artifact.mkdir()
    progress(fraction=0.6, stage="indexing", metrics={})
    with stages.stage("index"):
        calibration = index_model(updated, loaded.data.histories(), artifact / INDEX_FILE, order)
    with stages.stage("pack"):
        pack(updated, declared, loaded, artifact)
        save_biases(biases, artifact)
    return TrainingResult(
        recipe_config_json=base.manifest.recipe_config_json,
        n_items=loaded.data.n_items,
        n_users=loaded.data.n_users,
        event_types=loaded.data.event_types,
        dimensions=updated.item_vectors.shape[1],
        metrics=dict(base.manifest.metrics),
        baselines={item.name: dict(item.metrics) for item in base.manifest.baselines},
        chosen_index=calibration.chosen.index,
        measurements=told_measurements(calibration),
        stage_seconds=stages.seconds,
    )


def _before(now: Vocabulary, then: Vocabulary) -> NDArray[np.int64]:
    """Return the index that each item had, -1 for new ones: int64 [n_items]."""
    return then.indexes(now.ids(range(len(now)))).astype(np.int64)
