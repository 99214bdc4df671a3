"""iALS gives the vectors of least loss, and tells groups of users apart."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from common.errors import CorruptArtifact
from recipes.data.histories import Histories, History
from recipes.models.ials.als import Factors, factorise, newest_uses, solve
from recipes.models.ials.config import IALSConfig
from recipes.models.ials.fit import IALSFitter
from recipes.models.ials.score import load
from tests.recipes.suite import NOISE_ITEMS, RecipeSuite, creatures_of_habit, make_data, ring_walks


class TestIALS(RecipeSuite):
    name = "tailorbird-ials"
    # The order of a history says nothing to it: of the items of a ring that are left it knows no better than to guess.
    quality_floor = 0.3
    hyperparameters: ClassVar = {"embedding_size": "16", "epochs": "8"}
    uses_randomness = True


def uses_of(*rows, n_items):
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return newest_uses(Histories.of_items(offsets, np.concatenate(rows)), n_items=n_items)


def test_rows_keep_the_newest_use_of_each_item():
    uses = uses_of([3, 1, 3, 2], [0], n_items=4)
    assert uses.columns.tolist() == [1, 3, 2, 0]
    assert uses.values.tolist() == [1.0] * 4
    assert uses.transposed(4).columns.tolist() == [1, 0, 0, 0]
    assert uses.transposed(4).offsets.tolist() == [0, 1, 2, 3, 4]


def test_vectors_of_users_are_the_ones_with_the_least_loss():
    random = np.random.default_rng(1)
    items = random.standard_normal((6, 3)).astype(np.float32)
    weights, regularization = np.array([1.0, 0.5], np.float32), 0.2
    uses = replace(uses_of([4, 2], n_items=6), values=weights)
    (solved,) = solve(uses, items, regularization=regularization)

    def loss(vector):
        products = items @ vector
        used = weights @ (1 - products[[4, 2]]) ** 2
        return used + 0.1 * products @ products + regularization * (1.5 + 0.1 * 6) * vector @ vector

    worse = [loss(solved + step) for step in random.standard_normal((50, 3)) * 0.05]
    assert loss(solved) < min(worse)


def test_weights_of_one_are_what_a_binary_matrix_has():
    items = np.random.default_rng(3).standard_normal((6, 3)).astype(np.float32)
    uses = uses_of([4, 2], [], [0, 1, 5], n_items=6)
    binary, weighed = (solve(uses, items, regularization=0.1, binary=binary) for binary in (True, False))
    np.testing.assert_allclose(binary, weighed, rtol=1e-5)
    assert not binary[1].any()


def test_factors_tell_two_groups_apart():
    uses = uses_of(*([0, 1, 2], [1, 2, 0]) * 5, *([3, 4, 5], [5, 3, 4]) * 5, n_items=6)
    factors = factorise(uses, Factors.random(20, 6, width=4, regularization=0.01, seed=2), sweeps=5)
    products = factors.users @ factors.items.T
    assert products[0, :3].min() > 0.7
    assert abs(products[0, 3:]).max() < 0.2


def fit(data, **values):
    return IALSFitter(IALSConfig(**{"embedding_size": 16, "epochs": 8, **values}), seed=1).fit(data)


def scores_of(scorer, history):
    scores = scorer.item_vectors @ scorer.embed_history(history)
    delta = scorer.score_deltas(history)
    scores[delta.items] += delta.values
    return scores


#: Users of two groups of six items, of which each used three.
GROUPS = [[group * 6 + (user + step) % 6 for step in range(3)] for group in range(2) for user in range(30)]


def test_events_count_at_once_for_a_user_that_was_not_learnt_from():
    scorer = fit(make_data(GROUPS, 12))
    for group in range(2):
        before = scores_of(scorer, History.of_items([group * 6]))
        after = scores_of(scorer, History.of_items([group * 6, (1 - group) * 6 + 1]))
        inside, outside = slice(group * 6, group * 6 + 6), slice((1 - group) * 6, (1 - group) * 6 + 6)
        assert before[inside].max() > before[outside].max()
        assert after[outside].max() > before[outside].max()


def test_a_user_is_folded_in_to_what_the_fit_would_have_solved():
    data = make_data(GROUPS, 12)
    made = IALSFitter(IALSConfig(embedding_size=16, epochs=8), seed=1)
    scorer = made.fit(data)
    uses = newest_uses(data.histories(), n_items=12)
    config = IALSConfig()
    solved = solve(
        uses,
        scorer.item_vectors[:, :-1],
        regularization=config.regularization,
        unobserved=config.unobserved_weight,
        binary=True,
    )
    embedded = scorer.embed_histories(data.histories())[:, :-1]
    np.testing.assert_allclose(embedded, made.report["scale"] * solved, rtol=1e-3, atol=1e-4)


def test_the_repeat_bias_is_learnt():
    def bias(data):
        made = IALSFitter(IALSConfig(embedding_size=16, epochs=8), seed=1)
        made.fit(data)
        return made.report["repeat_bias"]

    assert bias(creatures_of_habit()) > 5.0
    assert bias(ring_walks()) < -5.0


def test_scores_are_logits_whose_scale_the_held_out_steps_choose():
    tight, loose = (
        make_data(GROUPS, 12),
        make_data([np.random.default_rng(user).permutation(12)[:3] for user in range(60)], 12),
    )
    scales = []
    for data in (tight, loose):
        made = IALSFitter(IALSConfig(embedding_size=16, epochs=8), seed=1)
        made.fit(data)
        scales.append(made.report["scale"])
    assert scales[0] > scales[1]


def test_histories_of_one_step_hold_nothing_out_and_are_no_error():
    scorer = fit(make_data([[item] for item in range(NOISE_ITEMS)], NOISE_ITEMS))
    assert np.isfinite(scores_of(scorer, History.of_items([3]))).all()


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("gram", np.zeros((3, 3), np.float32), r"gram\.npy`: got shape \(3, 3\), want \(16, 16\)"),
        ("ials_settings", np.zeros(2), r"ials_settings\.npy`: got shape \(2,\), want four numbers"),
    ],
)
def test_files_that_do_not_fit_are_corrupt(tmp_path, name, array, message):
    fit(make_data(GROUPS, 12)).save(tmp_path)
    np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(CorruptArtifact, match=message):
        load(tmp_path)
