"""The version before, as it was measured then, on the test users of today.

What is served has learnt from everybody, the test users included, and would seem better than it is. So every version
keeps a second artifact, the model without the test users, and this is what is compared. The two versions' items and
event types are matched by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.artifacts import Artifact, open_artifact, read_manifest
from common.errors import CorruptArtifact, ResourceNotFound
from common.logs import get_logger
from common.storage import Store
from common.vocabulary import Vocabulary
from recipes.evaluation.exam import Exam
from recipes.evaluation.metrics import LIST_LENGTH, UserValues
from recipes.evaluation.ranking import both_lists, by_scorer, codes_of_users, situated_queries
from recipes.evaluation.split import Split
from recipes.interface import Histories, ItemIndexes, Scorer, Situated
from recipes.registry import recipe as find_recipe
from recipes.registry import scorer_loader
from trainer.training.loading import LoadedData
from trainer.training.order import PredecessorOrder

__all__ = ["PredecessorValues", "measure_predecessor"]

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PredecessorValues:
    """What the predecessor earned of the test users.

    Attributes:
        solution_version_arn: Of the predecessor.
        users: Its metrics, lists as they are served; None when it cannot be measured.
        held_out: bool [m], test users that it has not learnt from either.
        reason: Why it cannot be measured.
    """

    solution_version_arn: str
    users: UserValues | None
    held_out: NDArray[np.bool_]
    reason: str = ""


def measure_predecessor(
    store: Store,
    order: PredecessorOrder,
    *,
    exam: Exam,
    loaded: LoadedData,
    keys: NDArray[np.uint64],
    cache: Path,
    situations: NDArray[np.int32] | None = None,
) -> PredecessorValues:
    """Measure the predecessor.

    Args:
        store: With its artifacts.
        order: Which.
        exam: Of the new version.
        loaded: Items and event types of the new version.
        keys: uint64 [n_users], see `recipes.evaluation.split.hold_out_lowest`.
        cache: Folder for files from a store that is not local.
        situations: int32 [test users, columns], the context that each is asked about in, in the new version's codes.

    Raises:
        Unavailable: The store cannot be reached.
    """
    nobody = np.zeros(len(exam.split.users), bool)
    arn = order.solution_version_arn
    try:
        manifest = read_manifest(store, order.artifact_location)
        if not manifest.measured_model:
            return PredecessorValues(arn, None, nobody, f"{arn} kept no model to be compared with")
        artifact = open_artifact(store, f"{order.artifact_location}/{manifest.measured_model}", cache=cache)
        users = exam.measure_lists(*_lists(artifact, exam.split, loaded, situations)).served.users
    except (ResourceNotFound, CorruptArtifact) as error:
        # Its own damage is no reason to have no successor.
        _log.warning("predecessor_unusable", solution_version_arn=arn, reason=error.message)
        return PredecessorValues(arn, None, nobody, f"{arn} cannot be measured: {error.message}")
    held_out = keys[exam.split.users] <= np.uint64(artifact.manifest.highest_test_key)
    return PredecessorValues(arn, users, held_out)


def _lists(
    artifact: Artifact, split: Split, loaded: LoadedData, situations: NDArray[np.int32] | None
) -> tuple[ItemIndexes, ItemIndexes]:
    """Let the predecessor recommend; its items are named by the new version's indexes, -1 for those that are gone."""
    manifest = artifact.manifest
    scorer = scorer_loader(find_recipe(manifest.recipe))(artifact.folder)
    items = Vocabulary.load(artifact.folder, "items")
    if len(items) != len(scorer.item_vectors):
        raise CorruptArtifact(f"`items.*.npy`: got {len(items)} items, want {len(scorer.item_vectors)}")
    known = _translated(split.histories, items=items, types=tuple(manifest.event_types), loaded=loaded)
    codes = _codes(scorer, loaded, situations)
    people = codes_of_users(scorer, loaded.data.users, n_users=loaded.data.n_users)
    queries = situated_queries(scorer, known, codes, people=None if people is None else people[split.users])
    scores = by_scorer(scorer, known, queries=queries)
    both = both_lists(scores, n_items=len(items), histories=known, limit=LIST_LENGTH)
    back = loaded.items.indexes(items.ids(range(len(items))))
    return back[both[0]], back[both[1]]


def _codes(scorer: Scorer, loaded: LoadedData, situations: NDArray[np.int32] | None) -> NDArray[np.int32] | None:
    """Return situations in the predecessor's codes; None where it knows of none."""
    table = scorer.context if isinstance(scorer, Situated) else None
    if situations is None or table is None or loaded.data.context is None:
        return None
    meaning = loaded.data.context.meaning
    return np.array([table.meaning.encode_row(meaning.describe(row)) for row in situations], np.int32)


def _translated(histories: Histories, *, items: Vocabulary, types: tuple[str, ...], loaded: LoadedData) -> Histories:
    """Return histories by the predecessor's numbers, without the steps with items that it does not know."""
    forth = items.indexes(loaded.items.ids(range(len(loaded.items))))
    places = {name: number for number, name in enumerate(types, start=1)}
    actions = np.array([0, *(places.get(name, 0) for name in loaded.data.event_types)], np.uint8)
    renamed = Histories(histories.offsets, forth[histories.items], actions[histories.actions], histories.times)
    return renamed.where(renamed.items >= 0)
