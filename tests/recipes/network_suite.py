"""The contract suite of networks that read sequences: each family's tests subclass `NetworkSuite`.

Their module has a fixture `both`: the parameters of a network, the network, and its scorer, as `served` makes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
import pytest

from common.errors import CorruptArtifact
from recipes.components.item_regression.score import ItemRegression
from recipes.components.score_fusion.score import ScoreFusion
from recipes.components.sequence_scorer import SequenceScorer, gap_buckets
from recipes.components.sequential_rules import SequentialRules
from recipes.data.histories import Histories, History
from recipes.training.network import Steps

N_ITEMS, WIDTH, MAX_LENGTH = 50, 24, 20


def draw_history(length):
    """Draw items, event types and times of one user."""
    random = np.random.default_rng(length)
    times = np.cumsum(2 ** random.integers(0, 25, length))
    return History(
        random.integers(0, N_ITEMS, length).astype(np.int32), random.integers(0, 3, length).astype(np.uint8), times
    )


def draw_parameters(network):
    """Draw parameters far from the beginning, so that no scale is 1 and no shift 0."""
    random = np.random.default_rng(3)
    directions, biases = random.standard_normal((N_ITEMS, WIDTH)), random.standard_normal(N_ITEMS)
    drawn = network.initial_parameters(
        item_directions=directions.astype(np.float32), item_biases=biases.astype(np.float32), n_event_types=2, seed=0
    )
    return {
        name: (value + 0.3 * random.standard_normal(value.shape)).astype(np.float32) for name, value in drawn.items()
    }


def served(network, arrays):
    """Return parameters, network and its scorer."""
    rest = {name: value for name, value in arrays.items() if name not in ("item_embeddings", "item_biases")}
    # A network that counts for more than it learnt, as a blend may decide.
    score_fusion = replace(ScoreFusion.of_network(n_event_types=2, repeat_bias=-1.0), network=1.7)
    vectors = score_fusion.item_vectors(
        arrays["item_embeddings"], arrays["item_biases"], np.zeros((4, N_ITEMS), np.float32)
    )
    sequential_rules = SequentialRules.count(Histories.gather([draw_history(200)]), n_items=N_ITEMS)
    scorer = network.scorer(vectors, rest, score_fusion=score_fusion, sequential_rules=sequential_rules)
    return arrays, network, scorer.with_regression(ItemRegression(sequential_rules.rules))


def as_steps(*histories):
    """Put histories one after another into one row."""
    between = [np.zeros(1, np.int32)]  # what is read before a place where a history begins
    items, event_types, gaps = (
        np.concatenate([part for values in of_histories for part in (values.astype(np.int32), *between)])[None, :-1]
        for of_histories in (
            [history.items for history in histories],
            [history.event_types for history in histories],
            [gap_buckets(history.times) for history in histories],
        )
    )
    positions = np.concatenate([np.arange(len(history.items) + 1, dtype=np.int32) for history in histories])[None]
    return Steps(*(jnp.asarray(part) for part in (items, event_types, gaps, positions)))


class NetworkSuite:
    """What every network that reads sequences must do."""

    load: ClassVar[Callable[[Path], SequenceScorer]]
    #: The family's number beside the parameters, a file without which nothing can be opened.
    number: ClassVar[str]

    @pytest.mark.parametrize("length", [0, 1, 7, MAX_LENGTH])
    def test_numpy_and_jax_agree(self, both, length):
        arrays, network, scorer = both
        history = draw_history(length)
        expected = network.states({name: jnp.asarray(value) for name, value in arrays.items()}, as_steps(history))
        vector = scorer.embed_history(history)
        np.testing.assert_allclose(vector[:-1], np.asarray(expected)[0, -1], atol=1e-4)
        assert vector[-1] == 1.0

    def test_histories_in_one_row_do_not_know_of_each_other(self, both):
        arrays, network, scorer = both
        histories = [draw_history(length) for length in (5, 0, MAX_LENGTH, 2)]
        states = network.states({name: jnp.asarray(value) for name, value in arrays.items()}, as_steps(*histories))
        ends = np.cumsum([len(history.items) + 1 for history in histories]) - 1
        for end, history in zip(ends, histories, strict=True):
            vector = scorer.embed_history(history)
            np.testing.assert_allclose(vector[:-1], np.asarray(states)[0, end], atol=1e-4)

    def test_only_the_newest_items_are_read(self, both):
        history = draw_history(60)
        np.testing.assert_array_equal(both[2].embed_history(history), both[2].embed_history(history.newest(MAX_LENGTH)))

    def test_what_was_done_and_when_changes_the_vector(self, both):
        history = draw_history(7)
        other = replace(history, event_types=(history.event_types + 1) % 3)
        later = replace(history, times=np.append(history.times[:-1], history.times[-1] + 2**24))
        plain = both[2].embed_history(history)
        assert not np.allclose(both[2].embed_history(other), plain)
        assert not np.allclose(both[2].embed_history(later), plain)

    def test_event_types_that_the_model_does_not_know_are_as_unknown(self, both):
        history = draw_history(7)
        unknown = replace(history, event_types=np.zeros(7, np.uint8))
        newer = replace(history, event_types=np.full(7, 3, np.uint8))
        np.testing.assert_array_equal(both[2].embed_history(newer), both[2].embed_history(unknown))
        assert both[2].score_deltas(newer).values.tolist() == both[2].score_deltas(unknown).values.tolist()

    def test_many_histories_of_different_lengths_and_one_agree(self, both):
        histories = Histories.gather([draw_history(length) for length in (0, 5, 1, 60, MAX_LENGTH)])
        alone = [both[2].embed_history(histories.of(row)) for row in range(5)]
        np.testing.assert_allclose(both[2].embed_histories(histories), alone, atol=1e-4)

    def test_beginnings_of_a_history_are_read_in_one_pass(self, both):
        histories = Histories.gather([draw_history(length) for length in (MAX_LENGTH, 7, 60)])
        owners, lengths = np.array([0, 0, 1, 1, 2, 2]), np.array([MAX_LENGTH, 17, 7, 0, 60, 58])
        vectors = both[2].embed_before(histories, owners, lengths)
        alone = both[2].embed_histories(histories.before(owners, lengths))
        np.testing.assert_allclose(vectors[:5], alone[:5], atol=1e-4)
        # What is too long to be read whole is read from one place on.
        read = histories.of(2)
        begun = History(read.items[40:58], read.event_types[40:58], read.times[40:58])
        np.testing.assert_allclose(vectors[5], both[2].embed_history(begun), atol=1e-4)

    def test_saved_and_opened_scorers_are_the_same(self, both, tmp_path):
        both[2].save(tmp_path)
        history = draw_history(60)
        loaded = type(self).load(tmp_path)
        np.testing.assert_array_equal(loaded.embed_history(history), both[2].embed_history(history))
        before, after = both[2].score_deltas(history), loaded.score_deltas(history)
        assert (before.items.tobytes(), before.values.tobytes()) == (after.items.tobytes(), after.values.tobytes())

    def test_files_of_different_models_are_corrupt(self, both, tmp_path):
        load = type(self).load
        both[2].save(tmp_path)
        np.save(tmp_path / f"{self.number}.npy", np.ones(2, np.int32))
        with pytest.raises(CorruptArtifact, match=rf"{self.number}.npy`: got shape \(2,\), want one number"):
            load(tmp_path)
        np.save(tmp_path / "item_vectors.npy", np.zeros((N_ITEMS, 7), np.float32))
        with pytest.raises(CorruptArtifact, match=f"{WIDTH + 1} columns"):
            load(tmp_path)
        (tmp_path / "start.npy").unlink()
        with pytest.raises(CorruptArtifact, match=r"start\.npy"):
            load(tmp_path)
