"""The fit of sequence models: losses and optimisers are exchanged by value, event weights decide, progress moves."""

from dataclasses import dataclass, replace

import jax
import numpy as np
import pytest

from common.errors import InvalidInput
from recipes.catalog import get_recipe
from recipes.data.histories import Histories, History
from recipes.data.training_data import Interactions, TrainingData
from recipes.models.sasrec.config import SASRecConfig
from recipes.models.sasrec.network import SASRec
from recipes.ports import ignore_progress
from recipes.registry import make_fitter, read_config
from recipes.retrieval.scoring import catalogue_scores
from recipes.training import loop
from recipes.training.batching import SideFeatures
from recipes.training.early_stopping import Decision
from recipes.training.loop import TrainingSteps
from recipes.training.losses import SampledSoftmax
from recipes.training.optimizer import OptimizerState
from recipes.training.sequence_model import (
    SequenceModel,
    count_uses,
    extend_sequence_model,
    fit_sequence_model,
)
from tests.recipes.suite import ring_walks

CLICK, BUY = 1, 2
DOOR, CLICKED, BOUGHT, N_ITEMS = 0, 1, 2, 5
SMALL = {"embedding_size": "8", "layers": "1", "max_length": "4", "learning_rate": "0.02", "epochs": "6"}
#: Of the users' last steps only some are held out.
SMALL["validation_targets"] = "40"


def shoppers(users=160):
    """Let everybody enter by one door; three in four then click on one thing, one in four buys another."""
    bought = np.arange(users) % 4 == 0
    items = np.stack([np.full(users, DOOR), np.where(bought, BOUGHT, CLICKED)], axis=1)
    event_types = np.stack([np.full(users, CLICK), np.where(bought, BUY, CLICK)], axis=1)
    interactions = Interactions.sort(
        np.repeat(np.arange(users), 2),
        item=items.ravel(),
        timestamp=np.tile(np.arange(2), users),
        event_type=event_types.ravel(),
    )
    return TrainingData(interactions, users, N_ITEMS, ("click", "buy"))


def fit_shoppers(data, *, extended=False, hyperparameters=SMALL):
    recipe = get_recipe("aws-user-personalization-v2")
    made = make_fitter(recipe, read_config(recipe, hyperparameters), seed=1)
    scorer = made.fit(data)
    return made.extend(data) if extended else scorer


def weighed(click, buy):
    return replace(shoppers(), event_weights=np.array([1.0, click, buy], np.float32))


def lead(scorer):
    """Return by how much what is bought scores above what is clicked on, for somebody at the door."""
    history = History(np.array([DOOR], np.int32), np.array([CLICK], np.uint8), np.zeros(1, np.int64))
    scores = catalogue_scores(scorer, Histories.gather([history]))(slice(0, 1))[0]
    return float(scores[BOUGHT] - scores[CLICKED])


@pytest.mark.parametrize("extended", [False, True])
def test_without_weights_the_more_frequent_event_leads_and_with_weights_the_one_worth_more(extended):
    # Clicks are three times as frequent; weighed 1 : 10, purchases are worth more than three times as much.
    assert lead(fit_shoppers(shoppers(), extended=extended)) < 0
    assert lead(fit_shoppers(weighed(0.1, 1.0), extended=extended)) > 0


def test_equal_weights_change_no_byte():
    plain, equal = fit_shoppers(shoppers(), extended=True), fit_shoppers(weighed(1.0, 1.0), extended=True)
    histories = shoppers().histories()
    assert plain.item_vectors.tobytes() == equal.item_vectors.tobytes()
    assert plain.embed_histories(histories).tobytes() == equal.embed_histories(histories).tobytes()


def test_events_that_all_weigh_nothing_cannot_be_learnt_from():
    with pytest.raises(InvalidInput, match="eventsConfig"):
        fit_shoppers(weighed(0.0, 0.0))


def reports(report_seconds):
    received = []
    config = SASRecConfig.from_hyperparameters(
        {"embedding_size": "8", "layers": "1", "max_length": "4", "epochs": "2", "batch_size": "16"}
    )
    model = SequenceModel(
        SASRec.from_config(config), config, seed=1, weighs_recency=False, report_seconds=report_seconds
    )

    def receive(**report):
        received.append(report)

    state = fit_sequence_model(model, ring_walks(), items=None, progress=receive)
    extend_sequence_model(model, state, ring_walks(), progress=receive)
    return received, state.scorer


def test_progress_moves_within_an_epoch_and_says_what_is_done():
    frequent, scorer = reports(0.0)
    rare, same = reports(3600.0)

    fitted = [report for report in frequent if not report["stage"].startswith("extension")]
    fractions = [report["fraction"] for report in fitted]
    first = [report["fraction"] for report in fitted if report["stage"] == "epoch 1 of at most 2"]
    stages = list(dict.fromkeys(report["stage"] for report in fitted))
    assert stages == [
        "choosing the shape of rules",
        "counting what follows what",
        "placing items by what they occur with",
        "epoch 1 of at most 2",
        "epoch 1 of at most 2: validation",
        "epoch 2 of at most 2",
        "epoch 2 of at most 2: validation",
        "regressing items on items",
        "weighing network and counts",
    ]
    assert fractions == sorted(fractions)
    assert len(set(first)) > 5
    # At a slower pace each epoch is reported at its beginning and at its end, and the model is the same.
    assert sum(report["stage"] == "epoch 1 of at most 2" for report in rare) == 2
    assert scorer.item_vectors.tobytes() == same.item_vectors.tobytes()


def shown(received):
    """Return how far the fit was, each time that the network was measured."""
    return [report["fraction"] for report in received if "validation_ndcg_at_10" in report["metrics"]]


def test_an_epoch_is_measured_at_its_end_and_a_long_one_before_and_after_each_part(monkeypatch):
    short, _ = reports(0.0)
    assert shown(short) == pytest.approx([0.495, 0.97])

    monkeypatch.setattr(loop, "_LONGEST_EPOCH", -(-len(ring_walks().interactions) // 3))
    long, _ = reports(3600.0)

    # Six of them hold out some: the rest is divided into three parts, two times.
    assert shown(long) == pytest.approx([0.02, *(0.02 + 0.95 * part / 6 for part in range(1, 7))])
    assert {report["stage"] for report in long} >= {f"part of an epoch {part} of at most 6" for part in range(1, 7)}


def extension_steps(received):
    """Return the steps that each epoch of the extension has."""
    extension = [report for report in received if report["stage"].startswith("extension")]
    return {report["stage"]: report["metrics"]["steps"] for report in extension if "steps" in report["metrics"]}


def test_an_extension_learns_a_part_of_long_epochs_each_time(monkeypatch):
    short, _ = reports(0.0)
    monkeypatch.setattr(loop, "_LONGEST_EPOCH", -(-len(ring_walks().interactions) // 4))
    long, _ = reports(0.0)

    epochs, parts = extension_steps(short), extension_steps(long)
    assert list(epochs) == list(parts) == [f"extension, epoch {number} of 3" for number in (1, 2, 3)]
    assert all(parts[stage] <= epochs[stage] / 2 for stage in epochs)


def test_parts_in_turn_are_all_steps_each_once_and_others_the_next_time():
    data = ring_walks()
    context = np.arange(len(data.interactions), dtype=np.int32)[:, None]
    steps = TrainingSteps(data.histories(), np.ones(len(context), np.float32), SideFeatures(context, None))

    parts = [steps.part(number, parts=4, seed=1) for number in range(1, 9)]

    for turn in (parts[:4], parts[4:]):
        taken = np.concatenate([part.side.context[:, 0] for part in turn])
        assert np.sort(taken).tolist() == context[:, 0].tolist()
    for part in parts:
        assert part.histories.items.tolist() == data.histories().items[part.side.context[:, 0]].tolist()
        assert len(part.histories) == data.n_users
        assert len(part.weights) < len(context) / 2
    assert parts[0].weights.shape != parts[4].weights.shape or (parts[0].side.context != parts[4].side.context).any()
    assert steps.part(3, parts=1, seed=1) is steps


def test_no_part_is_without_a_target_that_weighs_something(monkeypatch):
    monkeypatch.setattr(loop, "_LONGEST_EPOCH", 2)
    data = ring_walks()
    weights = np.zeros(len(data.interactions), np.float32)
    offsets = data.histories().offsets
    weights[[offsets[1], offsets[4], offsets[9]]] = 1.0  # of three users
    steps = TrainingSteps(data.histories(), weights, SideFeatures(None, None))

    assert steps.count_parts() == 3
    assert [steps.part(number, parts=3, seed=seed).weights.sum() for seed in range(5) for number in (1, 2, 3)] == [
        1
    ] * 15


@dataclass(frozen=True)
class BPR:
    """A loss of this test alone: Rendle et al., "Bayesian Personalized Ranking from Implicit Feedback", UAI 2009."""

    negatives: int
    max_batch_rows: int = 48

    @property
    def n_sampled(self):
        return self.negatives

    def negative_sampler(self, counts):
        return lambda random: (random.integers(0, len(counts), self.negatives).astype(np.int32),)

    def __call__(self, hidden, vectors, biases, targets, weights, drawn):
        (negatives,) = drawn
        of_targets = (hidden * vectors[targets]).sum(axis=2) + biases[targets]
        of_negatives = hidden @ vectors[negatives].T + biases[negatives]
        return (weights * jax.nn.softplus(of_negatives - of_targets[:, :, None]).mean(axis=2)).sum()


@dataclass(frozen=True)
class GradientDescent:
    """Plain gradient descent: an optimiser of this test alone."""

    def begin(self, parameters):
        return OptimizerState(parameters, jax.tree.map(jax.numpy.array, parameters), ())

    def step(self, state, gradients, *, learning_rate):
        moved = jax.tree.map(lambda old, slope: old - learning_rate * slope, state.parameters, gradients)
        return OptimizerState(moved, jax.tree.map(jax.numpy.array, moved), ())

    def row_updates(self):
        return None


def fit_rings(**values):
    config = SASRecConfig.from_hyperparameters({
        "embedding_size": "16", "max_length": "8", "learning_rate": "0.01", "dropout": "0.1", "epochs": "15"
    })  # fmt: skip
    model = SequenceModel(SASRec.from_config(config), config, seed=1, weighs_recency=False, **values)
    return fit_sequence_model(model, ring_walks(), items=None, progress=ignore_progress).report


def test_a_loss_that_the_loop_has_never_seen_is_learnt():
    report = fit_rings(choose_loss=lambda config, *, n_items: BPR(negatives=n_items))
    assert report["training_loss"] < 0.2  # log 2 without learning
    assert report["network_validation_ndcg_at_10"] > 0.9


def test_an_optimiser_that_the_loop_has_never_seen_is_used():
    slow, adam = fit_rings(optimizer=GradientDescent()), fit_rings()
    assert adam["network_validation_ndcg_at_10"] > 0.9
    assert adam["training_loss"] < slow["training_loss"] < np.log(33)


class NewestIsBest:
    """A stopping rule of this test alone: fits that are compared end after as many epochs."""

    def __init__(self, config):
        pass

    def observe(self, value):
        return Decision(is_best=True, stop=False)


def test_steps_by_rows_learn_what_steps_on_the_whole_catalogue_learn(monkeypatch):
    def sampled(config, *, n_items):
        return SampledSoftmax(8)

    full = fit_rings(choose_loss=sampled, make_stopping_rule=NewestIsBest)
    monkeypatch.setattr(loop, "_ROWS_FROM", 0)
    by_rows = fit_rings(choose_loss=sampled, make_stopping_rule=NewestIsBest)
    assert by_rows["training_loss"] == pytest.approx(full["training_loss"], rel=0.1)
    assert by_rows["network_validation_ndcg_at_10"] > 0.9


class BestOfTwo:
    """A stopping rule of this test alone: the second epoch is the last and, whatever its value, the best."""

    def __init__(self, config):
        self._epochs = 0

    def observe(self, value):
        self._epochs += 1
        return Decision(is_best=self._epochs == 2, stop=self._epochs == 2)


def test_a_stopping_rule_that_the_loop_has_never_seen_decides():
    assert fit_rings(make_stopping_rule=BestOfTwo)["epochs"] == 2.0


def test_uses_are_counted_by_weight_or_by_age():
    histories = shoppers().histories()
    worth = np.where(histories.items == BOUGHT, np.float32(10.0), np.float32(1.0))
    plain = count_uses(histories, worth, n_items=N_ITEMS, half_life=None, items=None)
    assert plain.tolist() == [160.0, 120.0, 400.0, 0.0, 0.0]
    # The second of two steps is twice the new: all of these are newer than those at the door.
    recent = count_uses(histories, worth, n_items=N_ITEMS, half_life=0.25, items=None)
    assert recent[DOOR] < recent[CLICKED] + recent[BOUGHT]
    assert recent.sum() == pytest.approx(len(histories.items))
