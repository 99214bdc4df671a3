"""Compiled scoring adds what NumPy's indexing does."""

import numpy as np
import pytest

from recipes.ports import ScoreDelta
from recipes.retrieval.scoring import add_deltas, add_in_shortlist

RANDOM = np.random.default_rng(2)
VECTORS = RANDOM.standard_normal((500, 33)).astype(np.float32)
EMBEDDING = RANDOM.standard_normal(33).astype(np.float32)


def draw(count):
    items = RANDOM.choice(500, count, replace=False).astype(np.int32)
    return items, RANDOM.standard_normal(count).astype(np.float32)


@pytest.mark.parametrize("count", [0, 1, 200])
def test_deltas_are_added_to_the_scores_of_their_items(count):
    items, values = draw(count)
    scores = VECTORS @ EMBEDDING
    expected = scores.copy()
    expected[items] += values

    add_deltas(scores, ScoreDelta(items, values))

    assert scores.tolist() == expected.tolist()


def test_deltas_of_items_that_the_scores_lack_are_passed_over():
    scores = np.zeros(3, np.float32)

    add_deltas(scores, ScoreDelta(np.array([-1, 1, 3], np.int32), np.ones(3, np.float32)))

    assert scores.tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize(("listed", "changed"), [(0, 40), (40, 0), (40, 1), (250, 250)])
def test_deltas_find_their_items_in_a_shortlist_of_any_order(listed, changed):
    shortlist, scores = draw(listed)
    items, values = draw(changed)
    by_item = dict(zip(items.tolist(), values.tolist(), strict=True))
    pairs = zip(shortlist.tolist(), scores.tolist(), strict=True)
    expected = [np.float32(score + by_item.get(item, 0.0)) for item, score in pairs]

    add_in_shortlist(scores, shortlist, items, values)

    assert scores.tolist() == pytest.approx(expected, rel=1e-6)
