"""How data are divided for evaluation: Personalize's way, and leave-one-out for comparison with published figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.errors import invalid
from recipes.data.histories import Histories
from recipes.data.training_data import TrainingData

__all__ = ["MAX_TEST_USERS", "Split", "hold_out_last", "hold_out_lowest", "hold_out_users"]

#: Test users at most: a 95 % interval of a metric that deviates by 0.3 from user to user is 0.012 wide then, and what
#: an evaluation costs is bounded. All others are learnt from.
MAX_TEST_USERS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Split:
    """Data to learn from, and test users with what they did next.

    Attributes:
        training: What may be learnt from; users and items keep their indexes.
        users: int64 [m], the test users.
        histories: What each test user did before, which a model may look at to recommend.
        relevant: What each test user did next, which is hidden from the model.
    """

    training: TrainingData
    users: NDArray[np.int64]
    histories: Histories
    relevant: Histories


def hold_out_users(data: TrainingData, *, seed: int, share: float = 0.1) -> Split:
    """Split as Personalize does: some users are unknown to the model, and their newest interactions are hidden.

    Of the users with interactions a tenth are test users, `MAX_TEST_USERS` at most, drawn among those with at least two
    interactions. The oldest nine tenths of a test user's interactions are the history, the newest tenth, at least one,
    are relevant.

    Raises:
        InvalidInput: No user has two interactions.
    """
    histories = data.histories()
    lengths = histories.lengths()
    eligible = _eligible(lengths)
    users = np.sort(np.random.default_rng(seed).permutation(eligible)[: _count_test_users(lengths, share)])
    return _hold_out(data, histories, users, share=share)


def hold_out_lowest(data: TrainingData, *, keys: NDArray[np.uint64], share: float = 0.1) -> Split:
    """Split in the same way, with the users of the lowest keys as test users.

    With hashes of the users' ids as keys the test users of one version are, up to a few at the edge, those of the next,
    however the data grow. Whoever has a key up to the highest of the test users was not learnt from as a user of two or
    more interactions, so two versions can be compared on users that neither has seen.

    Args:
        data: All users and interactions.
        keys: uint64 [n_users], e.g. hashes of the users' ids.
        share: Share of the users that are test users, and of a test user's interactions that are hidden, 0 to 1.

    Raises:
        InvalidInput: No user has two interactions.
    """
    histories = data.histories()
    lengths = histories.lengths()
    eligible = _eligible(lengths)
    lowest = eligible[np.argsort(keys[eligible], kind="stable")[: _count_test_users(lengths, share)]]
    return _hold_out(data, histories, np.sort(lowest), share=share)


def hold_out_last(data: TrainingData) -> Split:
    """Hide the last interaction of every user with at least two."""
    histories = data.histories()
    lengths = histories.lengths()
    users = np.flatnonzero(lengths >= 2)
    kept = np.ones(len(data.interactions), bool)
    kept[histories.offsets[users + 1] - 1] = False
    shown, relevant = _cut(histories.take(users), np.ones(len(users), np.int64))
    return Split(data.where(kept), users, shown, relevant)


def _eligible(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the users with at least two interactions: int64 [k], ascending."""
    users = np.flatnonzero(lengths >= 2)
    if not len(users):
        raise invalid("interactions", got="no user with two", want="users with at least 2 interactions")
    return users


def _count_test_users(lengths: NDArray[np.int64], share: float) -> int:
    """Return the number of test users: a share of the users with interactions, 1 to `MAX_TEST_USERS`."""
    return min(MAX_TEST_USERS, max(1, round(share * int((lengths > 0).sum()))))


def _hold_out(data: TrainingData, histories: Histories, users: NDArray[np.int64], *, share: float) -> Split:
    hidden = np.maximum(1, np.floor(histories.lengths()[users] * share).astype(np.int64))
    learnt_from = np.ones(data.n_users, bool)
    learnt_from[users] = False
    shown, relevant = _cut(histories.take(users), hidden)
    return Split(data.where(learnt_from[data.interactions.user]), users, shown, relevant)


def _cut(histories: Histories, hidden: NDArray[np.int64]) -> tuple[Histories, Histories]:
    """Divide each history before its `hidden` newest items."""
    ends = np.repeat(histories.offsets[1:] - hidden, histories.lengths())
    newest = np.arange(len(histories.items)) >= ends
    return histories.where(~newest), histories.where(newest)
