"""What a fit holds out is what users did last, and epochs end when that is predicted no better."""

import numpy as np
import pytest

from common.errors import InvalidInput
from recipes.components.score_fusion.score import ScoreFusion
from recipes.data.histories import Histories, History
from recipes.models.gru.network import GRU
from recipes.ports import ScoreDelta
from recipes.training.batching import NO_SIDE_FEATURES
from recipes.training.early_stopping import EpochValidation, Patience, Validation, hold_out
from tests.recipes.network_suite import MAX_LENGTH, N_ITEMS, WIDTH, draw_parameters, served


def walks(*lengths):
    """Give user u the items 100 u, 100 u + 1 and so on; what was done and when follow from the item."""
    items = np.concatenate([100 * user + np.arange(length) for user, length in enumerate(lengths)]).astype(np.int32)
    offsets = np.cumsum([0, *lengths])
    return Histories(offsets, items, (items % 7).astype(np.uint8), 60 * items.astype(np.int64))


def held_out(lengths, count, seed=0):
    histories = walks(*lengths)
    validation, kept = hold_out(histories, count=count, seed=seed)
    return histories, validation, kept


def test_the_last_step_of_every_user_with_two_is_held_out():
    _, validation, kept = held_out([3, 1, 2], count=2)
    assert validation.targets.tolist() == [2, 201]
    assert [validation.histories.of(row).items.tolist() for row in range(2)] == [[0, 1], [200]]
    assert kept.tolist() == [True, True, False, True, True, False]


def test_shown_steps_keep_what_was_done_and_when():
    _, validation, _ = held_out([3, 1, 2], count=2)
    shown = validation.histories
    assert shown.event_types.tolist() == (shown.items % 7).tolist()
    assert shown.times.tolist() == (60 * shown.items).tolist()


def test_no_more_users_than_needed_are_held_out_and_the_seed_chooses_them():
    def chosen_users(seed):
        return (held_out([5] * 50, count=10, seed=seed)[1].targets // 100).tolist()

    assert len(set(chosen_users(1))) == 10
    assert chosen_users(1) == chosen_users(1) == sorted(chosen_users(1))
    assert chosen_users(1) != chosen_users(2)


def test_of_few_users_up_to_a_tenth_of_their_steps_is_held_out():
    _, validation, kept = held_out([40, 5], count=100)
    assert validation.targets.tolist() == [39, 38, 37, 36, 104]
    assert [validation.histories.of(row).items.tolist() for row in (0, 3)] == [list(range(39)), list(range(36))]
    assert kept.sum() == 40


def test_no_more_steps_of_each_user_than_are_needed_are_held_out():
    assert held_out([100, 100], count=4)[1].targets.tolist() == [99, 98, 199, 198]


def test_data_without_two_steps_of_anybody_are_refused():
    with pytest.raises(InvalidInput, match="users with at least 2 interactions"):
        held_out([1, 0, 1], count=5)


class Next:
    """A scorer of four items that ranks them by index, the highest first, and adds to what was used."""

    def __init__(self, value):
        self.item_vectors = np.arange(4, dtype=np.float32)[:, None]
        self._value = value

    def embed_histories(self, histories):
        return np.ones((len(histories), 1), np.float32)

    def score_deltas(self, history):
        used = np.unique(history.items)
        return ScoreDelta(used, np.full(len(used), self._value, np.float32))


def test_a_scorer_is_evaluated_with_its_score_deltas():
    histories = Histories.gather([History.of_items([3])])
    first = np.zeros(1, np.int64)
    validation = Validation(histories, np.array([2], np.int32), np.ones(1, np.float32), first, first)
    assert validation.evaluate(Next(0.0)) == pytest.approx((1 / np.log2(3), 1.0))
    assert validation.evaluate(Next(-2.0)) == pytest.approx((1.0, 1.0))
    assert validation.evaluate(Next(0.0), queries=-np.ones((1, 1), np.float32)) == pytest.approx((1 / np.log2(4), 1.0))


@pytest.mark.parametrize("lengths", [[20] * 6 + [3, 2], [60, 20]])
def test_epochs_are_measured_as_the_model_that_would_serve(lengths):
    drawn = np.random.default_rng(5)
    histories = Histories.of_items(np.cumsum([0, *lengths]), drawn.integers(0, N_ITEMS, sum(lengths)))
    steps, _ = hold_out(histories, count=20, seed=1, weights=drawn.random(sum(lengths)).astype(np.float32))
    network = GRU(width=WIDTH, bptt=8, max_length=MAX_LENGTH, dropout=0.0)
    scorer = served(network, draw_parameters(network))[2]
    prepared = EpochValidation.prepare(steps, NO_SIDE_FEATURES, n_items=N_ITEMS, max_length=MAX_LENGTH)
    assert len(prepared.read) < len(steps.targets)

    figures = prepared.measure(scorer)
    scorer.score_fusion = ScoreFusion.of_network(n_event_types=2, repeat_bias=figures.repeat_bias)
    tolerance = 1e-9 if max(lengths) == MAX_LENGTH else 0.05
    values = (figures.ndcg_at_10, figures.hit_rate_at_10)
    assert values == pytest.approx(list(steps.evaluate(scorer)), abs=tolerance)
    # Of so few items all ranks count.
    assert figures.ndcg_at_10 < figures.ndcg_at_100 < 1


def test_held_out_steps_weigh_what_they_weighed():
    histories = walks(3, 1, 2)
    weights = np.array([1, 2, 3, 4, 5, 6], np.float32)

    assert hold_out(histories, count=2, seed=0, weights=weights)[0].weights.tolist() == [3, 6]
    assert hold_out(histories, count=2, seed=0)[0].weights.tolist() == [1, 1]
    nothing = np.array([1, 1, 0, 1, 1, 0], np.float32)
    assert hold_out(histories, count=2, seed=0, weights=nothing)[0].weights.tolist() == [1, 1]


def test_patience_ends_after_evaluations_without_a_gain():
    rule = Patience(2)
    decisions = [rule.observe(value) for value in (0.1, 0.3, 0.3, 0.2)]
    assert [decision.is_best for decision in decisions] == [True, True, False, False]
    assert [decision.stop for decision in decisions] == [False, False, False, True]


def test_a_gain_begins_the_wait_anew():
    rule = Patience(2)
    assert not any(rule.observe(value).stop for value in (0.1, 0.0, 0.2, 0.1, 0.3))


def test_what_is_hardly_more_is_the_best_and_not_waited_for():
    rule = Patience(2)
    decisions = [rule.observe(value) for value in (0.3, 0.3004, 0.3008)]
    assert [decision.is_best for decision in decisions] == [True, True, True]
    assert decisions[-1].stop
    # Small gains add up to one that is.
    patient = Patience(3)
    assert not any(patient.observe(value).stop for value in (0.3, 0.3006, 0.3006, 0.3012, 0.3012, 0.3018))


def test_a_model_that_finds_nothing_is_better_than_none():
    assert Patience(1).observe(0.0) == (True, False)


def test_time_that_is_up_ends_the_epochs_even_with_a_gain():
    times = iter([0.0, 4.9, 5.0])
    rule = Patience(9, time_limit_seconds=5.0, clock=lambda: next(times))
    assert [rule.observe(value) for value in (0.1, 0.2)] == [(True, False), (True, True)]


def test_coverage_is_the_share_of_items_in_the_lists_of_the_vectors_alone():
    _, validation, _ = held_out([3] * 4, count=4)
    items = np.eye(200, dtype=np.float32) + 0.001 * np.arange(200, dtype=np.float32)[:, None]
    alike, apart = np.ones((4, 200), np.float32), 100.0 * items[:4]
    assert validation.coverage(items, alike) == 25 / 200
    assert validation.coverage(items, apart) == pytest.approx(28 / 200)  # each has one of the first four
