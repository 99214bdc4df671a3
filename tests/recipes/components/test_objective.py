"""An objective shares the emphasis with relevance as it says, and rewards are those of Personalize's own definition."""

import numpy as np
import pytest
from scipy.special import ndtri

from recipes.catalog import get_recipe
from recipes.components.objective import average_rewards, normal_scores, objective_biases, spread
from recipes.data.histories import History
from recipes.ports import AcceptsItemBias
from recipes.registry import make_fitter, open_scorer, read_config
from recipes.retrieval.top_k import top_k
from tests.recipes.suite import N_ITEMS, ring_walks, walk


def test_values_become_normal_scores_by_rank_alone():
    scores = normal_scores(np.array([5.0, 1e9, -3.0, np.nan]))
    middle, high = ndtri((2 - 0.375) / 3.25), ndtri((3 - 0.375) / 3.25)
    assert scores.tolist() == pytest.approx([middle, high, -high, 0.0])
    assert middle == pytest.approx(0.0)


def test_equal_values_score_alike():
    assert normal_scores(np.array([7.0, 7.0, 7.0])).tolist() == pytest.approx([0.0] * 3)
    scores = normal_scores(np.array([1.0, 2.0, 2.0, 3.0]))
    assert scores[1] == scores[2] == pytest.approx(0.0)


def test_medium_gives_the_objective_the_spread_of_relevance():
    random = np.random.default_rng(1)
    vectors = random.standard_normal((2000, 4)).astype(np.float32)
    queries = np.array([[1, 0, 0, 0], [0, 5, 0, 0], [0, 0, 9, 0]], np.float32)
    typical = spread(vectors, queries)
    assert typical == pytest.approx(5.0, rel=0.1)

    biases = {
        name: objective_biases(random.random(2000), sensitivity=name, spread=typical)
        for name in ("OFF", "LOW", "MEDIUM", "HIGH")
    }
    assert not biases["OFF"].any()
    assert biases["LOW"].std() == pytest.approx(typical / 3, rel=0.02)
    assert biases["MEDIUM"].std() == pytest.approx(typical, rel=0.02)
    assert biases["HIGH"].std() == pytest.approx(3 * typical, rel=0.02)
    assert biases["HIGH"].dtype == np.float32


def test_rewards_are_the_share_earned_among_the_most_rewarding_recommendations():
    values = np.arange(40.0)
    recommended = np.array([np.arange(40), np.arange(40)[::-1]], np.int32)
    # The 25 most rewarding recommendations are items 15 to 39: of 30 + 10 used, 30 are among them; then all of 20.
    hidden = [np.array([30, 10], np.int32), np.array([20], np.int32)]
    assert average_rewards(recommended, hidden, values) == pytest.approx((30 / 40 + 1) / 2)


def test_users_who_used_nothing_that_rewards_are_left_out():
    recommended = np.array([[0, 1], [0, 1]], np.int32)
    hidden = [np.array([1], np.int32), np.array([5], np.int32)]
    assert average_rewards(recommended, hidden, np.array([0.0, 2.0, 0, 0, 0, 9.0])) == 1.0
    assert average_rewards(recommended, hidden, np.array([np.nan, -2.0, 0, 0, 0, 9.0])) == 0.0


@pytest.fixture(scope="module")
def scorer():
    declared = get_recipe("aws-user-personalization-v2")
    small = {"embedding_size": "8", "layers": "1", "max_length": "8", "epochs": "2"}
    return make_fitter(declared, read_config(declared, small), seed=1).fit(ring_walks())


def test_favoured_items_gain_what_they_are_given_for_every_user(scorer, tmp_path):
    assert isinstance(scorer, AcceptsItemBias)
    biases = np.linspace(-1, 1, N_ITEMS).astype(np.float32)
    biased = scorer.with_item_bias(biases)
    biased.save(tmp_path)
    loaded = open_scorer(get_recipe("aws-user-personalization-v2"), tmp_path)
    for history in (History.of_items([]), History.of_items(walk(3, 4))):
        before = scorer.item_vectors @ scorer.embed_history(history)
        for made in (biased, loaded):
            gained = made.item_vectors @ made.embed_history(history) - before
            np.testing.assert_allclose(gained, biases, atol=1e-5)


def test_the_more_sensitive_the_more_valuable_is_what_comes_first(scorer):
    values = np.arange(N_ITEMS, dtype=np.float64)
    history = History.of_items(walk(3, 4))
    width = spread(scorer.item_vectors, scorer.embed_history(history)[None])
    means = []
    for sensitivity in ("OFF", "LOW", "MEDIUM", "HIGH"):
        made = scorer.with_item_bias(objective_biases(values, sensitivity=sensitivity, spread=width))
        means.append(values[top_k(made.item_vectors @ made.embed_history(history), 8)].mean())
    assert means == sorted(means)
    assert means[-1] > means[0] + 5
