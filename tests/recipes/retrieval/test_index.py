"""Indexes find the largest inner products; calibration takes the cheapest that finds enough."""

import itertools

import numpy as np
import pytest

from common.errors import CorruptArtifact
from recipes.retrieval.annoy import AnnoyIndex, build_annoy, with_extra_coordinate
from recipes.retrieval.calibration import calibrate
from recipes.retrieval.exact import ExactIndex

N_ITEMS, WIDTH = 3000, 16


@pytest.fixture(scope="module")
def vectors():
    random = np.random.default_rng(1)
    centres = random.standard_normal((30, WIDTH))
    # Clustered and of very different lengths, as trained vectors are.
    drawn = centres[random.integers(0, 30, N_ITEMS)] + 0.4 * random.standard_normal((N_ITEMS, WIDTH))
    return (drawn * random.lognormal(0, 0.5, (N_ITEMS, 1))).astype(np.float32)


@pytest.fixture(scope="module")
def queries():
    return np.random.default_rng(2).standard_normal((60, WIDTH), np.float32)


@pytest.fixture(scope="module")
def forest(vectors, tmp_path_factory):
    path = tmp_path_factory.mktemp("index") / "index.ann"
    build_annoy(vectors, path, seed=1)
    return path


def test_exact_search_is_a_full_sort(vectors, queries):
    items, scores = ExactIndex(vectors).search(queries[0], 25)
    products = vectors @ queries[0]
    assert items.tolist() == np.argsort(-products, kind="stable")[:25].tolist()
    np.testing.assert_array_equal(scores, products[items])
    assert (items.dtype, scores.dtype) == (np.int32, np.float32)


def test_annoy_finds_nearly_all_of_it_and_scores_it_exactly(vectors, queries, forest):
    exact, annoy = ExactIndex(vectors), AnnoyIndex(forest, vectors, search_k=20_000)
    hits = 0
    for query in queries:
        items, scores = annoy.search(query, 25)
        np.testing.assert_allclose(scores, vectors[items] @ query, rtol=1e-5)
        assert (np.diff(scores) <= 0).all()
        hits += len(np.intersect1d(items, exact.search(query, 25)[0]))
    assert hits / (25 * len(queries)) >= 0.95


def test_more_inspected_nodes_find_more(vectors, queries, forest):
    exact = [ExactIndex(vectors).search(query, 25)[0] for query in queries]

    def recall(search_k):
        annoy = AnnoyIndex(forest, vectors, search_k=search_k)
        lists = [annoy.search(query, 25)[0] for query in queries]
        return np.mean([np.isin(one, right).mean() for one, right in zip(lists, exact, strict=True)])

    assert recall(200) < recall(20_000)


def test_the_extra_coordinate_gives_one_length_and_leaves_products_alone(vectors, queries):
    extended = with_extra_coordinate(vectors)
    lengths = np.linalg.norm(extended, axis=1)
    np.testing.assert_allclose(lengths, lengths.max(), rtol=1e-5)
    np.testing.assert_allclose(extended @ np.append(queries[0], 0), vectors @ queries[0], rtol=1e-4, atol=1e-4)


def test_the_same_vectors_and_seed_build_the_same_bytes(vectors, forest, tmp_path):
    build_annoy(vectors, tmp_path / "again.ann", seed=1)
    assert (tmp_path / "again.ann").read_bytes() == forest.read_bytes()


def test_the_forest_of_another_catalogue_is_corrupt(vectors, forest):
    with pytest.raises(CorruptArtifact, match=r"index\.ann: got 3000 items, want 2999"):
        AnnoyIndex(forest, vectors[1:], search_k=100)


def test_a_missing_forest_is_corrupt(vectors, tmp_path):
    with pytest.raises(CorruptArtifact, match=r"none\.ann"):
        AnnoyIndex(tmp_path / "none.ann", vectors, search_k=100)


@pytest.mark.parametrize("n_items", [1, 3])
def test_small_catalogues_are_found_whole(n_items, tmp_path):
    vectors = np.eye(3, dtype=np.float32)[:n_items]
    build_annoy(vectors, tmp_path / "small.ann", seed=1)
    query = np.array([1, 2, 3], np.float32)
    exact = ExactIndex(vectors).search(query, 25)[0].tolist()
    assert AnnoyIndex(tmp_path / "small.ann", vectors, search_k=1000).search(query, 25)[0].tolist() == exact


def clock(*, exact_micros, annoy_micros, queries):
    """Return a timer under which searches take given times: first the exact ones, then those of each setting."""
    steps = itertools.chain([exact_micros] * queries, *(itertools.repeat(micros, queries) for micros in annoy_micros))
    now = 0.0
    for step in steps:
        yield now
        now += step / 1e6
        yield now


def calibrated(vectors, queries, forest, *, exact_micros, annoy_micros, **options):
    times = clock(exact_micros=exact_micros, annoy_micros=annoy_micros, queries=len(queries))
    return calibrate(vectors, queries, path=forest, timer=lambda: next(times), **options)


def test_exact_search_is_chosen_where_it_is_as_cheap(vectors, queries, forest):
    calibration = calibrated(vectors, queries, forest, exact_micros=100, annoy_micros=[90], search_k=[50_000])
    assert calibration.measurements[1].recall_at_25 >= 0.98
    assert calibration.chosen.index == "exact"


def test_annoy_is_chosen_where_it_finds_enough_and_is_clearly_cheaper(vectors, queries, forest):
    calibration = calibrated(
        vectors, queries, forest, exact_micros=1000, annoy_micros=[10, 20], search_k=[100, 50_000, 60_000]
    )
    assert (calibration.chosen.index, calibration.chosen.search_k) == ("annoy", 50_000)
    assert calibration.chosen.micros == pytest.approx(20)
    # Nothing is tried beyond the first setting that finds enough.
    assert [measured.search_k for measured in calibration.measurements] == [None, 100, 50_000]


def test_an_index_that_never_finds_enough_is_not_chosen(vectors, queries, forest):
    calibration = calibrated(
        vectors, queries, forest, exact_micros=1000, annoy_micros=[10], search_k=[100], recall_floor=1.0
    )
    assert calibration.measurements[1].recall_at_25 < 1.0
    assert calibration.chosen.index == "exact"


def test_measuring_ends_where_annoy_is_no_cheaper(vectors, queries, forest):
    calibration = calibrated(
        vectors, queries, forest, exact_micros=10, annoy_micros=[20], search_k=[100, 200], recall_floor=1.0
    )
    assert len(calibration.measurements) == 2
