"""Training of what ranks users for items or attributes; its artifacts are for batch segment jobs, not for runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from common.artifacts import Artifact
from common.errors import InvalidInput
from protos.tailorbird.storage.v1 import artifact_manifest_pb2 as manifest_pb2
from recipes.data.histories import FloatArray, Histories
from recipes.evaluation.evaluator import Measurement
from recipes.evaluation.paired_tests import Pair
from recipes.models.user_segments.attributes import Attributes
from recipes.models.user_segments.evaluation import (
    PRIMARY_METRIC,
    Question,
    Ranker,
    SegmentSplit,
    compare,
    evaluate,
    hold_out_newest,
    sample,
)
from recipes.models.user_segments.score import SegmentScorer, Weights, open_segments
from trainer.domain.data_requirements import check_times
from trainer.training.artifact_writer import no_index, write_vocabularies
from trainer.training.loading import LoadedData, load
from trainer.training.offline_evaluation import OfflineEvaluation, evaluate_by
from trainer.training.program import Training

if TYPE_CHECKING:
    from recipes.models.user_segments.fit import AttributeAffinityFitter, ItemAffinityFitter

    SegmentFitter: TypeAlias = ItemAffinityFitter | AttributeAffinityFitter

__all__ = ["UserSegmentsSteps"]

#: Queries that a model is measured by at most, drawn at random.
_MAX_QUESTIONS: Final = 5000


class UserSegmentsSteps:
    """Trains models that rank users, with the newest fifth of all interactions held out: steps of `program.train`."""

    stage_names: tuple[str, ...] = ("load", "split", "fit", "evaluate", "compare", "extend", "pack")

    def __init__(self, training: Training) -> None:
        self._training = training

    def load(self) -> LoadedData:
        """Read the snapshot, whose interactions must have an order in time."""
        loaded = load(self._training.store, self._training.spec, folder=self._training.folder)
        times = loaded.data.interactions.timestamp
        check_times(first=int(times.min()), last=int(times.max()))
        return loaded

    def split(self, loaded: LoadedData) -> SegmentSplit:
        """Hold out the newest fifth of everybody's interactions."""
        return hold_out_newest(loaded.data)

    def tune(self, *_: object) -> dict[str, str]:
        """Tune nothing: the fitter chooses what there is to choose."""
        return {}

    def fit(self, fitter: SegmentFitter, split: SegmentSplit, _: LoadedData) -> SegmentScorer:
        """Learn from the oldest interactions of everybody."""
        return fitter.fit(split.training)

    def evaluate(
        self, fitter: SegmentFitter, model: SegmentScorer, split: SegmentSplit, loaded: LoadedData
    ) -> OfflineEvaluation:
        """Measure how many of those who used an item afterwards are in its segment, and of the most active users."""
        seed = self._training.spec.seed
        questions = sample(fitter.questions(split), _MAX_QUESTIONS, seed=seed)
        if not questions:
            raise InvalidInput("`interactions`: got none to measure by, want users with five or more interactions")
        rank = fitter.prepare(model, questions)(model.weights)

        def pair_with(artifact: Artifact) -> Pair:
            champion = _Champion.open(artifact, fitter, questions, loaded=loaded)
            return compare(questions, rank, champion.scores, left_out=champion.has_learnt_from(split.hidden))

        return evaluate_by(
            evaluate(questions, rank, n_users=loaded.data.n_users),
            {"active-users": _most_active(model, split.training.histories().lengths(), questions)},
            test_users=int((split.hidden.lengths() > 0).sum()),
            pair_with=pair_with,
            seed=seed,
        )

    def keep_measured(self, model: SegmentScorer, _: SegmentSplit, loaded: LoadedData, folder: Path) -> None:
        """Write the model and all ids; interactions were held out, not users."""
        folder.mkdir()
        model.save(folder)
        write_vocabularies(loaded, folder)

    def refit(self, fitter: SegmentFitter, _: SegmentScorer, loaded: LoadedData) -> SegmentScorer:
        """Learn on from all interactions."""
        return fitter.extend(loaded.data)

    def index(self, *_: object) -> manifest_pb2.IndexCalibration:
        """Build no index: nobody is served."""
        return no_index("none", self._training.spec)

    def export(self, model: SegmentScorer, loaded: LoadedData, folder: Path) -> None:
        """Write the model, all ids, and the attributes that users may be looked for by."""
        model.save(folder)
        write_vocabularies(loaded, folder)
        Attributes.of_columns(loaded.data.items, n_items=loaded.data.n_items).save(folder)

    def dimensions(self, model: SegmentScorer) -> int:
        """Return the length of the items' vectors."""
        return int(model.item_factors.shape[1])


def _most_active(model: SegmentScorer, uses: NDArray[np.int64], questions: Sequence[Question]) -> Measurement:
    """Measure the users with most interactions, the same for every query.

    For single items the baseline is given the benefit of the doubt: with users who know the item, or without.

    Args:
        model: Says who knows which item.
        uses: int64 [n_users], interactions that the model has learnt from.
        questions: Those that the model is measured by.
    """
    scores, n_users = uses.astype(np.float32), model.n_users
    plain = replace(model, activity=scores, weights=Weights(activity=1.0, earlier_use=-np.inf, period=0.0))
    nothing = np.zeros(n_users, np.float32)

    def without_users_of(question: Question) -> FloatArray:
        return plain.of_item(int(question.items[0]), affinity=nothing) if len(question.items) == 1 else scores

    rankers: list[Ranker] = [lambda _: scores, without_users_of]
    measured = [evaluate(questions, ranker, n_users=n_users) for ranker in rankers]
    return max(measured, key=lambda measurement: measurement.named()[PRIMARY_METRIC])


@dataclass(frozen=True, slots=True)
class _Champion:
    """The version before, as it was measured; ranks the users of now.

    Attributes:
        scorer: Its model, by its own indexes of users and items.
        rank: Ranks its own users by questions about its own items.
        questions: Each question by its identity, about its own items; those it does not know are left out.
        indexes: int32 [its users], the index that each has now, -1 for those that are gone.
        n_users: Number of the users of now.
    """

    scorer: SegmentScorer
    rank: Ranker
    questions: dict[int, Question]
    indexes: NDArray[np.int32]
    n_users: int

    @classmethod
    def open(
        cls, artifact: Artifact, fitter: SegmentFitter, questions: Sequence[Question], *, loaded: LoadedData
    ) -> _Champion:
        """Open a champion and translate the questions to its items.

        Args:
            artifact: Its model as it was measured.
            fitter: Of the new version, which prepares questions.
            questions: Those that the new version was measured by.
            loaded: Items and users of the new version.

        Raises:
            CorruptArtifact: Its files do not fit each other.
        """
        scorer, items, users = open_segments(artifact.folder)
        old_items = items.indexes(loaded.items.ids(range(len(loaded.items))))
        # The fitter distinguishes questions by their identity.
        translated = {
            id(question): Question(old_items[question.items][old_items[question.items] >= 0], question.users)
            for question in questions
        }
        answerable = [question for question in translated.values() if len(question.items)]
        return cls(
            scorer,
            fitter.prepare(scorer, answerable)(scorer.weights),
            translated,
            loaded.users.indexes(users.ids(range(len(users)))),
            loaded.data.n_users,
        )

    def scores(self, question: Question) -> FloatArray:
        """Score the users of now: float32 [n_users], -inf for those that it does not know, and for unknown items."""
        scores = np.full(self.n_users, -np.inf, np.float32)
        translated, present = self.questions[id(question)], self.indexes >= 0
        if len(translated.items):
            scores[self.indexes[present]] = self.rank(translated)[present]
        return scores

    def has_learnt_from(self, hidden: Histories) -> NDArray[np.bool_]:
        """Return of whom it has learnt from what is hidden now: bool [n_users].

        The newest fifth of a history is hidden, so what is hidden now was hidden or had not happened then, unless older
        interactions have been imported since.
        """
        first_hidden = np.full(self.n_users, np.iinfo(np.int64).max)
        users = np.flatnonzero(hidden.lengths())
        first_hidden[users] = hidden.times[hidden.offsets[users]]
        present = self.indexes >= 0
        learnt = np.zeros(self.n_users, bool)
        learnt[self.indexes[present]] = self.scorer.user_times[present] > first_hidden[self.indexes[present]]
        return learnt
