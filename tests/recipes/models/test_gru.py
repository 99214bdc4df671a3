"""The HRNN recipes pass the contract suite; the NumPy pass, gradients, popularity and cold items are as documented."""

from dataclasses import replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.errors import InvalidInput
from recipes.data.columns import NO_TIME, CategoricalColumn, Columns
from recipes.data.histories import History
from recipes.data.training_data import Interactions, TrainingData
from recipes.models.gru.config import GRUColdstartConfig, GRUConfig, LargeGRUConfig
from recipes.models.gru.fit import (
    GRUFitter,
    cold_items,
    make_coldstart_fitter,
    make_metadata_fitter,
    make_text_fitter,
)
from recipes.models.gru.network import GRU
from recipes.models.gru.score import load
from recipes.training.network import Steps
from recipes.training.sequence_model import count_uses
from tests.recipes.network_suite import MAX_LENGTH, WIDTH, NetworkSuite, as_steps, draw_history, draw_parameters, served
from tests.recipes.suite import RING, RINGS, RecipeSuite, make_data, ring_walks, walk

SMALL = {
    "hidden_dimension": "32", "bptt": "8", "max_length": "8", "learning_rate": "0.01", "dropout": "0.1", "epochs": "30",
}  # fmt: skip


class TestUserPersonalization(RecipeSuite):
    name = "aws-user-personalization"
    hyperparameters = SMALL
    quality_floor = 0.95
    uses_randomness = True


class TestHrnnSampled(RecipeSuite):
    name = "aws-hrnn"
    hyperparameters: ClassVar = {**SMALL, "full_softmax_items": "0", "sampled_items": "24"}
    quality_floor = 0.9  # a loss estimated from 24 samples a step is a rough one
    uses_randomness = True


class TestHrnnColdstart(RecipeSuite):
    name = "aws-hrnn-coldstart"
    hyperparameters = SMALL
    quality_floor = 0.95
    uses_randomness = True


@pytest.fixture(scope="module")
def both():
    network = GRU(width=WIDTH, bptt=32, max_length=MAX_LENGTH, dropout=0.0)
    arrays = draw_parameters(network)
    arrays["lasting"] -= 4.0  # as much fades as lasts
    return served(network, arrays)


class TestNetwork(NetworkSuite):
    load = staticmethod(load)
    number = "max_length"


def test_the_unit_is_that_of_the_formula(both):
    """One step, written out by the formulas of Cho et al. in the form of cuDNN."""
    arrays = both[0]
    history = draw_history(1)
    read = arrays["item_embeddings"][history.items[0]] + arrays["actions"][history.event_types[0]] + arrays["gaps"][0]
    read = (read - read.mean()) / np.sqrt(read.var() + 1e-5) * arrays["input_norm"] + arrays["input_norm_bias"]
    reset, update, new = np.split(read @ arrays["input"] + arrays["input_bias"], 3)
    of_reset, of_update, of_new = np.split(arrays["start"] @ arrays["recurrent"], 3)
    reset, update = (1.0 / (1.0 + np.exp(-values)) for values in (reset + of_reset, update + of_update))
    new = np.tanh(new + reset * (of_new + arrays["recurrent_bias"]))
    state = update * arrays["start"] + (1.0 - update) * new
    expected = state @ arrays["output"] + arrays["output_bias"]
    np.testing.assert_allclose(both[2].embed_history(history)[:-1], expected, atol=1e-4)


def test_what_does_not_last_is_forgotten_after_a_long_time(both):
    arrays, network, _ = both
    fading = arrays | {"lasting": arrays["lasting"].copy()}
    fading["lasting"][-1] = -100.0
    newest = draw_history(1)
    states = []
    for before in (3, 9):
        first = draw_history(before)
        after = replace(newest, times=first.times[-1:] + 2**30)
        both_parts = History(*(np.concatenate(pair) for pair in zip(_parts(first), _parts(after), strict=True)))
        states.append(network.states({name: jnp.asarray(v) for name, v in fading.items()}, as_steps(both_parts))[0, -1])
    np.testing.assert_allclose(*states, atol=1e-6)


def _parts(history):
    return history.items, history.event_types, history.times


@pytest.mark.parametrize(("bptt", "places"), [(4, {8}), (5, {5, 6, 7, 8})])
def test_gradients_flow_back_as_many_steps_as_configured(both, bptt, places):
    arrays, network, _ = both
    network = replace(network, bptt=bptt)
    items = np.arange(9, dtype=np.int32)  # all different, so that each has a gradient of its own
    nothing = jnp.zeros((1, 9), jnp.int32)
    steps = Steps(jnp.asarray(items[None]), nothing, nothing, jnp.arange(10)[None])

    def newest(embeddings):
        values = {name: jnp.asarray(value) for name, value in arrays.items()} | {"item_embeddings": embeddings}
        return network.states(values, steps)[0, -1].sum()

    gradient = np.asarray(jax.grad(newest)(jnp.asarray(arrays["item_embeddings"])))
    assert set(np.flatnonzero(np.abs(gradient).sum(axis=1))) == places


def small(config, **changes):
    return config.from_hyperparameters(SMALL | {key: str(value) for key, value in changes.items()})


def test_users_with_unusual_histories_are_left_out():
    """One user alone goes from 0 to 9, and does so for longer than all others."""
    usual = [[0, 1, 2, 3] for _ in range(60)]
    data = make_data([*usual, [0, 9] * 6], n_items=10)
    kept = GRUFitter(small(GRUConfig, max_user_history_length_percentile=1.0, epochs=1), seed=0)
    left_out = GRUFitter(small(GRUConfig, max_user_history_length_percentile=0.9, epochs=1), seed=0)
    sequential_rules = [made.fit(data).score_deltas(History.of_items([0])).items.tolist() for made in (kept, left_out)]
    assert [9 in items for items in sequential_rules] == [True, False]


def test_recent_popularity_counts_only_with_the_recency_mask():
    """Half of the items is used only by the first users, the other half only by the last; nothing else differs."""
    random = np.random.default_rng(0)
    items = [random.permutation(10)[:5] + 10 * (user >= 100) for user in range(200)]
    user = np.repeat(np.arange(200), 5)
    data = TrainingData(
        Interactions.sort(user, item=np.concatenate(items), timestamp=user * 100 + np.tile(np.arange(5), 200)), 200, 20
    )

    def recent_share(recency_mask):
        made = GRUFitter(small(GRUConfig, recency_mask=recency_mask, validation_targets=50, epochs=1), seed=0)
        made.fit(data)
        scorer = made.extend(data)
        half_life = made._state.half_life
        uses = count_uses(data.histories(), data.target_weights(), n_items=20, half_life=half_life, items=None)
        assert np.isfinite(scorer.item_vectors).all()
        return uses[10:].sum() / uses.sum()

    assert recent_share(recency_mask=False) == 0.5
    assert recent_share(recency_mask=True) >= 0.5


def rings_with_new_item():
    """Walk along rings; the last item of each ring is new: nobody has used it, and only its column says where it is."""
    data = ring_walks()
    n_items = data.n_items + RINGS
    groups = [[f"ring-{item // RING}"] for item in range(RINGS * RING)] + [["door"]]
    groups += [[f"ring-{ring}"] for ring in range(RINGS)]
    columns = Columns(categorical={"RING": CategoricalColumn.of_values(groups)})
    return replace(data, n_items=n_items, items=columns)


def test_cold_items_are_recommended_by_their_columns_alone():
    data = rings_with_new_item()
    made = make_coldstart_fitter(small(GRUColdstartConfig, cold_start_max_duration=0.00001), seed=0)
    scorer = made.fit(data)
    new = np.arange(data.n_items - RINGS, data.n_items)
    for ring in range(RINGS):
        scores = scorer.item_vectors[new] @ scorer.embed_history(History.of_items(walk(ring * RING, 4)))
        assert scores.argmax() == ring
    plain = make_metadata_fitter(small(LargeGRUConfig), seed=0).fit(data)
    history = History.of_items(walk(0, 4))

    def rank(of):
        scores = of.item_vectors @ of.embed_history(history)
        return int((scores > scores[new[0]]).sum())

    assert rank(scorer) < rank(plain)


def rank_of_new_item(made, data):
    """Return how many items score above the new one of the first ring, for somebody on that ring."""
    scorer = made.fit(data)
    scores = scorer.item_vectors @ scorer.embed_history(History.of_items(walk(0, 4)))
    return int((scores > scores[data.n_items - RINGS]).sum())


def test_texts_are_learnt_from_where_the_recipe_reads_them():
    """Only a text says which ring the new items belong to."""
    with_columns = rings_with_new_item()
    rings = with_columns.items.categorical["RING"]
    texts = tuple(f"a walk along {rings.categories[code].replace('-', '')}" for code in rings.codes.tolist())
    data = replace(with_columns, items=Columns(textual={"STORY": texts}))
    config = small(LargeGRUConfig)
    reading = rank_of_new_item(make_text_fitter(config, seed=0), data)
    others = [rank_of_new_item(made(config, seed=0), data) for made in (make_metadata_fitter, GRUFitter)]
    assert reading < min(others)
    assert others[0] == others[1]


def films(users=150, n_items=60, length=12):
    """Let everybody use films of two genres of six, and give the films genres, a year and a plot, as MovieLens does."""
    random = np.random.default_rng(4)
    genres = np.arange(n_items) % 6
    rows = []
    for _ in range(users):
        liked = np.flatnonzero(np.isin(genres, random.choice(6, 2, replace=False)))
        rows.append(random.permutation(liked)[:length])
    words = [f"kind{genre}" for genre in genres.tolist()]
    columns = Columns(
        categorical={"GENRES": CategoricalColumn.of_values([[word, "film"] for word in words])},
        numeric={"YEAR": 1950.0 + random.integers(0, 50, n_items)},
        textual={"PLOT": tuple(f"somebody meets {word}" for word in words)},
    )
    return make_data(rows, n_items=n_items), columns


def test_columns_do_no_harm_to_what_histories_tell():
    """Items with histories enough are found as well as without columns."""
    data, columns = films()
    values = []
    for items in (Columns(), columns):
        made = make_text_fitter(small(LargeGRUConfig, epochs=15), seed=0)
        made.fit(replace(data, items=items))
        values.append(made.report["validation_ndcg_at_10"])
    assert values[1] > values[0] - 0.02


def test_cold_items_are_young_and_hardly_used():
    user, item = np.zeros(30, np.int64), np.array([0] * 10 + [1] * 16 + [2] * 4)
    day = 86_400
    data = TrainingData(Interactions.sort(user, item=item, timestamp=np.arange(30) * day), 1, 5)
    config = GRUColdstartConfig()
    # Item 2 was first used three days before the end; of items 3 and 4 nothing is known: they are new.
    assert cold_items(data, config).tolist() == [False, False, True, True, True]
    assert cold_items(data, GRUColdstartConfig(cold_start_max_interactions=3)).tolist()[2] is False
    dated = replace(data, items=Columns(created=np.array([0, 0, 0, 20 * day, NO_TIME])))
    assert cold_items(dated, config).tolist() == [False, False, False, False, True]
    only_old = replace(data, items=Columns(created=np.array([0, 0, 18 * day, 20 * day, 0])))
    assert cold_items(only_old, config).tolist() == [False, False, True, True, False]
    now = GRUColdstartConfig(cold_start_relative_from="currentTime")
    assert not cold_items(only_old, now).any()


def test_without_columns_nothing_is_told_of_cold_items():
    data = replace(ring_walks(), n_items=40)
    cold = make_coldstart_fitter(small(GRUColdstartConfig, epochs=2), seed=0).fit(data)
    plain = make_metadata_fitter(small(GRUConfig, epochs=2), seed=0).fit(data)
    assert cold.item_vectors.tobytes() == plain.item_vectors.tobytes()


def test_defaults_are_those_of_personalize():
    assert (GRUConfig().hidden_dimension, LargeGRUConfig().hidden_dimension) == (43, 149)
    config = GRUColdstartConfig()
    assert (config.hidden_dimension, config.bptt, config.recency_mask) == (149, 32, True)
    assert (config.min_user_history_length_percentile, config.max_user_history_length_percentile) == (0.0, 0.99)
    assert config.cold_start_max_interactions == 15
    assert (config.cold_start_max_duration, config.cold_start_relative_from) == (5.0, "latestItem")


@pytest.mark.parametrize(
    ("config", "values", "message"),
    [
        (GRUConfig, {"hidden_dimension": "31"}, r"`algorithmHyperParameters\.hidden_dimension`: got '31'"),
        (GRUConfig, {"bptt": "33"}, r"`algorithmHyperParameters\.bptt`: got '33'"),
        (GRUConfig, {"cold_start_max_interactions": "3"}, "cold_start_max_interactions"),
        (GRUColdstartConfig, {"cold_start_relative_from": "now"}, r"`featureTransformationParameters\.cold_start"),
    ],
)
def test_wrong_parameters_are_named(config, values, message):
    with pytest.raises(InvalidInput, match=message):
        config.from_hyperparameters(values)
