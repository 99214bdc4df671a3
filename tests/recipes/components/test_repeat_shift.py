"""Repeats are shifted by what the order of lists gains, and not by what may be chance."""

import numpy as np
import pytest

from recipes.components.score_fusion.repeat_shift import _SHIFTS, _ranks, learn_repeat_shift
from recipes.data.histories import Histories, History
from recipes.ports import ScoreDeltas

SEEN, RIVAL = 0, 1


def shift(seen, rival, *, delta=0.0, weights=None, steps_of_a_user=1):
    """Let so many of the users of item 0, which scores 0 and a delta, go on to it, and so many to item 1 of score 1."""
    total = seen + rival
    return learn_repeat_shift(
        np.array([[0.0], [1.0], [-5.0]], np.float32),
        np.ones((total, 1), np.float32),
        lambda steps: ScoreDeltas(
            np.arange(len(steps) + 1), np.full(len(steps), SEEN, np.int32), np.full(len(steps), delta, np.float32)
        ),
        histories=Histories.gather([History.of_items([SEEN, SEEN])] * total),
        targets=np.array([SEEN] * seen + [RIVAL] * rival, np.int32),
        weights=np.ones(total, np.float32) if weights is None else weights,
        owners=np.arange(total) // steps_of_a_user,
    )


def test_repeats_that_stand_too_low_are_raised_just_above_their_rivals():
    assert shift(150, 50) == 1.5


def test_repeats_that_stand_too_high_are_lowered():
    assert shift(50, 150, delta=1.25) == -0.5


def test_repeats_that_stand_right_stay():
    assert shift(50, 150) == 0.0
    assert shift(150, 50, delta=2.0) == 0.0


def test_a_gain_that_may_be_chance_shifts_nothing():
    assert shift(103, 97) == 0.0


def test_steps_of_one_user_are_one_observation():
    assert shift(150, 50, steps_of_a_user=10) == 1.5
    assert shift(150, 50, steps_of_a_user=50) == 0.0


def test_steps_count_by_their_weight():
    light = np.array([0.1] * 150 + [1.0] * 50, np.float32)
    assert shift(150, 50, weights=light) == 0.0
    assert shift(3, 0, weights=np.zeros(3, np.float32)) == 0.0


@pytest.mark.parametrize("target", [2, 5])
def test_ranks_are_those_of_shifted_scores_with_ties_against_the_target(target):
    scores = np.array([0.5, 1.0, 0.5, 1.5, -1.0, 1.0, 0.0, 2.5], np.float32)
    seen = np.array([2, 3, 7], np.int32)
    for place, value in enumerate(_SHIFTS):
        shifted = scores.astype(np.float64)
        shifted[seen] += value
        assert _ranks(scores.copy(), seen, target)[place] == np.count_nonzero(shifted >= shifted[target])
