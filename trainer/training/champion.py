"""Predecessors, as they were measured, asked what the new version has been asked; all is matched by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.artifacts import Artifact
from common.errors import CorruptArtifact
from common.vocabulary import Vocabulary
from recipes.catalog import get_recipe
from recipes.data.histories import FloatArray, Histories, ItemIndexes
from recipes.evaluation.evaluator import Evaluator
from recipes.evaluation.metrics import LIST_LENGTH, UserValues
from recipes.evaluation.paired_tests import Pair
from recipes.evaluation.ranking import both_lists, by_scorer, codes_of_users, situated_queries
from recipes.evaluation.splits import Split
from recipes.models.action_propensity.data import ActionData
from recipes.models.action_propensity.samples import make_samples
from recipes.models.action_propensity.score import load as load_actions_scorer
from recipes.models.user_segments.evaluation import Question, Ranker
from recipes.models.user_segments.score import open_segments
from recipes.ports import ItemScorer, UsesSideFeatures
from recipes.registry import open_scorer
from trainer.training.loading import LoadedData

__all__ = ["PredecessorSegments", "measure_predecessor", "predecessor_propensities"]


def measure_predecessor(
    artifact: Artifact,
    model: UserValues,
    *,
    exam: Evaluator,
    loaded: LoadedData,
    keys: NDArray[np.uint64],
    situations: NDArray[np.int32] | None = None,
) -> Pair:
    """Measure a predecessor on the test users whom it has not learnt from either.

    Args:
        artifact: Its model as it was measured.
        model: What the new model earned of all test users, lists as they are served.
        exam: Of the new version.
        loaded: Items and event types of the new version.
        keys: uint64 [n_users], see `recipes.evaluation.splits.hold_out_lowest`.
        situations: int32 [test users, columns], the context that each is asked about in, in the new version's codes.

    Raises:
        CorruptArtifact: Its files do not fit each other.
    """
    users = exam.measure_lists(*_lists(artifact, exam.split, loaded, situations)).served.users
    held_out = keys[exam.split.users] <= np.uint64(artifact.manifest.highest_test_key)
    return Pair.of_users(model.where(held_out), users.where(held_out))


def _lists(
    artifact: Artifact, split: Split, loaded: LoadedData, situations: NDArray[np.int32] | None
) -> tuple[ItemIndexes, ItemIndexes]:
    """Let the predecessor recommend; its items are named by the new version's indexes, -1 for those that are gone."""
    manifest = artifact.manifest
    scorer = open_scorer(get_recipe(manifest.recipe), artifact.folder)
    items = Vocabulary.load(artifact.folder, "items")
    if len(items) != len(scorer.item_vectors):
        raise CorruptArtifact(f"`items.*.npy`: got {len(items)} items, want {len(scorer.item_vectors)}")
    known = _translated(split.histories, items=items, types=tuple(manifest.event_types), loaded=loaded)
    codes = _codes(scorer, loaded, situations)
    user_features = codes_of_users(scorer, loaded.data.users, n_users=loaded.data.n_users)
    queries = situated_queries(
        scorer, known, codes, user_features=None if user_features is None else user_features[split.users]
    )
    scores = by_scorer(scorer, known, queries=queries)
    both = both_lists(scores, n_items=len(items), histories=known, limit=LIST_LENGTH)
    back = loaded.items.indexes(items.ids(range(len(items))))
    return back[both[0]], back[both[1]]


def _codes(scorer: ItemScorer, loaded: LoadedData, situations: NDArray[np.int32] | None) -> NDArray[np.int32] | None:
    """Return situations in the predecessor's codes; None where it knows of none."""
    table = scorer.context if isinstance(scorer, UsesSideFeatures) else None
    if situations is None or table is None or loaded.data.context is None:
        return None
    meaning = loaded.data.context.meaning
    return np.array([table.meaning.encode_row(meaning.describe(row)) for row in situations], np.int32)


def _translated(histories: Histories, *, items: Vocabulary, types: tuple[str, ...], loaded: LoadedData) -> Histories:
    """Return histories by the predecessor's numbers, without the steps with items that it does not know."""
    forth = items.indexes(loaded.items.ids(range(len(loaded.items))))
    places = {name: number for number, name in enumerate(types, start=1)}
    actions = np.array([0, *(places.get(name, 0) for name in loaded.data.event_types)], np.uint8)
    renamed = Histories(histories.offsets, forth[histories.items], actions[histories.event_types], histories.times)
    return renamed.where(renamed.items >= 0)


def predecessor_propensities(
    artifact: Artifact, data: ActionData, *, actions: Vocabulary, loaded: LoadedData, period_days: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Let a predecessor say how likely actions are taken, at the events that the new version has been asked about.

    Args:
        artifact: Its model as it was measured.
        data: Of the new version.
        actions: Of the new version.
        loaded: Items and users of the new version.
        period_days: The optimization period of the new version.

    Returns:
        float64 [samples], in the order of the new version's samples, 0 for actions that it does not know; and whether
        it has learnt each action, bool [n_actions].

    Raises:
        CorruptArtifact: Its files do not fit each other.
    """
    scorer = load_actions_scorer(artifact.folder)
    own = {name: Vocabulary.load(artifact.folder, name) for name in ("actions", "items", "users")}
    sizes = {"actions": len(scorer.actions), "items": len(scorer.item_vectors), "users": len(scorer.totals)}
    for name, size in sizes.items():
        if len(own[name]) != size:
            raise CorruptArtifact(f"`{name}.*.npy`: got {len(own[name])} {name}, want {size}, as the other files tell")
    forth, places, user_features = (
        own[name].indexes(now.ids(range(len(now))))
        for name, now in (("items", loaded.items), ("actions", actions), ("users", loaded.users))
    )
    rows = data.items.interactions
    known = data.items.where(forth[rows.item] >= 0)
    renamed = replace(known.interactions, item=forth[known.interactions.item])
    content = np.zeros((len(user_features), scorer.user_content.shape[1]), np.float32)
    content[user_features >= 0] = scorer.user_content[user_features[user_features >= 0]]
    seen = replace(data, items=replace(known, interactions=renamed, n_items=sizes["items"]))
    samples = make_samples(seen, scorer.item_vectors[:, :-2], content, period_days=period_days)
    action = places[samples.action]
    shares = np.where(action >= 0, scorer.shares(samples.rows, action), 0.0)
    return shares, (places >= 0) & scorer.trained[places]


class PredecessorSegments:
    """A predecessor that ranks users.

    Args:
        artifact: Its model as it was measured.
        fitter: Of the new version, which prepares the questions.
        questions: That will be asked.
        loaded: Items and users of the new version.

    Raises:
        CorruptArtifact: Its files do not fit each other.
    """

    def __init__(self, artifact: Artifact, fitter: Any, questions: Sequence[Question], *, loaded: LoadedData) -> None:
        self._scorer, items, users = open_segments(artifact.folder)
        # Its users among those of now; -1 for those that are gone.
        self._places = loaded.users.indexes(users.ids(range(len(users))))
        self._n_users = loaded.data.n_users
        known = items.indexes(loaded.items.ids(range(len(loaded.items))))
        # The fitter tells questions apart by their identity.
        self._asked = {
            id(question): Question(known[question.items][known[question.items] >= 0], question.users)
            for question in questions
        }
        answerable = [question for question in self._asked.values() if len(question.items)]
        self._rank: Ranker = fitter.prepare(self._scorer, answerable)(self._scorer.weights)

    def scores(self, question: Question) -> FloatArray:
        """Score the users of now: float32 [n_users], -inf for those that it does not know, and for unknown items."""
        scores = np.full(self._n_users, -np.inf, np.float32)
        asked, told = self._asked[id(question)], self._places >= 0
        if len(asked.items):
            scores[self._places[told]] = self._rank(asked)[told]
        return scores

    def knows_of(self, hidden: Histories) -> NDArray[np.bool_]:
        """Say of whom it has learnt from what is hidden now: bool [n_users].

        The newest fifth of a history is hidden, so what is hidden now was hidden or had not happened then, unless older
        interactions have been imported since.
        """
        began = np.full(self._n_users, np.iinfo(np.int64).max)
        asked = np.flatnonzero(hidden.lengths())
        began[asked] = hidden.times[hidden.offsets[asked]]
        told = self._places >= 0
        found = np.zeros(self._n_users, bool)
        found[self._places[told]] = self._scorer.user_times[told] > began[self._places[told]]
        return found
