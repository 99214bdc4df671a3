"""Items that come after a training get the vectors that it would have predicted of them."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import CorruptArtifact
from recipes.catalog import get_recipe
from recipes.components.new_items import ContentEncoder, unremarkable_vector
from recipes.data.columns import CategoricalColumn, Columns
from recipes.data.histories import History
from recipes.registry import make_fitter, open_scorer, read_config
from tests.recipes.components.test_cold_start import SMALL, shelved
from tests.recipes.suite import N_ITEMS, RINGS, ring_walks

V2, V1, PLAIN = "aws-user-personalization-v2", "aws-user-personalization", "aws-hrnn"
SETTINGS = {V2: {**SMALL, "epochs": "6"}, V1: {"hidden_dimension": "32"}, PLAIN: {"hidden_dimension": "32"}}


def fit(name, data):
    recipe = get_recipe(name)
    config = read_config(recipe, SETTINGS[name]).model_copy(update={"epochs": 2} if name != V2 else {})
    return make_fitter(recipe, config, seed=1).fit(data)


@pytest.fixture(scope="module")
def fitted():
    """Models of a catalogue in which the last item of each ring was used by nobody."""
    data = shelved(ring_walks(), extra=RINGS)
    return {name: fit(name, data) for name in SETTINGS}


def rings(*names):
    return Columns(categorical={"RING": CategoricalColumn.of_values([(name,) if name else () for name in names])})


def test_a_new_item_gets_the_vector_of_an_item_that_nobody_used(fitted):
    scorer = fitted[V2]
    encoder = scorer.new_item_encoder()
    assert list(encoder.columns.categorical) == ["RING"]

    encoded = encoder.encode(rings(*(f"ring {ring}" for ring in range(RINGS))), n_rows=RINGS)

    assert encoded.described.all()
    np.testing.assert_allclose(encoded.vectors, scorer.item_vectors[N_ITEMS:], atol=1e-4)


@pytest.mark.parametrize("name", [V2, V1])
def test_an_item_whose_columns_say_nothing_scores_like_those_that_are_used_least(fitted, name):
    scorer = fitted[name]
    encoded = scorer.new_item_encoder().encode(rings(""), n_rows=1)

    assert encoded.described.tolist() == [False]
    assert not encoded.vectors[0, :-1].any()
    data = shelved(ring_walks(), extra=RINGS)
    uses = np.bincount(data.interactions.item, minlength=data.n_items)
    least = np.argsort(uses, kind="stable")[: -(-len(uses) // 10)]
    assert uses[least].max() == 0
    assert encoded.vectors[0, -1] == pytest.approx(np.median(scorer.item_vectors[least, -1]), abs=1e-5)


def test_a_recipe_that_learns_from_interactions_alone_knows_no_new_items(fitted):
    assert fitted[PLAIN].new_item_encoder() is None


@pytest.mark.parametrize("name", [V2, V1])
def test_what_was_saved_makes_the_same_vectors(fitted, name, tmp_path):
    scorer = fitted[name]
    scorer.save(tmp_path)
    opened = open_scorer(get_recipe(name), tmp_path)
    some = rings("ring 1", "", "ring 0")

    for loaded, made in zip(
        opened.new_item_encoder().encode(some, n_rows=3)[:2], scorer.new_item_encoder().encode(some, n_rows=3)[:2],
        strict=True,
    ):  # fmt: skip
        np.testing.assert_allclose(loaded, made, atol=1e-6)


def test_a_map_of_another_model_is_corrupt(fitted, tmp_path):
    fitted[V2].save(tmp_path)
    np.save(tmp_path / "new_item_weights.npy", np.zeros((3, 2), np.float32))
    with pytest.raises(CorruptArtifact, match="new_item_weights"):
        ContentEncoder.load(tmp_path)


@pytest.mark.parametrize("name", [V2, V1])
def test_steps_with_new_items_are_read_by_their_vectors(fitted, name):
    scorer = fitted[name]
    n_items = len(scorer.item_vectors)
    twins = scorer.item_vectors[[3, 8]]
    reading = scorer.with_new_items(twins, None)

    expected = scorer.embed_history(History.of_items([1, 8, 3]))
    np.testing.assert_array_equal(reading.embed_history(History.of_items([1, n_items + 1, n_items])), expected)
    # A model that does not know them passes them over.
    np.testing.assert_array_equal(
        scorer.embed_history(History.of_items([1, n_items + 1, n_items])), scorer.embed_history(History.of_items([1]))
    )


def test_an_unremarkable_vector_has_the_bias_of_a_tenth_of_the_items():
    vectors = np.column_stack([np.ones(20), np.arange(20.0)]).astype(np.float32)
    assert unremarkable_vector(vectors, np.arange(20)[::-1]).tolist() == [0.0, 18.5]
    assert unremarkable_vector(vectors[:0], np.empty(0, np.int64)).tolist() == [0.0, 0.0]
