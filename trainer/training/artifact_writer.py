"""Writing the files that a runtime reads of a model of items: the index, the model, and its users as they are now."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from common.arrays import save_arrays
from inference.batch import embed_users, user_codes_of
from inference.past_events import PAST_ITEMS
from protos.tailorbird.storage.v1 import artifact_manifest_pb2 as manifest_pb2
from recipes.components.exploration import ItemAges
from recipes.data.histories import Histories
from recipes.ports import ItemScorer
from recipes.retrieval.annoy import build_annoy
from recipes.retrieval.calibration import calibrate
from recipes.spec import RecipeSpec
from trainer.training.loading import LoadedData
from trainer.training.spec import TrainingSpec

__all__ = ["no_index", "write_index", "write_users", "write_vocabularies"]

_INDEX_FILE: Final = "index.ann"
#: Users whose vectors an index is calibrated with.
_CALIBRATION_USERS: Final = 256


def write_index(
    scorer: ItemScorer, histories: Histories, folder: Path, spec: TrainingSpec
) -> manifest_pb2.IndexCalibration:
    """Build the Annoy index of a model, and measure whether it is worth having.

    Args:
        scorer: The model.
        histories: Of users to measure by, at best such as the model does not know.
        folder: The artifact's, existing.
        spec: Has the trees of the index and the recall that is wanted of it.

    Returns:
        Which index to serve with, and all that was measured.
    """
    path = folder / _INDEX_FILE
    build_annoy(scorer.item_vectors, path, seed=spec.seed, trees=spec.index_trees)
    chosen = np.random.default_rng(spec.seed).permutation(len(histories))[:_CALIBRATION_USERS]
    queries = scorer.embed_histories(histories.take(chosen))
    calibration = calibrate(
        scorer.item_vectors, queries, path=path, trees=spec.index_trees, recall_floor=spec.recall_floor
    )
    return manifest_pb2.IndexCalibration(
        chosen=calibration.chosen.index,
        recall_floor=spec.recall_floor,
        trees=spec.index_trees,
        measurements=[
            manifest_pb2.IndexMeasurement(
                index=item.index, search_k=item.search_k, recall_at_25=item.recall_at_25, micros=round(item.micros, 1)
            )
            for item in calibration.measurements
        ],
    )


def no_index(searched_as: str, spec: TrainingSpec) -> manifest_pb2.IndexCalibration:
    """Say that a kind has no index: `exact` where all is scored, `none` where nothing is searched."""
    return manifest_pb2.IndexCalibration(chosen=searched_as, recall_floor=spec.recall_floor, trees=spec.index_trees)


def write_vocabularies(loaded: LoadedData, folder: Path) -> None:
    """Write the ids of items and users into an existing folder."""
    loaded.items.save(folder, "items")
    loaded.users.save(folder, "users")


def write_users(scorer: ItemScorer, recipe: RecipeSpec, loaded: LoadedData, folder: Path) -> None:
    """Write all ids, the users' histories and past events, and the vectors of the histories, into an existing folder.

    Of a model that knows users' columns the vectors contain them, and each user's codes are written too. Where new
    items are explored, their ages are written.
    """
    histories = loaded.data.histories().newest(recipe.max_history)
    user_features = user_codes_of(scorer, loaded.data.users, n_users=loaded.data.n_users)
    if recipe.exploration != "none":
        ItemAges.of(loaded.data, loaded.shown).save(folder)
    write_vocabularies(loaded, folder)
    loaded.past.save(folder, PAST_ITEMS, users=loaded.users, items=loaded.items)
    save_arrays(
        folder,
        {
            "user_vectors": embed_users(scorer, histories, user_codes=user_features),
            "history_offsets": histories.offsets,
            "history_items": histories.items,
            "history_actions": histories.event_types,
            "history_times": histories.times,
            **({} if user_features is None else {"user_codes": user_features}),
        },
    )
