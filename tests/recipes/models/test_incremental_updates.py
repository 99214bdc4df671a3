"""An updated model is the same model for another catalogue: nothing is forgotten, and what is new begins small."""

from dataclasses import replace

import numpy as np
import pytest

from recipes.catalog import get_recipe
from recipes.components.cold_start import CONTENT_SIZE
from recipes.components.item_regression.score import ItemRegression
from recipes.components.sequential_rules import SequentialRules
from recipes.data.columns import CategoricalColumn, Columns
from recipes.data.histories import Histories, History
from recipes.models.lsa.decomposition import learn_vectors
from recipes.ports import LearntContent, SupportsIncrementalUpdate
from recipes.registry import make_fitter, open_scorer, read_config
from recipes.retrieval.top_k import top_k
from tests.recipes.suite import N_ITEMS, RING, make_data, ring_walks, walk

SMALL = {"embedding_size": "16", "layers": "1", "max_length": "8", "learning_rate": "0.01", "epochs": "5"}
#: The catalogue afterwards: the first item is gone, two are new, and every other has another index.
NEW, USED = 3, 7


def moved(item):
    """Return the present index of an item."""
    return int(np.flatnonzero(item == BEFORE)[0])


BEFORE = np.insert(np.arange(1, N_ITEMS), [NEW, USED - 1], -1)


@pytest.fixture(scope="module")
def scorer():
    declared = get_recipe("aws-user-personalization-v2")
    return make_fitter(declared, read_config(declared, SMALL), seed=1).fit(ring_walks())


def histories():
    """Let users do what they did, but that those at one item go on to one of the new ones."""
    gathered = []
    for items in ([item for item in walk(user * 5 % (4 * RING), 6) if item] for user in range(160)):
        present = [moved(item) for item in items]
        gathered.append(History.of_items([*present, USED] if items[-1] == RING else present))
    return Histories.gather(gathered)


@pytest.fixture(scope="module")
def updated(scorer):
    assert isinstance(scorer, SupportsIncrementalUpdate)
    return scorer.updated(BEFORE, now(), content=None, seed=1)


def test_known_items_keep_what_was_learnt_under_their_new_indexes(scorer, updated):
    is_old = BEFORE >= 0
    assert updated.item_vectors[is_old].tobytes() == scorer.item_vectors[BEFORE[is_old]].tobytes()
    steps = [walk(start, 4) for start in (RING, 2 * RING + 3)]
    before = scorer.embed_histories(Histories.gather([History.of_items(items) for items in steps]))
    now = updated.embed_histories(
        Histories.gather([History.of_items([moved(item) for item in items]) for items in steps])
    )
    np.testing.assert_array_equal(before, now)


def test_new_items_score_like_those_that_are_used_least(updated):
    new = updated.item_vectors[[NEW, USED]]
    assert not new[:, :-1].any()
    is_old = BEFORE >= 0
    uses = np.bincount(now().interactions.item, minlength=len(BEFORE))[is_old]
    least = np.argsort(uses, kind="stable")[: -(-len(uses) // 10)]
    assert new[0, -1] == new[1, -1] == np.median(updated.item_vectors[is_old][least, -1])


def test_rules_are_counted_again_by_the_shape_that_was_learnt(scorer, updated):
    shape = scorer._sequential_rules.shape
    again = SequentialRules.count(histories(), n_items=len(BEFORE), shape=shape)
    assert updated._sequential_rules.shape == shape
    assert updated._sequential_rules.rules.values.tobytes() == again.rules.values.tobytes()


def test_the_regression_keeps_its_weights_under_the_new_indexes(scorer):
    regression = ItemRegression(scorer._sequential_rules.rules)
    now_known = scorer.with_regression(regression).updated(BEFORE, now(), content=None, seed=1).regression
    items, sums = regression.sums(History.of_items([RING, 2 * RING]))
    present, same = now_known.sums(History.of_items([moved(RING), moved(2 * RING)]))
    assert present.tolist() == [moved(item) for item in items.tolist() if item]
    np.testing.assert_allclose(same, sums[items > 0])


def test_rules_lead_to_new_items_at_once(updated):
    history = History.of_items([moved(RING - 1), moved(RING)])
    deltas = updated.score_deltas(history)
    led = dict(zip(deltas.items.tolist(), deltas.values.tolist(), strict=True))
    assert USED in led
    assert led[USED] > 0.0
    assert NEW not in led


def test_histories_with_new_items_are_read(updated):
    history = History.of_items([USED, NEW, moved(RING)])
    assert np.isfinite(updated.embed_history(history)).all()
    assert len(top_k(updated.item_vectors @ updated.embed_history(history), 5)) == 5


def test_the_model_that_was_updated_stays_as_it_was(scorer, updated):
    assert len(scorer.item_vectors) == N_ITEMS
    assert updated is not scorer


def test_updates_are_saved_like_any_other_model(updated, tmp_path):
    updated.save(tmp_path)
    loaded = open_scorer(get_recipe("aws-user-personalization-v2"), tmp_path)
    history = History.of_items([USED, moved(RING)])
    np.testing.assert_array_equal(loaded.embed_history(history), updated.embed_history(history))


def rings_of_items():
    """Name the ring that each item stands on; the new item that nobody used is said to stand on the second."""
    names = [(f"ring {item // RING}",) if item >= 0 else () for item in BEFORE]
    names[NEW] = ("ring 1",)
    return Columns(categorical={"RING": CategoricalColumn.of_values(names)})


def now(items=None):
    users = histories()
    data = make_data([users.of(user).items for user in range(len(users))], len(BEFORE))
    return data if items is None else replace(data, items=items)


def test_columns_put_new_items_among_their_kind_and_leave_the_others(scorer, updated):
    data = now(rings_of_items())
    content = LearntContent(*learn_vectors(data.items, n_rows=data.n_items, size=CONTENT_SIZE, seed=1))
    vectors = scorer.updated(BEFORE, data, content=content, seed=1).item_vectors

    assert vectors[BEFORE >= 0].tobytes() == updated.item_vectors[BEFORE >= 0].tobytes()
    assert vectors[USED].tobytes() == updated.item_vectors[USED].tobytes()  # of which columns say nothing
    likeness = vectors[:, :-1] @ vectors[NEW, :-1]
    ring = [moved(item) for item in range(RING, 2 * RING)]
    others = [moved(item) for item in range(1, N_ITEMS - 1) if not RING <= item < 2 * RING]
    assert likeness[ring].mean() > likeness[others].max()


def test_contents_of_known_items_alone_change_nothing(scorer):
    """Nothing is predicted where no item is new, however much the columns say."""
    data = ring_walks()
    names = CategoricalColumn.of_values([(f"ring {item // RING}",) for item in range(N_ITEMS)])
    content = LearntContent(*learn_vectors(Columns(categorical={"RING": names}), n_rows=N_ITEMS, size=9, seed=1))
    same = scorer.updated(np.arange(N_ITEMS), data, content=content, seed=1)
    assert same.item_vectors.tobytes() == scorer.item_vectors.tobytes()
