"""Losses and their gradients are those of the formulas, and the catalogue's size decides between them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recipes.training.config import SequenceConfig
from recipes.training.losses import FullSoftmax, SampledSoftmax, choose_loss


def loss_inputs(sequences=110, n_items=40):
    random = np.random.default_rng(5)
    hidden, vectors = random.standard_normal((sequences, 10, 8)), random.standard_normal((n_items, 8))
    biases, weights = random.standard_normal(n_items), random.random((sequences, 10))
    targets = random.integers(0, n_items, (sequences, 10))
    return tuple(jnp.asarray(part, jnp.float32) for part in (hidden, vectors, biases)), targets, weights


def plain_loss(hidden, vectors, biases, targets, weights):
    likelihoods = jax.nn.log_softmax(hidden @ vectors.T + biases)
    return -(weights * jnp.take_along_axis(likelihoods, targets[:, :, None], axis=2)[:, :, 0]).sum()


def test_the_chunked_loss_and_its_gradients_are_those_of_the_formula():
    inputs, targets, weights = loss_inputs()
    actual = jax.value_and_grad(FullSoftmax(), argnums=(0, 1, 2))(*inputs, targets, weights, ())
    expected = jax.value_and_grad(plain_loss, argnums=(0, 1, 2))(*inputs, targets, weights)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3), actual, expected)


def plain_sampled_loss(hidden, vectors, biases, targets, weights, sampled, log_draws):
    losses = []
    for states, items, weight in zip(hidden, targets, weights, strict=True):
        distinct, places = np.unique(items, return_inverse=True)
        of_sequence = states @ vectors[distinct].T + biases[distinct]
        of_sample = states @ vectors[sampled].T + biases[sampled] - log_draws
        of_others = of_sample[:, ~np.isin(sampled, distinct)]
        total = jax.nn.logsumexp(jnp.concatenate([of_sequence, of_others], axis=1), axis=1)
        losses.append((weight * (total - of_sequence[jnp.arange(len(items)), places])).sum())
    return sum(losses)


def draw_items(count, n_items=40):
    random = np.random.default_rng(6)
    return SampledSoftmax(count).negative_sampler(random.integers(0, 30, n_items))(random)


def test_the_sampled_loss_and_its_gradients_are_those_of_the_formula():
    inputs, targets, weights = loss_inputs()
    drawn = draw_items(30)
    actual = jax.value_and_grad(SampledSoftmax(30), argnums=(0, 1, 2))(*inputs, targets, weights, drawn)
    expected = jax.value_and_grad(plain_sampled_loss, argnums=(0, 1, 2))(*inputs, targets, weights, *drawn)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3), actual, expected)


def test_the_sampled_loss_estimates_the_full_one_however_items_are_sampled():
    inputs, targets, weights = loss_inputs(sequences=5)
    actual = SampledSoftmax(40_000)(*inputs, targets, weights, draw_items(40_000))
    np.testing.assert_allclose(actual, plain_loss(*inputs, targets, weights), rtol=0.02)


def test_items_are_sampled_by_a_power_of_their_popularity_and_say_how_often_they_are_expected():
    items, log_draws = SampledSoftmax(100_000).negative_sampler(np.array([0, 15, 80]))(np.random.default_rng(1))
    chances = np.array([1.0, 8.0, 27.0]) / 36.0  # (count + 1) ** 0.75
    np.testing.assert_allclose(np.bincount(items) / 100_000, chances, atol=0.005)
    np.testing.assert_allclose(np.exp(log_draws), 100_000 * chances[items], rtol=1e-5)


@pytest.mark.parametrize(("n_items", "loss"), [(5_000, FullSoftmax()), (5_001, SampledSoftmax(2048))])
def test_the_softmax_over_large_catalogues_is_sampled(n_items, loss):
    assert choose_loss(SequenceConfig(), n_items=n_items) == loss


def test_steps_of_equal_losses_are_compiled_once():
    assert hash(SampledSoftmax(24)) == hash(SampledSoftmax(24))
    assert SampledSoftmax(24) != SampledSoftmax(25)
