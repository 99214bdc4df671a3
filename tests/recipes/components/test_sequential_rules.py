"""Rules that are cut, applied and kept give what can be worked out by hand, however they are added up."""

import numpy as np
import pytest

from common.errors import CorruptArtifact
from recipes.components.sequential_rules import PLACES, SequentialRules
from recipes.components.sequential_rules import rules as rules_module
from recipes.data.histories import Histories, History
from recipes.data.sparse import SparseRows

#: Weights of the newest items, the newest first: 1, 1/2, 1/4 and so on.
HALVES = (0.5 ** np.arange(PLACES)).astype(np.float32)


def rules_of(*sequences, n_items, **options):
    return SequentialRules.count(
        Histories.gather([History.of_items(one) for one in sequences]), n_items=n_items, **options
    )


def matrix(rows):
    """Make rules of one dictionary of strengths per leader."""
    offsets = np.cumsum([0, *(len(row) for row in rows)])
    columns = np.array([column for row in rows for column in sorted(row)], np.int32)
    values = np.array([row[column] for row in rows for column in sorted(row)], np.float32)
    return SequentialRules(SparseRows(offsets, columns, values))


def strengths(rules, *items, weights=HALVES):
    found, values = rules.strengths(History.of_items(items), weights=weights)
    assert (found.dtype, values.dtype) == (np.int32, np.float32)
    return dict(zip(found.tolist(), values.tolist(), strict=True))


@pytest.fixture(params=[0, 50_000], ids=["sorted", "in one array"])
def either_way(request, monkeypatch):
    monkeypatch.setattr(rules_module, "_DENSE", request.param)


def test_a_rule_is_a_count_with_both_popularities_divided_out():
    # 0 is used three times, 1 twice and 2 once; 1 follows 0 twice, 2 once at distance 1 and once at distance 2.
    rules = rules_of([0, 1], [0, 1], [0, 2], n_items=4)
    assert strengths(rules, 0) == pytest.approx({1: 2 / 3**0.5 / 2**0.3, 2: 1 / 3**0.5})


def test_farther_followers_count_less_and_none_beyond_the_window():
    rules = rules_of(list(range(12)), n_items=12)
    assert strengths(rules, 0) == pytest.approx({item: 1 / item for item in range(1, 11)})


def test_only_the_strongest_followers_of_an_item_are_kept():
    assert strengths(rules_of([0, 1, 2, 3, 4], n_items=5, kept=2), 0) == pytest.approx({1: 1.0, 2: 1 / 2})


@pytest.mark.usefixtures("either_way")
def test_strengths_of_the_newest_items_are_added_up_by_their_weights():
    rules = matrix([{1: 2.0, 3: 4.0}, {0: 1.0, 3: 8.0}, {}, {}])
    assert strengths(rules, 0, 1) == {0: 1.0, 1: 1.0, 3: 10.0}
    assert strengths(rules, 1, 0) == {0: 0.5, 1: 2.0, 3: 8.0}
    assert strengths(rules, 0, 0) == {1: 3.0, 3: 6.0}


@pytest.mark.usefixtures("either_way")
def test_items_before_the_last_places_lead_nowhere():
    rules = matrix([{1: 1.0}, {}])
    assert strengths(rules, 0, *[1] * (PLACES - 1)) == {1: HALVES[-1]}
    assert strengths(rules, 0, *[1] * PLACES) == {}


@pytest.mark.usefixtures("either_way")
def test_nothing_leads_nowhere():
    assert strengths(matrix([{1: 1.0}, {}])) == {}
    assert strengths(matrix([{1: 1.0}, {}]), 1) == {}


def test_both_ways_give_the_same_bytes(monkeypatch):
    random = np.random.default_rng(3)
    rules = rules_of(*(random.integers(0, 200, 40) for _ in range(100)), n_items=200)
    history = History.of_items(random.integers(0, 200, 30))

    def found():
        return [array.tobytes() for array in rules.strengths(history, weights=HALVES)]

    dense = found()
    monkeypatch.setattr(rules_module, "_DENSE", 0)
    assert found() == dense


def test_saved_and_loaded_rules_are_the_same(tmp_path):
    rules = rules_of([0, 1, 2, 0], n_items=3)
    rules.save(tmp_path)
    assert strengths(SequentialRules.load(tmp_path, n_items=3), 0, 1) == strengths(rules, 0, 1)


def test_rules_of_another_catalogue_are_corrupt(tmp_path):
    rules_of([0, 1], n_items=3).save(tmp_path)
    with pytest.raises(CorruptArtifact, match=r"rule_offsets\.npy`: got shape \(4,\), want 5"):
        SequentialRules.load(tmp_path, n_items=4)


def test_missing_rules_are_corrupt(tmp_path):
    with pytest.raises(CorruptArtifact, match=r"rule_offsets\.npy"):
        SequentialRules.load(tmp_path, n_items=4)


def test_steps_count_as_followers_by_their_weights():
    plain = rules_of([0, 1], [0, 2], n_items=3)
    weighed = rules_of([0, 1], [0, 2], n_items=3, weights=np.array([1, 4, 1, 1], np.float32))

    assert strengths(plain, 0) == pytest.approx({1: 2**-0.5, 2: 2**-0.5})
    # Item 1 follows by 4; it is used 4 times as much, which is divided out to the power 0.3.
    assert strengths(weighed, 0) == pytest.approx({1: 4 * 2**-0.5 * 4**-0.3, 2: 2**-0.5})
