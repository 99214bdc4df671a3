"""Personalize's metrics of user segments: how many of the right users are in the first hundredth, for each query.

Of each user the oldest four fifths of the interactions are learnt from; the right users of an item, or of an attribute,
are those with one of the other interactions with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from common.errors import invalid
from recipes.data.histories import FloatArray, Histories, ItemIndexes
from recipes.data.training_data import TrainingData
from recipes.evaluation.evaluator import Measurement
from recipes.evaluation.metrics import UserValues
from recipes.evaluation.paired_tests import Pair
from recipes.models.ials.als import newest_uses
from recipes.models.user_segments.attributes import Attributes
from recipes.retrieval.top_k import top_k

__all__ = [
    "PRIMARY_METRIC", "Question", "Ranker", "SegmentSplit", "attribute_questions", "compare", "evaluate",
    "hold_out_newest", "item_questions", "sample",
]  # fmt: skip

#: Decides which of two versions is better. Hits are made with few popular items.
PRIMARY_METRIC: Final = "recall_at_1_percent"
_METRICS: Final = ("hits_at_1_percent", PRIMARY_METRIC)
_SHARE: Final = 0.2


class Question(NamedTuple):
    """A query and its answer.

    Attributes:
        items: int32 [k], the item, or those of the attribute.
        users: int32 [m], the right users, at least one.
    """

    items: ItemIndexes
    users: NDArray[np.int32]


#: Scores all users for a question: float32 [n_users], -inf for those that are left out.
Ranker = Callable[[Question], FloatArray]


@dataclass(frozen=True, slots=True)
class SegmentSplit:
    """What may be learnt from, and what users did afterwards.

    Attributes:
        training: The oldest interactions of each user.
        hidden: The newest of each user, none for users with few.
    """

    training: TrainingData
    hidden: Histories


def hold_out_newest(data: TrainingData) -> SegmentSplit:
    """Hide the newest fifth of each user's interactions, rounded down; where that is nothing at all, the newest one.

    Raises:
        InvalidInput: No user has two interactions.
    """
    histories = data.histories()
    lengths = histories.lengths()
    hidden = np.floor(lengths * _SHARE).astype(np.int64)
    if not hidden.any():
        hidden = (lengths >= 2).astype(np.int64)
    if not hidden.any():
        raise invalid("interactions", got="no user with two", want="users with at least 2 interactions")
    newest = np.arange(len(histories.items)) >= np.repeat(histories.offsets[1:] - hidden, lengths)
    return SegmentSplit(data.where(~newest), histories.where(newest))


def item_questions(split: SegmentSplit) -> list[Question]:
    """Return a question for each item that was used in the hidden interactions."""
    by_item = newest_uses(split.hidden, n_items=split.training.n_items).transposed(split.training.n_items)
    return [
        Question(np.array([item], np.int32), by_item.columns[by_item.span(item)])
        for item in np.flatnonzero(by_item.lengths())
    ]


def attribute_questions(split: SegmentSplit, attributes: Attributes) -> list[Question]:
    """Return a question for each category of which an item was used in the hidden interactions."""
    by_item = newest_uses(split.hidden, n_items=split.training.n_items).transposed(split.training.n_items)
    questions = []
    for items in attributes.all():
        spans = [by_item.columns[by_item.span(item)] for item in items]
        users = np.unique(np.concatenate([np.empty(0, np.int32), *spans]))
        if len(users):
            questions.append(Question(items, users))
    return questions


def sample(questions: Sequence[Question], limit: int, *, seed: int) -> list[Question]:
    """Draw so many questions, or take all."""
    if len(questions) <= limit:
        return list(questions)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(questions))[:limit])
    return [questions[place] for place in chosen]


def evaluate(questions: Sequence[Question], scores: Ranker, *, n_users: int) -> Measurement:
    """Measure a way to score users.

    Both metrics are means over the questions. They are kept user by user, so that users can be resampled: a user gains
    what the places that the user gets are worth, and weighs as much as these. So as many places are given in every
    draw, as there will be in every segment. The questions are not drawn: they are about the same users, and what they
    earn rises and falls together.

    Args:
        questions: At least one.
        scores: Scores all users for a question.
        n_users: Users of the data.

    Returns:
        `coverage`, and of the users in any segment `hits_at_1_percent` and `recall_at_1_percent`.
    """
    values = _user_values(questions, scores, left_out=np.zeros(n_users, bool))
    listed = values.weights[:, 0] > 0
    if not listed.any():
        return Measurement(0.0, UserValues(_METRICS, values.gains, np.ones_like(values.weights)))
    return Measurement(float(listed.mean()), values.where(listed))


def compare(
    questions: Sequence[Question], challenger: Ranker, champion: Ranker, *, left_out: NDArray[np.bool_]
) -> Pair:
    """Pair the metrics of two ways to score users, on the users in any segment of either.

    Args:
        questions: At least one.
        challenger: Scores users as the new model does.
        champion: Scores users as the model before does.
        left_out: bool [n_users], users who are neither listed nor looked for.
    """
    new, old = (_user_values(questions, each, left_out=left_out) for each in (challenger, champion))
    listed = (new.weights[:, 0] > 0) | (old.weights[:, 0] > 0)
    return Pair.of_users(new.where(listed), old.where(listed), primary_metric=PRIMARY_METRIC)


def _user_values(questions: Sequence[Question], scores: Ranker, *, left_out: NDArray[np.bool_]) -> UserValues:
    """Measure all users; those in no segment weigh nothing. A question without anybody to look for does not count."""
    n_users, answerable = len(left_out), 0
    size = max(1, round(n_users / 100))
    gains, weights = np.zeros((n_users, len(_METRICS))), np.zeros((n_users, len(_METRICS)))
    for question in questions:
        right = question.users[~left_out[question.users]]
        if not len(right):
            continue
        answerable += 1
        of_users = np.where(left_out, -np.inf, scores(question))
        chosen = top_k(of_users, size)
        chosen = chosen[np.isfinite(of_users[chosen])]
        worth = np.array([1.0, 1.0 / len(right)])
        gains[chosen] += np.isin(chosen, right)[:, None] * worth
        weights[chosen] += worth
    if weights.any():
        weights *= answerable / weights.sum(axis=0)
    return UserValues(_METRICS, gains, weights)
