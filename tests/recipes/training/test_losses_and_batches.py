"""What sequence recipes share is what it claims: the losses, and the windows that epochs are cut into."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recipes.data.histories import Histories
from recipes.training.batching import batch_shapes, epoch_batches
from recipes.training.config import SequenceConfig
from recipes.training.losses import full_softmax_loss, sampled_softmax_loss


def loss_inputs(count=1500, n_items=40):
    random = np.random.default_rng(5)
    hidden, vectors = random.standard_normal((count, 8)), random.standard_normal((n_items, 8))
    biases, weights = random.standard_normal(n_items), random.random(count)
    targets = random.integers(0, n_items, count)
    return tuple(jnp.asarray(part, jnp.float32) for part in (hidden, vectors, biases)), targets, weights


def plain_loss(hidden, vectors, biases, targets, weights):
    likelihoods = jax.nn.log_softmax(hidden @ vectors.T + biases)
    return -(weights * likelihoods[jnp.arange(len(targets)), targets]).sum()


def test_the_chunked_loss_and_its_gradients_are_those_of_the_formula():
    inputs, targets, weights = loss_inputs()
    found = jax.value_and_grad(full_softmax_loss, argnums=(0, 1, 2))(*inputs, targets, weights)
    expected = jax.value_and_grad(plain_loss, argnums=(0, 1, 2))(*inputs, targets, weights)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3), found, expected)


def plain_sampled_loss(hidden, vectors, biases, targets, weights, sampled, log_draws):
    wanted = (hidden * vectors[targets]).sum(axis=1) + biases[targets]
    others = hidden @ vectors[sampled].T + biases[sampled] - log_draws
    others = jnp.where(sampled[None, :] == targets[:, None], -jnp.inf, others)
    total = jax.nn.logsumexp(jnp.concatenate([wanted[:, None], others], axis=1), axis=1)
    return (weights * (total - wanted)).sum()


def chunked_sampled_loss(hidden, vectors, biases, targets, weights, sampled, log_draws):
    ours, wanted = (vectors[sampled], biases[sampled] - log_draws), (vectors[targets], biases[targets])
    return sampled_softmax_loss(hidden, *ours, *wanted, targets, weights, sampled)


def draw_items(count, n_items=40):
    random = np.random.default_rng(6)
    chances = random.random(n_items) + 0.05
    chances /= chances.sum()
    sampled = random.choice(n_items, count, p=chances)
    return sampled, jnp.asarray(np.log(count * chances[sampled]), jnp.float32)


def test_the_sampled_loss_and_its_gradients_are_those_of_the_formula():
    inputs, targets, weights = loss_inputs()
    more = (targets, weights, *draw_items(30))
    found = jax.value_and_grad(chunked_sampled_loss, argnums=(0, 1, 2))(*inputs, *more)
    expected = jax.value_and_grad(plain_sampled_loss, argnums=(0, 1, 2))(*inputs, *more)
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3), found, expected)


def test_the_sampled_loss_estimates_the_full_one_however_items_are_sampled():
    inputs, targets, weights = loss_inputs(count=50)
    found = chunked_sampled_loss(*inputs, targets, weights, *draw_items(40_000))
    np.testing.assert_allclose(found, plain_loss(*inputs, targets, weights), rtol=0.02)


@pytest.mark.parametrize("longest", [2, 16, 17, 101])
def test_every_interaction_is_a_target_once(longest):
    random = np.random.default_rng(longest)
    lengths = random.integers(0, 250, 60)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    histories = Histories.of_items(offsets, np.arange(offsets[-1]))
    shapes = batch_shapes(lengths, longest=longest, batch_tokens=8 * longest)

    batches = epoch_batches(histories, np.ones(offsets[-1], np.float32), shapes=shapes, random=random)

    targets = np.concatenate([batch.items[batch.weights > 0] for batch in batches])
    assert len(np.unique(targets)) == len(targets)
    # Left out are only beginnings of windows within a history, where the start token does not stand for its beginning.
    cuts = len(histories.items) - len(targets)
    assert 0 <= cuts <= (lengths // longest + 1).sum()
    assert np.isin(offsets[:-1][lengths > 0], targets).all()
    assert {batch.items.shape for batch in batches} <= set(shapes)


def test_rows_of_a_batch_are_runs_of_one_history():
    histories = Histories.of_items(np.array([0, 40, 43]), np.arange(43))
    shapes = batch_shapes(histories.lengths(), longest=20, batch_tokens=60)
    batches = epoch_batches(histories, np.ones(43, np.float32), shapes=shapes, random=np.random.default_rng(0))
    weighted = [pair for batch in batches for pair in zip(batch.items, batch.weights, strict=True) if pair[1].any()]
    rows = [row[: np.flatnonzero(mass)[-1] + 1] for row, mass in weighted]
    assert all((np.diff(row) == 1).all() and (row[0] >= 40) == (row[-1] >= 40) for row in rows)


def test_batches_carry_what_was_done_and_the_time_since_the_step_before():
    histories = Histories(
        np.array([0, 2, 5]), np.arange(5, dtype=np.int32), np.arange(5, dtype=np.uint8), np.array([9, 10, 0, 4, 5])
    )
    (batch,) = epoch_batches(histories, np.ones(5, np.float32), shapes=[(2, 4)], random=np.random.default_rng(0))
    rows = np.argsort(batch.items[:, 0])
    assert batch.items[rows].tolist() == [[0, 1, 0, 0], [2, 3, 4, 0]]
    assert batch.event_types[rows].tolist() == [[0, 1, 0, 0], [2, 3, 4, 0]]
    assert batch.gaps[rows, :3].tolist() == [[0, 1, 0], [0, 3, 1]]


@pytest.mark.parametrize(
    ("interactions", "share"), [(1, 0.4), (25_000, 0.4), (79_057, 0.3), (250_000, 0.2), (10_000_000, 0.2)]
)
def test_more_is_dropped_where_items_have_few_interactions(interactions, share):
    assert SequenceConfig().dropout_for(interactions=interactions, items=1000) == pytest.approx(share, abs=1e-4)


def test_a_share_that_was_asked_for_is_dropped_everywhere():
    assert SequenceConfig(dropout=0.1).dropout_for(interactions=10, items=1000) == 0.1
