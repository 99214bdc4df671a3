"""Writing the files that a runtime reads of a model of items: the index, the model, and its users as they are now."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np

from common.arrays import save_arrays
from inference.batch import embed_users, user_codes_of
from inference.past_events import PAST_ITEMS
from protos.tailorbird.storage.v1 import artifact_manifest_pb2 as manifest_pb2
from recipes.components.item_age import ItemAges
from recipes.data.histories import Histories
from recipes.ports import ItemScorer
from recipes.retrieval.calibration import SCANNED_FROM, IndexCalibration, IndexMeasurement, calibrate
from recipes.spec import RecipeSpec
from trainer.training.loading import LoadedData
from trainer.training.spec import TrainingOptions, TrainingSpec

__all__ = ["calibration_message", "no_index", "write_index", "write_item_index", "write_users", "write_vocabularies"]

#: Queries that an index is measured with, and users that it is made from.
_QUERIES: Final = 256
_LEARNT_USERS: Final = 8_192
#: Every second query is of what a user did first, no more than this: new users ask for other things than old ones.
_FEW: Final = 3


def write_index(
    scorer: ItemScorer, folder: Path, spec: TrainingSpec | TrainingOptions, *, held_out: Histories, learnt: Histories
) -> manifest_pb2.IndexCalibration:
    """Build the indexes of a model, measure them, and keep the best.

    Args:
        scorer: The model.
        folder: The artifact's, existing.
        spec: Has the trees of a forest and the recall that is wanted.
        held_out: What queries are made of, at best of users that the model does not know.
        learnt: Of other users, by whom indexes are made.

    Returns:
        Which index to serve with, and all that was measured.
    """
    random = np.random.default_rng(spec.seed)
    chosen = random.permutation(len(held_out))[:_QUERIES]
    lengths = held_out.lengths()[chosen]
    lengths[::2] = np.minimum(lengths[::2], _FEW)
    queries = held_out.before(chosen, lengths)
    width, n_items = scorer.item_vectors.shape[1], len(scorer.item_vectors)
    users = np.empty((0, width), np.float32)
    if n_items >= SCANNED_FROM:
        active = np.flatnonzero(learnt.lengths() > 0)
        users = scorer.embed_histories(learnt.take(np.sort(random.permutation(active)[:_LEARNT_USERS])))
    calibration = calibrate(
        scorer.item_vectors,
        scorer.embed_histories(queries),
        user_vectors=users,
        folder=folder,
        seed=spec.seed,
        trees=spec.index_trees,
        recall_floor=spec.recall_floor,
    )
    return calibration_message(calibration, trees=spec.index_trees, queries=len(queries))


def calibration_message(calibration: IndexCalibration, *, trees: int, queries: int) -> manifest_pb2.IndexCalibration:
    """Return what a manifest says of a calibration.

    Args:
        calibration: What was measured and chosen.
        trees: Of a forest of the whole catalogue, where one is built.
        queries: Queries measured with.
    """
    return manifest_pb2.IndexCalibration(
        chosen=calibration.chosen.index,
        recall_floor=calibration.recall_floor,
        trees=trees,
        measurements=[_measurement(item) for item in calibration.measurements],
        setting=_measurement(calibration.chosen),
        has_scan=calibration.has_scan,
        distinct_items=calibration.distinct_items,
        queries=queries,
    )


def write_item_index(scorer: ItemScorer, folder: Path, spec: TrainingSpec) -> manifest_pb2.IndexCalibration:
    """Do the same for a model that is asked what is like an item: users are histories of one item each."""
    n_items = len(scorer.item_vectors)
    items = np.random.default_rng(spec.seed).permutation(n_items)[: _QUERIES + _LEARNT_USERS]
    held_out = min(_QUERIES, max(1, n_items // 2))
    alone = Histories.of_items(np.arange(len(items) + 1), items)
    return write_index(
        scorer,
        folder,
        spec,
        held_out=alone.take(np.arange(held_out)),
        learnt=alone.take(np.arange(held_out, len(items))),
    )


def no_index(searched_as: str, spec: TrainingSpec) -> manifest_pb2.IndexCalibration:
    """Say that a kind has no index: `exact` where all is scored, `none` where nothing is searched."""
    return manifest_pb2.IndexCalibration(chosen=searched_as, recall_floor=spec.recall_floor, trees=spec.index_trees)


def _measurement(item: IndexMeasurement) -> manifest_pb2.IndexMeasurement:
    values = asdict(item)
    values["micros"] = round(item.micros, 1)
    return manifest_pb2.IndexMeasurement(**values)


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
