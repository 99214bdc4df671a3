"""Splits hide what they should and nothing else."""

import numpy as np
import pytest

from common.errors import InvalidInput
from recipes.data.training_data import Interactions, TrainingData
from recipes.evaluation.splits import MAX_TEST_USERS, hold_out_last, hold_out_lowest, hold_out_users
from tests.recipes.suite import make_data


def hundred_users(length=20):
    return make_data([np.arange(length) + user for user in range(100)], n_items=200)


def test_a_tenth_of_the_users_is_unknown_to_the_model():
    split = hold_out_users(hundred_users(), seed=1)
    assert len(split.users) == 10
    assert not np.isin(split.training.interactions.user, split.users).any()
    assert len(split.training.interactions) == 90 * 20
    assert (split.training.n_users, split.training.n_items) == (100, 200)


def test_the_newest_tenth_of_a_test_user_is_hidden():
    data = hundred_users()
    split = hold_out_users(data, seed=1)
    for row, user in enumerate(split.users):
        kept = data.histories().of(user).items.tolist()
        assert split.histories.of(row).items.tolist() == kept[:18]
        assert split.relevant.of(row).items.tolist() == kept[18:]


@pytest.mark.parametrize(("length", "hidden"), [(2, 1), (9, 1), (19, 1), (20, 2), (35, 3)])
def test_the_hidden_tenth_is_rounded_down_to_one_at_least(length, hidden):
    split = hold_out_users(hundred_users(length), seed=1)
    assert set(split.relevant.lengths().tolist()) == {hidden}
    assert set(split.histories.lengths().tolist()) == {length - hidden}


def test_users_of_one_interaction_are_learnt_from_and_never_tested():
    split = hold_out_users(make_data([[0, 1]] * 5 + [[2]] * 35, n_items=3), seed=1)
    assert len(split.users) == 4  # a tenth of all forty
    assert (split.users < 5).all()
    assert (split.training.interactions.item == 2).sum() == 35


def test_of_very_many_users_a_bounded_number_is_tested():
    users = np.repeat(np.arange(12 * MAX_TEST_USERS), 2)
    data = TrainingData(
        Interactions.sort(users, item=users % 7, timestamp=np.arange(len(users))),
        n_users=12 * MAX_TEST_USERS,
        n_items=7,
    )
    for split in (hold_out_users(data, seed=1), hold_out_lowest(data, keys=np.arange(data.n_users, dtype=np.uint64))):
        assert len(split.users) == MAX_TEST_USERS
        assert len(split.training.interactions) == 22 * MAX_TEST_USERS


def test_the_same_seed_draws_the_same_users():
    first, second, other = (hold_out_users(hundred_users(), seed=seed).users.tolist() for seed in (1, 1, 2))
    assert first == second
    assert first != other


def test_the_users_of_the_lowest_keys_are_tested():
    keys = np.arange(100, dtype=np.uint64)[::-1]
    split = hold_out_lowest(hundred_users(), keys=keys)
    assert split.users.tolist() == list(range(90, 100))
    assert not np.isin(split.training.interactions.user, split.users).any()
    assert split.relevant.lengths().tolist() == [2] * 10


def test_users_of_one_interaction_are_passed_over_however_low_their_keys():
    data = make_data([[2]] * 35 + [[0, 1]] * 5, n_items=3)
    assert hold_out_lowest(data, keys=np.arange(40, dtype=np.uint64)).users.tolist() == [35, 36, 37, 38]


def test_test_users_stay_when_others_come():
    keys = np.random.default_rng(1).integers(0, 2**63, 200).astype(np.uint64)
    before = hold_out_lowest(hundred_users(), keys=keys[:100]).users
    grown = make_data([np.arange(20) + user % 100 for user in range(200)], n_items=200)
    after = hold_out_lowest(grown, keys=keys).users
    still = after[keys[after] <= keys[before].max()]
    # Whoever is below the old limit was a test user then, or is new.
    assert set(still[still < 100]) <= set(before)
    assert len(set(before) & set(after)) >= 7


@pytest.mark.parametrize("split", [hold_out_users, hold_out_lowest])
def test_data_without_a_history_cannot_be_split(split):
    options = {"seed": 1} if split is hold_out_users else {"keys": np.zeros(2, np.uint64)}
    with pytest.raises(InvalidInput, match="`interactions`: got 'no user with two'"):
        split(make_data([[0], [1]], n_items=2), **options)


def test_the_last_interaction_of_everybody_is_hidden():
    split = hold_out_last(make_data([[0, 1, 2], [3], [4, 5]], n_items=6))
    assert split.users.tolist() == [0, 2]
    assert split.relevant.items.tolist() == [2, 5]
    assert [split.histories.of(row).items.tolist() for row in range(2)] == [[0, 1], [4]]
    learnt = split.training.histories()
    assert [learnt.of(user).items.tolist() for user in range(3)] == [[0, 1], [3], [4]]
