"""Items are as old as their creation, else as their first use, else as the caller says."""

import numpy as np

from recipes.components.item_age import creation_times
from recipes.data.columns import NO_TIME, Columns
from recipes.data.training_data import Interactions, TrainingData


def uses(*, created=None):
    """Let item 0 be used at 30, then at 10, item 1 at 20, and items 2 and 3 never."""
    interactions = Interactions.sort(np.zeros(3, int), item=np.array([0, 0, 1]), timestamp=np.array([30, 10, 20]))
    return TrainingData(interactions, 1, 4, items=Columns(created=created))


def test_without_creation_times_the_first_use_counts():
    assert creation_times(uses(), unused=99).tolist() == [10, 20, 99, 99]


def test_a_creation_time_counts_more_than_uses():
    created = np.array([5, NO_TIME, 7, NO_TIME])
    assert creation_times(uses(created=created), unused=NO_TIME).tolist() == [5, 20, 7, NO_TIME]


def test_data_without_interactions_are_no_error():
    nothing = uses().where(np.zeros(3, bool))
    assert creation_times(nothing, unused=-1).tolist() == [-1] * 4
