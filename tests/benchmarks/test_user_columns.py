"""The protocol of users' columns: who is a newcomer, what is asked of them, and where columns come from."""

import numpy as np

from benchmarks.quality.data import Dataset
from benchmarks.quality.user_columns import newcomers, with_users
from recipes.data.training_data import Interactions, TrainingData


def plain(users=8, length=15):
    user = np.repeat(np.arange(users), length)
    items = np.tile(np.arange(length), users)
    return TrainingData(Interactions.sort(user, item=items, timestamp=items), users, length)


def test_half_of_the_users_are_cut_to_their_first_interactions_and_asked_for_the_next_ten():
    learnt, new, next_steps = newcomers(plain(), n_shown=3, seed=1)
    assert len(new) == 4
    lengths = learnt.histories().lengths()
    assert lengths[new].tolist() == [3] * 4
    assert np.delete(lengths, new).tolist() == [15] * 4
    assert next_steps.items.tolist() == list(range(3, 13)) * 4


def test_columns_stand_at_the_indexes_of_their_users(tmp_path):
    path = tmp_path / "films.user"
    path.write_text("user_id:token\tage:token\tgender:token\n7\t31\tF\n9\t\tM\n")
    dataset = Dataset("films", plain(users=2), users=("8", "7"), items=())
    users = with_users(dataset, path, categories=["gender"], numbers=["age"]).users
    assert users.categorical["gender"].offsets.tolist() == [0, 0, 1]
    assert users.categorical["gender"].categories == ("F",)
    assert np.isnan(users.numeric["age"][0])
    assert users.numeric["age"][1] == 31
