"""User-Personalization passes the contract suite; its NumPy pass is what it claims."""

import re
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


@pytest.mark.parametrize(
    ("without", "counts"),
    [
        ((), True),
        (("average_distances",), True),
        (("attention_distances",), True),
        (("average_distances", "attention_distances"), False),
    ],
)
def test_attention_and_average_each_know_how_far_back_a_step_is(without, counts):
    """Nothing else tells one block in which order older steps were."""
    network = SASRec(width=WIDTH, layers=1, heads=2, max_length=MAX_LENGTH, dropout=0.0)
    arrays = draw_parameters(network)
    for name in without:
        arrays[name][:] = 0.0
    scorer = served(network, arrays)[2]
    items = np.arange(9, dtype=np.int32)
    swapped = items.copy()
    swapped[[2, 6]] = items[[6, 2]]
    histories = (History(order, np.ones(9, np.uint8), np.zeros(9, np.int64)) for order in (items, swapped))
    first, second = (scorer.embed_history(history) for history in histories)
    assert np.allclose(first, second, atol=1e-4) != counts


def test_a_state_begins_with_half_of_an_average_that_decays_as_rules_do():
    network = SASRec(width=WIDTH, layers=1, heads=1, max_length=MAX_LENGTH, dropout=0.0)
    random = np.random.default_rng(3)
    directions, biases = random.standard_normal((3, WIDTH)).astype(np.float32), np.zeros(3, np.float32)
    arrays = network.initial_parameters(item_directions=directions, item_biases=biases, n_event_types=1, seed=0)
    for name in ("attention_out", "forward_out"):
        arrays[name][:] = 0.0  # nothing but the average
    items = np.array([2, 0], np.int32)
    history = History(items, np.zeros(2, np.uint8), np.zeros(2, np.int64))
    states = network.states({name: jnp.asarray(value) for name, value in arrays.items()}, as_steps(history))

    def normed(vectors):
        centred = vectors - vectors.mean(axis=-1, keepdims=True)
        return centred / np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + 1e-5)

    before, newest = np.stack([arrays["start"], arrays["item_embeddings"][2]]), arrays["item_embeddings"][0]
    shares = np.array([1 / 3, 1 / 2, 1])
    average = shares @ normed(np.vstack([before, newest])) / shares.sum()
    np.testing.assert_allclose(np.asarray(states)[0, -1], normed(newest + 0.5 * average), atol=1e-4)


@pytest.mark.parametrize("both", [(2, 2)], indirect=True, ids=["2 blocks, 2 heads"])
@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("attention_distances", (2, 1, MAX_LENGTH + 1), (2, 2, MAX_LENGTH + 1)),
        ("attention_distances", (2, 2, MAX_LENGTH), (2, 2, MAX_LENGTH + 1)),
        ("average_distances", (3, MAX_LENGTH + 1), (2, MAX_LENGTH + 1)),
        ("average_distances", (2, MAX_LENGTH), (2, 2, MAX_LENGTH)),
        ("average_distances", (), "want"),
        ("average_distances", (2, 0), "want"),
        ("average_gain", (WIDTH,), (2, WIDTH)),
        ("positions", (MAX_LENGTH, WIDTH - 1), (MAX_LENGTH, WIDTH)),
        ("positions", (), (WIDTH,)),
    ],
)
def test_what_tells_the_order_has_to_fit(both, tmp_path, name, shape, expected):
    both[2].save(tmp_path)
    np.save(tmp_path / f"{name}.npy", np.zeros(shape, np.float32))
    with pytest.raises(CorruptArtifact, match=re.escape(str(expected))):
        load(tmp_path)


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
