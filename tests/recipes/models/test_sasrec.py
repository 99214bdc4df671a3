"""User-Personalization passes the contract suite; its NumPy pass is what it claims."""

from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import pytest

from common.errors import CorruptArtifact, InvalidInput
from recipes.data.histories import History
from recipes.data.training_data import Interactions, TrainingData
from recipes.models.sasrec.config import SASRecConfig
from recipes.models.sasrec.fit import SASRecFitter
from recipes.models.sasrec.network import SASRec
from recipes.models.sasrec.score import load
from recipes.training.sequence_model import target_weights
from tests.recipes.network_suite import MAX_LENGTH, WIDTH, NetworkSuite, as_steps, draw_parameters, served
from tests.recipes.suite import RecipeSuite, make_data, ring_walks

SMALL = {"embedding_size": "16", "max_length": "8", "learning_rate": "0.01", "dropout": "0.1", "epochs": "30"}


class TestUserPersonalization(RecipeSuite):
    name = "aws-user-personalization-v2"
    hyperparameters = SMALL
    quality_floor = 0.95
    uses_randomness = True


class TestUserPersonalizationSampled(RecipeSuite):
    name = "aws-user-personalization-v2"
    hyperparameters: ClassVar = {**SMALL, "full_softmax_items": "0", "sampled_items": "24"}
    quality_floor = 0.9  # a loss estimated from 24 samples a step is a rough one
    uses_randomness = True


@pytest.fixture(params=[(1, 1), (2, 2), (3, 4)], ids=["1 block", "2 blocks, 2 heads", "3 blocks, 4 heads"])
def both(request):
    layers, heads = request.param
    network = SASRec(width=WIDTH, layers=layers, heads=heads, max_length=MAX_LENGTH, dropout=0.0)
    return served(network, draw_parameters(network))


class TestNetwork(NetworkSuite):
    load = staticmethod(load)
    number = "heads"


def test_heads_that_do_not_divide_the_width_are_corrupt(both, tmp_path):
    both[2].save(tmp_path)
    np.save(tmp_path / "heads.npy", np.array(7, np.int32))
    with pytest.raises(CorruptArtifact, match="want a divisor of the width 24"):
        load(tmp_path)


def test_artifacts_from_before_distances_counted_are_served(both, tmp_path):
    arrays, network, scorer = both
    items = np.array([7, 3, 31, 12], np.int32)
    history = History(items, np.array([1, 2, 0, 1], np.uint8), np.cumsum([5, 900, 1, 40_000]))
    scorer.save(tmp_path)
    for name in ("attention_distances", "average_distances", "average_gain"):
        (tmp_path / f"{name}.npy").unlink()
    places = np.random.default_rng(5).standard_normal((MAX_LENGTH + 1, WIDTH)).astype(np.float32)
    np.save(tmp_path / "positions.npy", places)
    # No item comes twice, so what its place adds might be a part of its embedding.
    moved = {**arrays}
    for name in ("attention_distances", "average_gain"):
        moved[name] = np.zeros_like(arrays[name])
    moved["item_embeddings"] = arrays["item_embeddings"].copy()
    moved["item_embeddings"][items] += places[1 : len(items) + 1]
    moved["start"] = arrays["start"] + places[0]
    expected = network.states({name: jnp.asarray(value) for name, value in moved.items()}, as_steps(history))
    opened = load(tmp_path)
    np.testing.assert_allclose(opened.embed_history(history)[:-1], np.asarray(expected)[0, -1], atol=1e-4)
    (tmp_path / "again").mkdir()
    opened.save(tmp_path / "again")
    np.testing.assert_array_equal(load(tmp_path / "again").embed_history(history), opened.embed_history(history))


def test_how_far_back_a_step_is_counts():
    network = SASRec(width=WIDTH, layers=1, heads=2, max_length=MAX_LENGTH, dropout=0.0)
    arrays = draw_parameters(network)
    items = np.arange(9, dtype=np.int32)
    swapped = items.copy()
    swapped[[2, 6]] = items[[6, 2]]

    def vectors(scorer):
        histories = (History(order, np.ones(9, np.uint8), np.zeros(9, np.int64)) for order in (items, swapped))
        return [scorer.embed_history(history) for history in histories]

    first, second = vectors(served(network, arrays)[2])
    assert not np.allclose(first, second, atol=1e-2)
    # Nothing else tells one block in which order older steps were.
    arrays["attention_distances"][:] = arrays["average_distances"][:] = 0.0
    np.testing.assert_allclose(*vectors(served(network, arrays)[2]), atol=1e-4)


def test_what_was_done_with_an_item_tells_the_next():
    """Users see one item, and what they did with it decides which of two comes next."""
    doors = np.arange(400) % 2
    interactions = Interactions.sort(
        np.repeat(np.arange(400), 2),
        item=np.stack([np.zeros(400, np.int64), 1 + doors], axis=1).ravel(),
        timestamp=np.tile([0, 1], 400),
        event_type=np.stack([1 + doors, np.ones(400, np.int64)], axis=1).ravel(),
    )
    data = TrainingData(interactions, n_users=400, n_items=3, event_types=("view", "buy"))
    config = SASRecConfig.from_hyperparameters(SMALL | {"validation_targets": "40"})
    scorer = SASRecFitter(config, seed=0).fit(data)

    def ranked(action):
        history = History(np.zeros(1, np.int32), np.array([action], np.uint8), np.zeros(1, np.int64))
        deltas = scorer.score_deltas(history)
        scores = scorer.item_vectors @ scorer.embed_history(history)
        scores[deltas.items] += deltas.values
        return int(scores.argmax())

    assert (ranked(1), ranked(2)) == (1, 2)


def test_new_interactions_weigh_more_only_with_the_recency_bias():
    data = ring_walks()
    weights, times = target_weights(data, weighs_recency=True), data.interactions.timestamp
    assert (target_weights(data, weighs_recency=False) == 1.0).all()
    assert weights[times == times.max()].tolist() == [1.0] * int((times == times.max()).sum())
    assert 0.5 <= weights.min() < 0.7
    assert (np.diff(weights[np.argsort(times, kind="stable")]) >= 0).all()


def test_data_without_anything_to_validate_on_are_refused():
    with pytest.raises(InvalidInput, match="at least 2"):
        SASRecFitter(SASRecConfig(), seed=0).fit(make_data([[0], [1]], n_items=2))


def test_extending_needs_a_fit_on_the_same_catalogue():
    made = SASRecFitter(SASRecConfig.from_hyperparameters(SMALL | {"epochs": "1"}), seed=0)
    with pytest.raises(InvalidInput, match="`fit` before"):
        made.extend(ring_walks())
    made.fit(ring_walks())
    with pytest.raises(InvalidInput, match="`fit` before"):
        made.extend(make_data([[0, 1]], n_items=2))


def test_a_limit_of_time_ends_the_fit_after_the_epoch_that_reaches_it():
    epochs = []
    config = SASRecConfig.from_hyperparameters(SMALL | {"time_limit_seconds": "0.000001"})
    SASRecFitter(config, seed=0, progress=lambda **report: epochs.append(report)).fit(ring_walks())
    assert sum("validation_ndcg_at_10" in report["metrics"] for report in epochs) == 1


def test_hyperparameters_come_as_strings():
    config = SASRecConfig.from_hyperparameters({"apply_recency_bias": "false", "layers": "3"})
    assert (config.apply_recency_bias, config.layers) == (False, 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"apply_recency_bias": "perhaps"}, r"`algorithmHyperParameters\.apply_recency_bias`: got 'perhaps'"),
        ({"bptt": "32"}, r"`algorithmHyperParameters\.bptt`: got 'bptt', want one of .*apply_recency_bias"),
        ({"layers": "9"}, r"`algorithmHyperParameters\.layers`: got '9'"),
        ({"heads": "3"}, "want a divisor of `embedding_size` 64"),
    ],
)
def test_wrong_hyperparameters_are_named(values, message):
    with pytest.raises(InvalidInput, match=message):
        SASRecConfig.from_hyperparameters(values)
