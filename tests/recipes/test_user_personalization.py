"""User-Personalization passes the contract suite; its NumPy pass is what it claims."""

from dataclasses import replace
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import pytest

from common.errors import CorruptArtifact, InvalidInput
from recipes.blend.score import Blend
from recipes.interface import Histories, History, Interactions, TrainingData
from recipes.rules import Followers
from recipes.sequence.gaps import gap_buckets
from recipes.user_personalization.config import UserPersonalizationConfig
from recipes.user_personalization.fit import UserPersonalizationFitter
from recipes.user_personalization.network import Transformer
from recipes.user_personalization.score import load
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
    network = Transformer(width=24, layers=layers, heads=heads, max_length=20, dropout=0.0)
    random = np.random.default_rng(3)
    directions, biases = random.standard_normal((50, 24)), random.standard_normal(50)
    drawn = network.initial_parameters(
        item_directions=directions.astype(np.float32), item_biases=biases.astype(np.float32), n_event_types=2, seed=0
    )
    # Far from the beginning, so that no scale is 1 and no shift 0.
    arrays = {
        name: (value + 0.3 * random.standard_normal(value.shape)).astype(np.float32) for name, value in drawn.items()
    }
    rest = {name: value for name, value in arrays.items() if name not in ("item_embeddings", "item_biases")}
    # A network that counts for more than it learnt, as a blend may decide.
    blend = replace(Blend.of_network(n_event_types=2, repeat_bias=-1.0), network=1.7)
    vectors = blend.item_vectors(arrays["item_embeddings"], arrays["item_biases"], np.zeros((4, 50), np.float32))
    followers = Followers.count(Histories.gather([draw_history(200)]), n_items=50)
    return arrays, network, network.scorer(vectors, rest, blend=blend, followers=followers)


def draw_history(length):
    """Draw items, event types and times of one user."""
    random = np.random.default_rng(length)
    times = np.cumsum(2 ** random.integers(0, 25, length))
    return History(
        random.integers(0, 50, length).astype(np.int32), random.integers(0, 3, length).astype(np.uint8), times
    )


@pytest.mark.parametrize("length", [0, 1, 7, 20])
def test_numpy_and_jax_agree(both, length):
    arrays, network, scorer = both
    history = draw_history(length)
    steps = (history.items[None], history.actions[None].astype(np.int32), gap_buckets(history.times)[None])
    expected = network.states({name: jnp.asarray(value) for name, value in arrays.items()}, steps)
    found = scorer.query(history)
    np.testing.assert_allclose(found[:-1], np.asarray(expected)[0, -1], atol=1e-4)
    assert found[-1] == 1.0


def test_only_the_newest_items_are_read(both):
    history = draw_history(60)
    np.testing.assert_array_equal(both[2].query(history), both[2].query(history.newest(20)))


def test_what_was_done_and_when_changes_the_vector(both):
    history = draw_history(7)
    other = replace(history, actions=(history.actions + 1) % 3)
    later = replace(history, times=np.append(history.times[:-1], history.times[-1] + 2**24))
    plain = both[2].query(history)
    assert not np.allclose(both[2].query(other), plain)
    assert not np.allclose(both[2].query(later), plain)


def test_event_types_that_the_model_does_not_know_are_as_unknown(both):
    history = draw_history(7)
    unknown = replace(history, actions=np.zeros(7, np.uint8))
    newer = replace(history, actions=np.full(7, 3, np.uint8))
    np.testing.assert_array_equal(both[2].query(newer), both[2].query(unknown))
    assert both[2].adjust(newer).values.tolist() == both[2].adjust(unknown).values.tolist()


def test_many_histories_of_different_lengths_and_one_agree(both):
    histories = Histories.gather([draw_history(length) for length in (0, 5, 1, 60, 20)])
    alone = [both[2].query(histories.of(row)) for row in range(5)]
    np.testing.assert_allclose(both[2].queries(histories), alone, atol=1e-4)


def test_files_of_different_models_are_corrupt(both, tmp_path):
    both[2].save(tmp_path)
    np.save(tmp_path / "item_vectors.npy", np.zeros((50, 7), np.float32))
    with pytest.raises(CorruptArtifact, match="25 columns"):
        load(tmp_path)
    (tmp_path / "start.npy").unlink()
    with pytest.raises(CorruptArtifact, match=r"start\.npy"):
        load(tmp_path)


def test_what_was_done_with_an_item_tells_the_next():
    """Users see one item, and what they did with it decides which of two comes next."""
    doors = np.arange(400) % 2
    interactions = Interactions.sort(
        np.repeat(np.arange(400), 2),
        item=np.stack([np.zeros(400, np.int64), 1 + doors], axis=1).ravel(),
        timestamp=np.tile([0, 1], 400),
        action=np.stack([1 + doors, np.ones(400, np.int64)], axis=1).ravel(),
    )
    data = TrainingData(interactions, n_users=400, n_items=3, event_types=("view", "buy"))
    config = UserPersonalizationConfig.from_hyperparameters(SMALL | {"validation_targets": "40"})
    scorer = UserPersonalizationFitter(config, seed=0).fit(data)

    def ranked(action):
        history = History(np.zeros(1, np.int32), np.array([action], np.uint8), np.zeros(1, np.int64))
        change = scorer.adjust(history)
        scores = scorer.item_vectors @ scorer.query(history)
        scores[change.items] += change.values
        return int(scores.argmax())

    assert (ranked(1), ranked(2)) == (1, 2)


def test_new_interactions_weigh_more_only_when_asked_for():
    data = ring_walks()
    biased = UserPersonalizationFitter(UserPersonalizationConfig(), seed=0)
    plain = UserPersonalizationFitter(UserPersonalizationConfig(apply_recency_bias=False), seed=0)
    weights, times = biased._weights(data), data.interactions.timestamp
    assert (plain._weights(data) == 1.0).all()
    assert weights[times == times.max()].tolist() == [1.0] * int((times == times.max()).sum())
    assert 0.5 <= weights.min() < 0.7
    assert (np.diff(weights[np.argsort(times, kind="stable")]) >= 0).all()


def test_data_without_anything_to_validate_on_are_refused():
    with pytest.raises(InvalidInput, match="at least 2"):
        UserPersonalizationFitter(UserPersonalizationConfig(), seed=0).fit(make_data([[0], [1]], n_items=2))


def test_extending_needs_a_fit_on_the_same_catalogue():
    made = UserPersonalizationFitter(UserPersonalizationConfig.from_hyperparameters(SMALL | {"epochs": "1"}), seed=0)
    with pytest.raises(InvalidInput, match="`fit` before"):
        made.extend(ring_walks())
    made.fit(ring_walks())
    with pytest.raises(InvalidInput, match="`fit` before"):
        made.extend(make_data([[0, 1]], n_items=2))


def test_a_limit_of_time_ends_the_fit_after_the_epoch_that_reaches_it():
    epochs = []
    config = UserPersonalizationConfig.from_hyperparameters(SMALL | {"time_limit_seconds": "0.000001"})
    UserPersonalizationFitter(config, seed=0, progress=lambda **report: epochs.append(report)).fit(ring_walks())
    assert len(epochs) == 1


def test_hyperparameters_come_as_strings():
    config = UserPersonalizationConfig.from_hyperparameters({"apply_recency_bias": "false", "layers": "3"})
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
        UserPersonalizationConfig.from_hyperparameters(values)
