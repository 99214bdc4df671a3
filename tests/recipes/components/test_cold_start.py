"""Items that hardly anybody used get the vectors that their content predicts; others keep theirs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recipes.catalog import get_recipe
from recipes.components.cold_start import fit_cold_map, with_cold_items
from recipes.data.columns import CategoricalColumn, Columns
from recipes.evaluation.ranking import top_items
from recipes.registry import make_fitter, read_config
from recipes.retrieval.scoring import catalogue_scores
from tests.recipes.models.test_sasrec import SMALL
from tests.recipes.suite import N_ITEMS, RING, RINGS, RecipeSuite, ring_walks

#: Vectors of four kinds of items, and how much they are used; the last four items are of no, two, five and no uses.
KIND = np.arange(44) % 4
USES = np.append(np.full(40, 100), [0, 2, 5, 0])


def learnt():
    random = np.random.default_rng(4)
    return (random.standard_normal((4, 8))[KIND] + 0.1 * random.standard_normal((44, 8))).astype(np.float32)


def content():
    vectors = np.eye(4, dtype=np.float32)[KIND]
    vectors[43] = 0.0
    return vectors


def completed(vectors):
    queries = np.random.default_rng(5).standard_normal((20, 8)).astype(np.float32)
    scores = queries @ vectors.T
    scores[:, 0] = np.nan
    cold_map = fit_cold_map(vectors, content(), uses=USES, queries=queries, scores=scores)
    return with_cold_items(vectors, content(), cold_map, uses=USES)


def test_items_without_uses_are_put_among_their_kind():
    vectors = learnt()
    vectors[40] = 7.0
    actual = completed(vectors)
    means = np.array([vectors[:40][KIND[:40] == kind].mean(axis=0) for kind in range(4)])
    distances = np.linalg.norm(means - actual[40], axis=1)
    assert distances.argmin() == KIND[40]
    assert distances.min() < 0.3 * np.sort(distances)[1]


def test_items_with_few_uses_are_moved_part_of_the_way_and_others_not_at_all():
    vectors = learnt()
    twins = vectors.copy()
    twins[41] += 1.0
    actual, other = completed(vectors), completed(twins)
    np.testing.assert_allclose(other[41] - actual[41], 0.4, atol=0.02)  # two of five uses speak for the item itself
    assert actual.dtype == np.float32
    np.testing.assert_array_equal(actual[:40], vectors[:40])
    np.testing.assert_array_equal(actual[42:], vectors[42:])  # enough uses; nothing known of the content


def test_without_cold_items_the_array_is_the_same():
    vectors = learnt()
    observed = {"queries": np.ones((1, 8), np.float32), "scores": np.ones((1, 44), np.float32)}
    cold_map = fit_cold_map(vectors, content(), uses=USES, **observed)
    assert with_cold_items(vectors, content(), cold_map, uses=np.full(44, 5)) is vectors
    assert with_cold_items(vectors, np.zeros((44, 4), np.float32), cold_map, uses=USES) is vectors


def shelved(data, extra=0):
    names = [f"ring {item // RING}" if item < RINGS * RING else "door" for item in range(N_ITEMS)]
    names += [f"ring {row % RINGS}" for row in range(extra)]
    column = CategoricalColumn.of_values([(name,) for name in names])
    return replace(data, n_items=N_ITEMS + extra, items=Columns(categorical={"RING": column}))


class TestUserPersonalizationWithColumns(RecipeSuite):
    name = "aws-user-personalization-v2"
    hyperparameters = SMALL
    quality_floor = 0.95
    uses_randomness = True

    @classmethod
    def ring_data(cls):
        return shelved(ring_walks())


def fit(data):
    declared = get_recipe("aws-user-personalization-v2")
    return make_fitter(declared, read_config(declared, {**SMALL, "epochs": "6"}), seed=1).fit(data)


def test_columns_change_nothing_where_no_item_is_cold():
    plain, with_columns = fit(ring_walks()), fit(shelved(ring_walks()))
    assert plain.item_vectors.tobytes() == with_columns.item_vectors.tobytes()


def test_new_items_are_recommended_to_those_who_use_their_kind():
    data = shelved(ring_walks(), extra=RINGS)
    scorer = fit(data)
    histories = data.histories()
    lists = top_items(
        catalogue_scores(scorer, histories), n_items=data.n_items, histories=histories, limit=data.n_items
    )
    new = np.arange(N_ITEMS, data.n_items)
    first_new = [next(item for item in items if item in new) - N_ITEMS for items in lists.tolist()]
    walked = [histories.of(user).items[-1] // RING for user in range(data.n_users)]
    assert np.mean(np.array(first_new) == walked) > 0.9
