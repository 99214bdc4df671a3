"""Full ranking treats ties, repeats, unknown items and broken scores as its callers rely on."""

import numpy as np
import pytest

from recipes.data.histories import Histories
from recipes.evaluation.ranking import both_lists, by_vectors, target_ranks, top_items
from recipes.ports import ScoreDelta
from recipes.retrieval.scoring import catalogue_scores
from recipes.retrieval.top_k import top_k


def histories(*users):
    offsets = np.cumsum([0, *(len(items) for items in users)])
    return Histories.of_items(offsets, np.array([item for items in users for item in items], np.int32))


def fixed(rows):
    return lambda part: np.array(rows, np.float32)[part]


def ranks(scores, users, targets, **options):
    places = target_ranks(
        fixed(scores), n_items=len(scores[0]), histories=histories(*users), targets=np.array(targets), **options
    )
    return places.tolist()


def lists(scores, users, limit, **options):
    return top_items(
        fixed(scores), n_items=len(scores[0]), histories=histories(*users), limit=limit, **options
    ).tolist()


def test_ranks_are_places_from_one():
    assert ranks([[3, 1, 2], [1, 2, 3]], [[], []], [0, 0]) == [1, 3]


def test_ties_count_against_the_target():
    assert ranks([[1, 1, 1, 0]], [[]], [0]) == [3]


def test_both_lists_are_those_with_and_without_what_was_seen():
    scores, users = [[4, 3, 2, np.nan], [1, 2, 3, 4]], histories([0], [7, 3, 3])
    both = both_lists(fixed(scores), n_items=4, histories=users, limit=2)
    assert [lists.tolist() for lists in both] == [[[0, 1], [3, 2]], [[1, 2], [2, 1]]]


def test_lists_name_the_lower_item_first():
    assert lists([[1, 2, 2, 2, 0]], [[]], 3) == [[1, 2, 3]]
    assert lists([[1, 2, 2, 2, 0]], [[]], 2) == [[1, 2]]


def test_a_model_that_knows_nothing_earns_nothing():
    assert ranks([[0.0] * 50], [[]], [7]) == [50]


def test_items_of_the_history_can_be_left_out():
    scores = [[9, 8, 7, 6]]
    assert ranks(scores, [[0, 1]], [2], exclude_seen=True) == [1]
    assert lists(scores, [[0, 1]], 2, exclude_seen=True) == [[2, 3]]


class Repeats:
    """A scorer that gives everybody the vector (1), and adds a value to what was used."""

    def __init__(self, item_scores, value):
        self.item_vectors = np.array(item_scores, np.float32)[:, None]
        self._value = value

    def embed_histories(self, histories):
        return np.ones((len(histories), 1), np.float32)

    def score_deltas(self, history):
        used = np.unique(history.items)
        return ScoreDelta(used, np.full(len(used), self._value, np.float32))


def ranks_of_two(value):
    """Return the rank of item 0 for a user who used it twice, and for one who did not."""
    scores = catalogue_scores(Repeats([5, 4, 0], value), users := histories([0, 0], [2]))
    return target_ranks(scores, n_items=3, histories=users, targets=np.array([0, 0])).tolist()


def test_a_scorer_scores_by_inner_products_and_the_adjustment_of_each_history():
    assert catalogue_scores(Repeats([5, 4, 0], -1.5), histories([0, 0], [2]))(slice(0, 2)).tolist() == [
        [3.5, 4, 0], [5, 4, -1.5],
    ]  # fmt: skip
    assert catalogue_scores(Repeats([5, 4, 0], -1.5), histories([0, 0], [2]))(slice(1, 2)).tolist() == [[5, 4, -1.5]]
    assert ranks_of_two(-1.5) == [2, 1]
    assert ranks_of_two(-0.5) == [1, 1]


def test_queries_that_are_at_hand_are_used():
    twice = np.full((1, 1), 2, np.float32)
    assert catalogue_scores(Repeats([5, 4, 0], 1), histories([2]), embeddings=twice)(slice(0, 1)).tolist() == [
        [10, 8, 1]
    ]


def test_unknown_items_of_a_history_are_passed_over():
    assert lists([[3, 2, 1]], [[-1, 3, 0]], 2, exclude_seen=True) == [[1, 2]]


def test_a_score_that_is_no_number_comes_last():
    assert lists([[np.nan, 1, 2]], [[]], 3) == [[2, 1, 0]]
    assert ranks([[np.nan, 1, 2]], [[]], [0]) == [3]


def test_vectors_score_by_inner_products():
    items, queries = np.array([[1, 0], [0, 2]], np.float32), np.array([[3, 1]], np.float32)
    assert by_vectors(items, queries)(slice(0, 1)).tolist() == [[3.0, 2.0]]


def test_batches_change_nothing():
    random = np.random.default_rng(0)
    used = [random.integers(0, 40, 4) for _ in range(23)]
    scores = catalogue_scores(Repeats(random.standard_normal(40), 0.5), histories(*used))

    def ask(**sizes):
        options = {"n_items": 40, "histories": histories(*used), **sizes}
        ranks_of_targets = target_ranks(scores, targets=np.arange(23), **options)
        lists_of_items = top_items(scores, limit=7, exclude_seen=True, **options)
        both = both_lists(scores, limit=7, **options)
        return [values.tolist() for values in (ranks_of_targets, lists_of_items, *both)]

    assert ask(batch_scores=100) == ask()


@pytest.mark.parametrize(("limit", "expected"), [(0, []), (-1, []), (2, [3, 0]), (9, [3, 0, 1, 2])])
def test_the_best_of_some_scores(limit, expected):
    assert top_k(np.array([2, 1, 1, 5], np.float32), limit).tolist() == expected


def test_the_best_are_those_of_a_full_sort():
    scores = np.random.default_rng(4).integers(0, 20, 300).astype(np.float32)
    assert top_k(scores, 60).tolist() == np.lexsort((np.arange(300), -scores))[:60].tolist()
