"""Calibration takes the cheapest index that finds enough, and leaves its files and those of the scan."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from recipes.retrieval.calibration import Plan, calibrate
from recipes.retrieval.lists import ListIndex
from recipes.retrieval.scan import ScanIndex

N_ITEMS, WIDTH = 1500, 12
SCAN_FILES = {
    "scan_block_offsets.npy", "scan_block_tails.npy", "scan_centre.npy", "scan_codes.npy", "scan_errors.npy",
    "scan_greatest.npy", "scan_highs.npy", "scan_items.npy", "scan_lows.npy", "scan_mean.npy", "scan_offsets.npy",
    "scan_queries.npy", "scan_scales.npy", "scan_tails.npy",
}  # fmt: skip
PLAN = Plan(
    scanned_from=100,
    listed_from=500,
    lists=((8, 60), (16, 300)),
    probes=(1, 4),
    search_k=(20, 50_000),
    sampled_items=500,
    sampled_trees=4,
)


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(1).standard_normal((N_ITEMS, WIDTH)).astype(np.float32)


@pytest.fixture(scope="module")
def users():
    return np.random.default_rng(2).standard_normal((300, WIDTH)).astype(np.float32)


def clock(micros, *, queries):
    """Return a timer under which searches take given times: the exact ones first, then those of each setting."""
    now = 0.0
    for step in itertools.chain.from_iterable(itertools.repeat(one, queries) for one in micros):
        yield now
        now += step / 1e6
        yield now


def calibrated(vectors, users, folder, *, micros, plan=PLAN, **options):
    queries = users[:20]
    times = clock(itertools.chain(micros, itertools.repeat(10_000)), queries=len(queries))
    return calibrate(
        vectors,
        queries,
        user_vectors=users[20:],
        folder=folder,
        seed=1,
        trees=6,
        plan=plan,
        timer=lambda: next(times),
        **options,
    )


def kinds(calibration):
    return [measured.index for measured in calibration.measurements]


def files(folder):
    return {path.name for path in folder.iterdir()}


def test_small_catalogues_are_scored_whole_and_nothing_else_is_tried(vectors, users, tmp_path):
    calibration = calibrate(vectors, users[:20], user_vectors=users[20:], folder=tmp_path, seed=1)

    assert kinds(calibration) == ["exact"]
    assert (calibration.chosen.index, calibration.has_scan, files(tmp_path)) == ("exact", False, set())
    assert calibration.distinct_items == len(
        {item for query in users[:20] for item in np.argsort(-(vectors @ query))[:25].tolist()}
    )


def test_scan_is_chosen_where_it_is_cheaper_and_kept_where_it_is_not(vectors, users, tmp_path):
    plan = Plan(scanned_from=100, listed_from=N_ITEMS + 1)
    for micros, chosen in (([100, 60], "scan"), ([100, 160], "exact")):
        folder = tmp_path / chosen
        folder.mkdir()
        calibration = calibrated(vectors, users, folder, micros=micros, plan=plan)

        assert (calibration.chosen.index, calibration.has_scan) == (chosen, True)
        assert [measured.recall_at_100 for measured in calibration.measurements] == [1.0, 1.0]
        assert [measured.proven for measured in calibration.measurements] == [1.0, 1.0]
        assert files(folder) == SCAN_FILES
        ScanIndex.open(folder, vectors)


def test_first_lists_that_find_enough_are_chosen_where_they_are_clearly_cheaper(vectors, users, tmp_path):
    calibration = calibrated(vectors, users, tmp_path, micros=[100, 60, 5, 6, 7, 8], recall_floor=0.8)

    chosen = calibration.chosen
    assert (chosen.index, chosen.clusters, chosen.list_length, chosen.probes) == ("lists", 16, 300, 4)
    assert chosen.recall_at_25 >= 0.8
    assert chosen.micros == pytest.approx(8)
    assert all(measured.recall_at_25 < 0.8 for measured in calibration.measurements[2:5])
    # Forests of a part of the catalogue were tried in all coordinates, and were no cheaper.
    tried = {(measured.transform, measured.head) for measured in calibration.measurements if measured.index == "annoy"}
    assert tried == {(name, head) for name in ("raw", "centred", "whitened") for head in (0, 10)}
    assert all(measured.items == 500 for measured in calibration.measurements if measured.index == "annoy")
    assert files(tmp_path) == SCAN_FILES | {
        f"lists_{name}.npy" for name in ("bounds", "centres", "items", "mean", "queries", "max_norm")
    }
    assert ListIndex.open(tmp_path, vectors, probes=4).lists.shape == (16, 300)


def test_what_is_chosen_is_said_to_be_good_for_as_many_as_it_finds_enough_of(vectors, users, tmp_path):
    plan = replace(PLAN, lists=((16, 120),), probes=(2,))
    chosen = calibrated(vectors, users, tmp_path, micros=[100, 60, 5], plan=plan, recall_floor=0.5).chosen

    index, best = ListIndex.open(tmp_path, vectors, probes=2), np.argsort(-(users[:20] @ vectors.T), axis=1)
    hits = [np.isin(row, index.nearest(query, 500).items) for row, query in zip(best, users[:20], strict=True)]
    recalls = {depth: float(np.mean([one[:depth] for one in hits])) for depth in (25, 50, 100, 200, 500)}
    assert chosen.recall_at_500 == pytest.approx(recalls[500])
    assert chosen.depth == max(depth for depth, recall in recalls.items() if recall >= 0.5)
    assert 25 < chosen.depth < 500


def test_lists_are_not_chosen_where_they_save_little(vectors, users, tmp_path):
    calibration = calibrated(vectors, users, tmp_path, micros=[100, 60, 50, 51, 52, 53], recall_floor=0.1)

    assert calibration.measurements[2].recall_at_25 >= 0.1
    assert calibration.chosen.index == "scan"
    assert files(tmp_path) == SCAN_FILES


def test_forest_is_built_where_that_of_a_part_promises_to_be_cheaper(vectors, users, tmp_path):
    # Lists cost more than the scan; of the six forests of a part the third finds enough at its second setting, cheaply.
    of_parts = [9, 500, 9, 500, 9, 20, 9, 500, 9, 500, 9, 500]
    calibration = calibrated(vectors, users, tmp_path, micros=[100, 60, 900, 900, *of_parts, 5, 25], recall_floor=0.9)

    chosen = calibration.chosen
    assert (chosen.index, chosen.items, chosen.trees, chosen.search_k) == ("annoy", N_ITEMS, 6, 50_000)
    assert (chosen.transform, chosen.head) == ("centred", 0)
    assert chosen.recall_at_25 >= 0.9
    assert "forest.ann" in files(tmp_path)
    assert not [name for name in files(tmp_path) if name.startswith("lists")]


def test_nothing_that_misses_too_much_is_chosen(vectors, users, tmp_path):
    calibration = calibrated(vectors, users, tmp_path, micros=[100, 60, *[1] * 40], recall_floor=1.01)

    assert {measured.index for measured in calibration.measurements} == {"exact", "scan", "lists", "annoy"}
    assert calibration.chosen.index == "scan"


def test_nothing_approximate_is_made_without_users(vectors, users, tmp_path):
    calibration = calibrated(vectors, users[:20], tmp_path, micros=[100, 60])

    assert kinds(calibration) == ["exact", "scan"]
