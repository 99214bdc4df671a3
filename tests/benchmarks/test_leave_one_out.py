"""The leave-one-out protocol hides what it says, and measures what a model knows."""

import numpy as np
import pytest

from benchmarks.quality.leave_one_out import count_held_out, leave_one_out, metrics, run_recipe, run_rules
from recipes.catalog import RECIPES
from recipes.registry import config_class
from recipes.training.early_stopping import hold_out
from tests.recipes.suite import make_data, noise, ring_walks

QUICK = {"embedding_size": "16", "max_length": "8", "learning_rate": "0.01", "epochs": "15"}


def as_lists(histories):
    return [histories.of(user).items.tolist() for user in range(len(histories))]


def test_the_newest_is_the_target_and_the_second_newest_is_shown_but_not_learnt():
    split = leave_one_out(make_data([[0, 1, 2, 3], [4, 5], [6], [7, 8, 9]], n_items=10))
    assert as_lists(split.learnt.histories()) == [[0, 1], [4, 5], [6], [7]]
    assert as_lists(split.shown.histories()) == [[0, 1, 2], [4, 5], [6], [7, 8]]
    assert as_lists(split.histories) == [[0, 1, 2], [7, 8]]
    assert split.targets.tolist() == [3, 9]


def test_a_recipe_holds_out_the_second_newest_of_every_tested_user():
    split = leave_one_out(make_data([list(range(user % 40 + 1)) for user in range(80)], n_items=40))

    validation, _ = hold_out(split.shown.histories(), count=count_held_out(split), seed=1)

    newest = [history[-1] for history in as_lists(split.shown.histories()) if len(history) >= 2]
    assert validation.targets.tolist() == newest


def test_the_target_is_ranked_among_the_items_that_were_not_seen():
    split = leave_one_out(make_data([[0, 1, 2]], n_items=15))
    figures = metrics(lambda rows: np.arange(15, 0, -1, dtype=np.float32)[None, :], split)
    assert figures == {"ndcg_at_10": 1.0, "hit_rate_at_10": 1.0}


@pytest.mark.parametrize("extend", [False, True])
def test_a_trained_recipe_and_rules_find_what_was_planted(extend):
    split = leave_one_out(ring_walks())
    model = run_recipe("aws-user-personalization-v2", split, hyperparameters=QUICK, seed=1, extend=extend)
    assert model["hit_rate_at_10"] >= 0.95
    assert model["epochs"] >= 1
    assert run_rules(split)["hit_rate_at_10"] >= 0.95


#: Use cases of domains are custom recipes by another name, noise has no texts, the last two types recommend no items.
ITEM_RECIPES = [
    name
    for name, declared in RECIPES.items()
    if declared.domain is None
    and "INTERACTIONS" in declared.required_datasets
    and declared.recipe_type not in ("USER_SEGMENTATION", "PERSONALIZED_ACTIONS")
]


@pytest.mark.parametrize("name", ITEM_RECIPES)
def test_nobody_finds_anything_in_noise(name):
    # As small as each recipe can be made; a GRU is at least 32 wide.
    fields = config_class(RECIPES[name]).model_fields
    hyperparameters = {key: value for key, value in ({"hidden_dimension": "32"} | QUICK).items() if key in fields}
    figures = run_recipe(name, leave_one_out(noise()), hyperparameters=hyperparameters, seed=1)
    assert figures["hit_rate_at_10"] <= 0.2
