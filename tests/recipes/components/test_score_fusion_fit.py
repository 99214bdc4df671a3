"""The fusion learns weights under which held-out steps are most likely; what says nothing of them gets none."""

import numpy as np
import pytest
from scipy.optimize import check_grad

from recipes.components.item_regression.score import ItemRegression
from recipes.components.score_fusion import fit
from recipes.components.score_fusion.fit import HeldOutSteps, _Posterior, learn_score_fusion
from recipes.components.score_fusion.score import POPULARITY_FEATURES
from recipes.components.sequential_rules import SequentialRules
from recipes.data.histories import Histories, History
from recipes.data.sparse import SparseRows

N_ITEMS = 6
#: Items 0 to 2 speak for 3 to 5.
REGRESSION = ItemRegression(
    SparseRows(np.array([0, 1, 2, 3, 3, 3, 3]), np.array([3, 4, 5], np.int32), np.array([0.2, 0.1, 0.1], np.float32))
)


def rules(*walks):
    return SequentialRules.count(Histories.gather([History.of_items(walk) for walk in walks]), n_items=N_ITEMS)


def held_out(targets):
    """Let users of one item, 0 to 2 in turn, go on to these; the network says nothing."""
    count = len(targets)
    return HeldOutSteps(
        Histories.gather([History.of_items([row % 3]) for row in range(count)]),
        np.array(targets, np.int32),
        queries=np.ones((count, 1), np.float32),
        item_vectors=np.zeros((N_ITEMS, 1), np.float32),
        popularity=np.zeros((POPULARITY_FEATURES, N_ITEMS), np.float32),
        repeat_bias=0.0,
        weights=np.ones(count, np.float32),
        owners=np.arange(count),
    )


def test_what_the_regression_foretells_gives_it_weight():
    fusion, regression = learn_score_fusion(held_out([3, 4, 5] * 40), rules(), REGRESSION, n_event_types=0)
    deltas = fusion.score_deltas(rules(), regression, History.of_items([0]))
    scores = np.zeros(N_ITEMS)
    scores[deltas.items] = deltas.values
    assert scores.argmax() == 3
    assert regression.weight * np.log1p(regression.places[0] * 0.1) > 2.0
    assert regression.weights is REGRESSION.weights


def test_a_regression_that_foretells_nothing_has_no_weight():
    fusion, regression = learn_score_fusion(held_out([4, 5, 3] * 40), rules(), REGRESSION, n_event_types=0)
    assert len(regression.places) == 0
    without, _ = learn_score_fusion(held_out([4, 5, 3] * 40), rules(), ItemRegression.nothing(), n_event_types=0)
    assert all(
        (before == after).all()
        for before, after in zip(without.arrays().values(), fusion.arrays().values(), strict=True)
    )


def test_a_regression_that_gains_less_than_two_more_weights_must_has_none(monkeypatch):
    steps = held_out([3, 4, 5] * 2)
    assert len(learn_score_fusion(steps, rules(), REGRESSION, n_event_types=0)[1].places)
    monkeypatch.setattr(fit, "_LEAST_GAIN", 20.0)
    assert not len(learn_score_fusion(steps, rules(), REGRESSION, n_event_types=0)[1].places)


@pytest.mark.parametrize("regression", [REGRESSION, ItemRegression.nothing()])
def test_the_slope_is_that_of_the_loss(regression):
    random = np.random.default_rng(2)
    steps = held_out(random.integers(0, N_ITEMS, 30))
    steps.item_vectors[:] = random.standard_normal((N_ITEMS, 1))
    steps.popularity[:] = random.standard_normal((POPULARITY_FEATURES, N_ITEMS))
    posterior = _Posterior(steps, rules([0, 1, 4], [2, 5, 3]), n_event_types=0)
    posterior.add(regression)
    at = posterior.start + 0.1 * random.random(len(posterior.start))

    difference = check_grad(
        lambda weights: posterior.loss_and_gradient(weights)[0],
        lambda weights: posterior.loss_and_gradient(weights)[1],
        at,
        epsilon=1e-3,
    )
    assert difference < 2e-3
