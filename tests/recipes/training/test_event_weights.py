"""What events weigh decides what is predicted: clicks are many, purchases are few and worth more."""

from dataclasses import replace

import numpy as np
import pytest

from common.errors import InvalidInput
from recipes.catalog import get_recipe
from recipes.data.histories import Histories, History
from recipes.data.training_data import Interactions, TrainingData
from recipes.evaluation.ranking import by_scorer
from recipes.registry import make_fitter

CLICK, BUY = 1, 2
DOOR, CLICKED, BOUGHT, N_ITEMS = 0, 1, 2, 5
SMALL = {"embedding_size": "8", "layers": "1", "max_length": "4", "learning_rate": "0.02", "epochs": "6"}
#: Of the users' last steps only some are held out.
SMALL["validation_targets"] = "40"


def shoppers(users=160):
    """Let everybody enter by one door; three in four then click on one thing, one in four buys another."""
    bought = np.arange(users) % 4 == 0
    items = np.stack([np.full(users, DOOR), np.where(bought, BOUGHT, CLICKED)], axis=1)
    actions = np.stack([np.full(users, CLICK), np.where(bought, BUY, CLICK)], axis=1)
    interactions = Interactions.sort(
        np.repeat(np.arange(users), 2),
        item=items.ravel(),
        timestamp=np.tile(np.arange(2), users),
        event_type=actions.ravel(),
    )
    return TrainingData(interactions, users, N_ITEMS, ("click", "buy"))


def fit(data, *, extended=False, hyperparameters=SMALL):
    declared = get_recipe("aws-user-personalization-v2")
    made = make_fitter(declared, hyperparameters, seed=1)
    scorer = made.fit(data)
    return made.extend(data) if extended else scorer


def weighed(click, buy):
    return replace(shoppers(), event_weights=np.array([1.0, click, buy], np.float32))


def lead(scorer):
    """Return by how much what is bought scores above what is clicked on, for somebody at the door."""
    history = History(np.array([DOOR], np.int32), np.array([CLICK], np.uint8), np.zeros(1, np.int64))
    scores = by_scorer(scorer, Histories.gather([history]))(slice(0, 1))[0]
    return float(scores[BOUGHT] - scores[CLICKED])


@pytest.mark.parametrize("extended", [False, True])
def test_without_weights_the_more_frequent_event_leads_and_with_weights_the_one_worth_more(extended):
    # Clicks are three times as frequent; weighed 1 : 10, purchases are worth more than three times as much.
    assert lead(fit(shoppers(), extended=extended)) < 0
    assert lead(fit(weighed(0.1, 1.0), extended=extended)) > 0


def test_equal_weights_change_no_byte():
    plain, equal = fit(shoppers(), extended=True), fit(weighed(1.0, 1.0), extended=True)
    histories = shoppers().histories()
    assert plain.item_vectors.tobytes() == equal.item_vectors.tobytes()
    assert plain.embed_histories(histories).tobytes() == equal.embed_histories(histories).tobytes()


def test_events_that_all_weigh_nothing_cannot_be_learnt_from():
    with pytest.raises(InvalidInput, match="eventsConfig"):
        fit(weighed(0.0, 0.0))
