"""Embeddings are divided into what items' columns explain and the rest; cold items have the former alone."""

import numpy as np
import pytest

from recipes.components.item_features import ItemFeatures, network_parameters, with_projection

#: Three items of one kind and one of another; the last one of the first kind is cold.
FEATURES = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.float32)
COLD = np.array([0, 0, 1, 0], np.float32)


def parameters():
    embeddings = np.random.default_rng(3).standard_normal((4, 5)).astype(np.float32)
    return {"item_embeddings": embeddings, "item_biases": np.zeros(4, np.float32)}


def test_the_projection_is_that_of_a_ridge_regression():
    begin = parameters()
    projected = with_projection(begin, FEATURES)
    # Sums over the items of a kind, over their number and the penalty of 10.
    expected = [begin["item_embeddings"][:3].sum(axis=0) / 13, begin["item_embeddings"][3] / 11]
    np.testing.assert_allclose(projected["item_projection"], expected, rtol=1e-5)


def test_embeddings_begin_as_they_were_but_those_of_cold_items():
    begin = parameters()
    projected = with_projection(begin, FEATURES)
    read = network_parameters(projected, ItemFeatures(FEATURES, COLD))
    warm = COLD == 0
    np.testing.assert_allclose(read["item_embeddings"][warm], begin["item_embeddings"][warm], atol=1e-6)
    np.testing.assert_allclose(read["item_embeddings"][2], projected["item_projection"][0], atol=1e-6)
    assert set(read) == {"item_embeddings", "item_biases"}


def test_cold_items_are_neither_targets_nor_held_against_others():
    items = ItemFeatures(FEATURES, COLD)
    assert items.target_weights(np.array([1.0, 2.0, 3.0]), np.array([0, 2, 3])).tolist() == [1.0, 0.0, 3.0]
    biases = items.loss_biases(np.array([1.0, 2.0, 3.0, 4.0]))
    assert biases[[0, 1, 3]].tolist() == [1.0, 2.0, 4.0]
    assert np.exp(biases[2]) == pytest.approx(0.0, abs=0.0)


def test_without_features_a_network_reads_what_is_learnt():
    learnt = parameters()
    assert network_parameters(learnt, None) == learnt
