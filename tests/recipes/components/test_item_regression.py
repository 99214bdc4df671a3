"""The regression of items on items is solved as it says, bounded, saved and moved, and read alike everywhere."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from common.errors import CorruptArtifact
from recipes.components.item_regression import exact, fit, limits
from recipes.components.item_regression.exact import exact_weights
from recipes.components.item_regression.fit import fit_item_regression
from recipes.components.item_regression.score import ItemRegression
from recipes.components.score_fusion.score import ScoreFusion
from recipes.components.sequential_rules import SequentialRules
from recipes.data.histories import Histories, History
from recipes.data.sparse import SparseRows

N_ITEMS = 40
ALIKE = np.ones(N_ITEMS, np.float32)


@pytest.fixture(scope="module")
def histories():
    """Users with one of two tastes, who use items of theirs in any order, some of them again."""
    random = np.random.default_rng(5)
    drawn = [random.integers(0, 20, random.integers(1, 12)) + 20 * (user % 2) for user in range(120)]
    return Histories.gather([History.of_items(items) for items in drawn])


def ignore(share):
    """Take the progress of a fit."""


def fitted(histories, *, n_items=N_ITEMS, worth=None):
    worth = np.ones(len(histories.items), np.float32) if worth is None else worth
    return fit_item_regression(histories, worth, n_items=n_items, progress=ignore)


def as_dense(weights):
    dense = np.zeros((len(weights), len(weights)))
    dense[weights.rows(), weights.columns] = weights.values
    return dense


def used(histories):
    matrix = np.zeros((len(histories), N_ITEMS))
    matrix[histories.owners(), histories.items] = 1.0
    return matrix


@pytest.mark.parametrize("n_users", [120, 25], ids=["by items", "by users"])
def test_weights_are_those_of_each_items_ridge_regression_on_all_others(histories, n_users):
    shown = histories.take(np.arange(n_users))
    matrix = used(shown)
    weights = as_dense(exact_weights(distinct(shown), ALIKE, penalty=3.0, kept=N_ITEMS, progress=ignore))
    for item in (0, 7, 39):
        others = np.delete(np.arange(N_ITEMS), item)
        features = matrix[:, others]
        by_hand = np.linalg.solve(features.T @ features + 3.0 * np.eye(N_ITEMS - 1), features.T @ matrix[:, item])
        np.testing.assert_allclose(weights[others, item], np.maximum(by_hand, 0.0), rtol=1e-5, atol=1e-7)


def distinct(histories):
    return Histories.gather([
        History.of_items(list(dict.fromkeys(histories.of(row).items.tolist()))) for row in range(len(histories))
    ])  # fmt: skip


@pytest.mark.parametrize("n_users", [120, 25], ids=["by items", "by users"])
def test_rows_are_worked_out_a_few_at_a_time_and_keep_their_largest(histories, monkeypatch, n_users):
    shown = distinct(histories.take(np.arange(n_users)))
    full = as_dense(exact_weights(shown, ALIKE, penalty=3.0, kept=N_ITEMS, progress=ignore))
    monkeypatch.setattr(exact, "ROWS_AT_ONCE", 7)
    few = exact_weights(shown, ALIKE, penalty=3.0, kept=4, progress=ignore)
    assert few.lengths().max() == 4
    for item in range(N_ITEMS):
        largest = np.sort(full[item])[::-1][:4]
        np.testing.assert_allclose(few.values[few.span(item)], largest[largest > 0.0], rtol=1e-5)


def test_items_speak_for_what_the_same_users_use_whatever_the_order(histories):
    weights = as_dense(fitted(histories).weights)
    reversed_ = Histories.gather([History.of_items(histories.of(row).items[::-1]) for row in range(len(histories))])
    np.testing.assert_allclose(as_dense(fitted(reversed_).weights), weights, rtol=1e-6)
    assert weights[:20, :20].sum() > 10 * weights[:20, 20:].sum()


def test_a_catalogue_that_is_not_solved_exactly_has_nearly_the_same_weights(histories, monkeypatch):
    solved = as_dense(fitted(histories).weights)
    monkeypatch.setattr(exact, "MAX_EXACT", 0)
    np.testing.assert_allclose(as_dense(fitted(histories).weights), solved, atol=1e-5)


def test_many_items_are_solved_exactly_where_users_are_few(histories, monkeypatch):
    few = histories.take(np.arange(25))
    assert exact.solves_exactly(few, n_items=limits.MAX_EXACT)
    assert exact.solves_exactly(few, n_items=30_000)
    # All weights of 50,000 items are too many to look through, whoever used them.
    assert not exact.solves_exactly(few, n_items=limits.MAX_ITEMS)
    monkeypatch.setattr(exact, "PER_CELL", 0)
    assert exact.solves_exactly(few, n_items=limits.MAX_ITEMS)
    monkeypatch.setattr(exact, "MAX_PRODUCTS", len(few.items) * limits.MAX_ITEMS - 1)
    assert not exact.solves_exactly(few, n_items=limits.MAX_ITEMS)
    monkeypatch.setattr(exact, "MAX_EXACT", 24)
    assert not exact.solves_exactly(few, n_items=N_ITEMS)


def test_above_the_largest_catalogue_nothing_is_solved_and_nothing_speaks(histories):
    above = fitted(histories, n_items=limits.MAX_ITEMS + 1)
    assert len(above.places) == len(above.sums(histories.of(0))[0]) == 0


@pytest.mark.parametrize("max_exact", [limits.MAX_EXACT, 0])
def test_items_are_spoken_for_as_their_uses_count_in_the_mean(histories, monkeypatch, max_exact):
    monkeypatch.setattr(exact, "MAX_EXACT", max_exact)
    worth = np.where(histories.items == 3, np.float32(0.0), np.float32(2.0))
    worth[histories.items == 5] = 0.5
    plain, weights = as_dense(fitted(histories).weights), as_dense(fitted(histories, worth=worth).weights)
    expected = plain * 2.0 / worth.mean()
    expected[:, 3], expected[:, 5] = 0.0, expected[:, 5] / 4
    np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-7)
    assert weights[3].any()


def test_of_long_histories_fewer_items_are_counted_where_there_would_be_too_many_pairs(histories, monkeypatch):
    monkeypatch.setattr(fit, "_LIMITS", (1000, 3, 2))
    monkeypatch.setattr(fit, "_PAIRS", 9 * len(histories))
    newest = Histories.gather([
        History.of_items(list(dict.fromkeys(histories.of(row).items[::-1].tolist()))[2::-1])
        for row in range(len(histories))
    ])  # fmt: skip
    weights = as_dense(fitted(histories).weights)
    monkeypatch.undo()
    np.testing.assert_array_equal(weights, as_dense(fitted(newest).weights))


def test_sums_are_those_that_requests_add_the_logarithms_of(histories):
    regression = fitted(histories).weighted(2.5, 0.01)
    fusion, rules = ScoreFusion.of_network(n_event_types=0), SequentialRules.count(histories, n_items=N_ITEMS)
    for row in range(20):
        history = histories.of(row)
        items, sums = regression.sums(history)
        deltas = fusion.score_deltas(rules, regression, history)
        served = dict(zip(deltas.items.tolist(), deltas.values.tolist(), strict=True))
        assert {item: served.pop(item) for item in items.tolist()} == pytest.approx(
            dict(zip(items.tolist(), (2.5 * np.log1p(sums)).tolist(), strict=True)), rel=1e-5
        )
        assert not any(served.values())  # what was used and nothing speaks for: no repeats are learnt here


def test_another_catalogue_keeps_the_weights_of_items_that_it_has(histories):
    regression = fitted(histories)
    before = np.array([-1, 5, 0, -1, 39, 3])
    moved = as_dense(regression.moved(before).weights)
    old = before >= 0
    np.testing.assert_array_equal(
        moved[np.ix_(old, old)], as_dense(regression.weights)[np.ix_(before[old], before[old])]
    )
    assert not moved[~old].any()
    assert not moved[:, ~old].any()
    assert len(ItemRegression.nothing().moved(before).places) == 0


def test_saved_and_loaded_regressions_are_the_same(histories, tmp_path):
    regression = fitted(histories).weighted(0.5, 0.1)
    regression.save(tmp_path)
    loaded = ItemRegression.load(tmp_path, n_items=N_ITEMS)
    for row in range(5):
        np.testing.assert_array_equal(loaded.sums(histories.of(row)), regression.sums(histories.of(row)))
    assert loaded.weight == 0.5


def test_a_regression_without_weights_and_artifacts_from_before_speak_for_nothing(tmp_path):
    ItemRegression.nothing().save(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert len(ItemRegression.load(tmp_path, n_items=N_ITEMS).places) == 0


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("regression_offsets", np.zeros(3, np.int64)),
        ("regression_offsets", None),
        ("regression_weights", np.zeros(2, np.float32)),
        ("regression_places", np.zeros((2, 2), np.float32)),
        ("regression_weight", np.zeros(())),
    ],
)
def test_files_that_do_not_fit_are_corrupt(histories, tmp_path, name, array):
    fitted(histories).save(tmp_path)
    if array is None:
        (tmp_path / f"{name}.npy").unlink()
    else:
        np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(CorruptArtifact, match="regression_"):
        ItemRegression.load(tmp_path, n_items=N_ITEMS)


def test_places_that_fall_are_corrupt(histories, tmp_path):
    regression = fitted(histories)
    offsets = regression.weights.offsets.copy()
    offsets[3], offsets[4] = offsets[4] + 1, offsets[3]
    weights = SparseRows(offsets, regression.weights.columns, regression.weights.values)
    replace(regression, weights=weights).save(tmp_path)
    with pytest.raises(CorruptArtifact, match="places that fall"):
        ItemRegression.load(tmp_path, n_items=N_ITEMS)


def test_memory_grows_with_the_pairs_that_are_looked_at():
    counts = (100, limits.MAX_EXACT, limits.MAX_ITEMS, limits.MAX_ITEMS + 1)
    estimates = [limits.fit_bytes(n_users=10**6, n_items=count) for count in counts]
    assert estimates == [796_800, 235_840_000, 1_955_686_400, 0]
    assert limits.fit_bytes(n_users=limits.MAX_EXACT, n_items=10_000) == 771_680_000


@pytest.mark.parametrize(("n_users", "n_items"), [(1200, 1000), (700, 900), (200, 4000), (20, 6000)])
def test_the_estimate_covers_what_an_exact_solution_takes(n_users, n_items):
    random = np.random.default_rng(1)
    drawn = Histories.gather([History.of_items(random.integers(0, n_items, 30)) for _ in range(n_users)])
    worth = np.ones(len(drawn.items), np.float32)
    fitted(drawn, n_items=n_items)  # so that what is compiled is not counted
    tracemalloc.start()
    try:
        shares: list[float] = []
        kept = fit_item_regression(drawn, worth, n_items=n_items, progress=shares.append)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - kept.weights.values.nbytes <= limits.fit_bytes(n_users=n_users, n_items=n_items) + 4_000_000
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
