"""What a fit holds out is what users did last, and what is left is everything else."""

import numpy as np
import pytest

from common.errors import InvalidInput
from recipes.data.histories import Histories, History
from recipes.ports import ScoreDelta
from recipes.training.early_stopping import Validation, hold_out


def walks(*lengths):
    """Give user u the items 100 u, 100 u + 1 and so on; what was done and when follow from the item."""
    items = np.concatenate([100 * user + np.arange(length) for user, length in enumerate(lengths)]).astype(np.int32)
    offsets = np.cumsum([0, *lengths])
    return Histories(offsets, items, (items % 7).astype(np.uint8), 60 * items.astype(np.int64))


def held_out(lengths, wanted, seed=0):
    histories = walks(*lengths)
    validation, kept = hold_out(histories, wanted=wanted, seed=seed)
    return histories, validation, kept


def test_the_last_step_of_every_user_with_two_is_held_out():
    _, validation, kept = held_out([3, 1, 2], wanted=2)
    assert validation.targets.tolist() == [2, 201]
    assert [validation.histories.of(row).items.tolist() for row in range(2)] == [[0, 1], [200]]
    assert kept.tolist() == [True, True, False, True, True, False]


def test_shown_steps_keep_what_was_done_and_when():
    _, validation, _ = held_out([3, 1, 2], wanted=2)
    shown = validation.histories
    assert shown.event_types.tolist() == (shown.items % 7).tolist()
    assert shown.times.tolist() == (60 * shown.items).tolist()


def test_no_more_users_than_wanted_are_asked_and_the_seed_chooses_them():
    def asked(seed):
        return (held_out([5] * 50, wanted=10, seed=seed)[1].targets // 100).tolist()

    assert len(set(asked(1))) == 10
    assert asked(1) == asked(1) == sorted(asked(1))
    assert asked(1) != asked(2)


def test_of_few_users_up_to_a_tenth_of_their_steps_is_held_out():
    _, validation, kept = held_out([40, 5], wanted=100)
    assert validation.targets.tolist() == [39, 38, 37, 36, 104]
    assert [validation.histories.of(row).items.tolist() for row in (0, 3)] == [list(range(39)), list(range(36))]
    assert kept.sum() == 40


def test_no_more_steps_of_each_user_than_are_needed_are_held_out():
    assert held_out([100, 100], wanted=4)[1].targets.tolist() == [99, 98, 199, 198]


def test_data_without_two_steps_of_anybody_are_refused():
    with pytest.raises(InvalidInput, match="users with at least 2 interactions"):
        held_out([1, 0, 1], wanted=5)


class Next:
    """A scorer of four items that ranks them by index, the highest first, and adds to what was used."""

    def __init__(self, value):
        self.item_vectors = np.arange(4, dtype=np.float32)[:, None]
        self._value = value

    def embed_histories(self, histories):
        return np.ones((len(histories), 1), np.float32)

    def score_deltas(self, history):
        used = np.unique(history.items)
        return ScoreDelta(used, np.full(len(used), self._value, np.float32))


def test_a_scorer_is_judged_with_its_adjustments():
    histories = Histories.gather([History.of_items([3])])
    first = np.zeros(1, np.int64)
    validation = Validation(histories, np.array([2], np.int32), np.ones(1, np.float32), first, first)
    assert validation.judge(Next(0.0)) == pytest.approx((1 / np.log2(3), 1.0))
    assert validation.judge(Next(-2.0)) == pytest.approx((1.0, 1.0))
    assert validation.judge(Next(0.0), queries=-np.ones((1, 1), np.float32)) == pytest.approx((1 / np.log2(4), 1.0))


def test_held_out_steps_weigh_what_they_weighed():
    histories = walks(3, 1, 2)
    weights = np.array([1, 2, 3, 4, 5, 6], np.float32)

    assert hold_out(histories, wanted=2, seed=0, weights=weights)[0].weights.tolist() == [3, 6]
    assert hold_out(histories, wanted=2, seed=0)[0].weights.tolist() == [1, 1]
    nothing = np.array([1, 1, 0, 1, 1, 0], np.float32)
    assert hold_out(histories, wanted=2, seed=0, weights=nothing)[0].weights.tolist() == [1, 1]
