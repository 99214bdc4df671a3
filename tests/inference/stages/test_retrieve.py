"""Exact and approximate retrieval find what looking at every item finds, and give shares of the softmax."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import CorruptArtifact
from inference.stages.retrieve import AnnoyRetrieval, ExactRetrieval, open_retrieval
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from recipes.ports import ScoreDelta
from recipes.retrieval import AnnoyIndex, build_annoy

N_ITEMS, DIMENSIONS = 3000, 16
NOTHING = ScoreDelta.nothing()


class Vectors:
    """A scorer of given vectors."""

    def __init__(self) -> None:
        random = np.random.default_rng(4)
        self.item_vectors = random.standard_normal((N_ITEMS, DIMENSIONS)).astype(np.float32)


def query(seed):
    return np.random.default_rng(seed).standard_normal(DIMENSIONS).astype(np.float32)


def look_at_all(scorer, vector, change):
    """Return all scores, float64, the softmax's shares, and the items, best first."""
    scores = scorer.item_vectors.astype(np.float64) @ vector.astype(np.float64)
    scores[change.items] += change.values
    shares = np.exp(scores - scores.max())
    return shares / shares.sum(), np.argsort(-scores, kind="stable")


@pytest.fixture(scope="module")
def scorer():
    return Vectors()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("index")
    build_annoy(Vectors().item_vectors, made / "index.ann", seed=1)
    return made


@pytest.fixture(
    scope="module",
    params=[[-3.0] * 5, [0.0] * 5, [2.0] * 5, [-30.0, 2.0, -0.5, 0.0, 30.0]],
    ids=["all lowered", "none changed", "all raised", "some lowered, some raised"],
)
def change(scorer, request):
    """Change some of the best items of query 0, one far behind, and the last."""
    _, items = look_at_all(scorer, query(0), NOTHING)
    return ScoreDelta(items[[0, 3, 5, 600, N_ITEMS - 1]].astype(np.int32), np.array(request.param, np.float32))


def test_exact_is_what_looking_at_all_gives(scorer, change):
    shares, items = look_at_all(scorer, query(0), change)

    found = ExactRetrieval(scorer).find(query(0), change=change, limit=25)

    assert found.items.tolist() == items[:25].tolist()
    np.testing.assert_allclose(found.scores, shares[items[:25]], rtol=1e-4)


def test_exact_shares_of_all_items_are_one(scorer):
    found = ExactRetrieval(scorer).find(query(1), change=NOTHING, limit=N_ITEMS)

    assert len(found.items) == N_ITEMS
    assert found.scores.sum() == pytest.approx(1.0, abs=1e-4)


def test_annoy_that_looks_at_every_node_is_what_looking_at_all_gives(scorer, folder, change):
    _, items = look_at_all(scorer, query(0), change)
    index = AnnoyIndex(folder / "index.ann", scorer.item_vectors, search_k=10_000_000)

    found = AnnoyRetrieval(scorer, index).find(query(0), change=change, limit=25)

    assert found.items.tolist() == items[:25].tolist()
    assert (np.diff(found.scores) <= 0).all()
    assert 0.0 < found.scores.sum() <= 1.0 + 1e-6


def test_annoy_finds_most_of_the_best(scorer, folder):
    index = AnnoyIndex(folder / "index.ann", scorer.item_vectors, search_k=4000)
    retrieval = AnnoyRetrieval(scorer, index)
    exact = ExactRetrieval(scorer)

    recalls = [
        len(np.intersect1d(retrieval.find(query(seed), change=NOTHING, limit=25).items,
                           exact.find(query(seed), change=NOTHING, limit=25).items)) / 25
        for seed in range(40)
    ]  # fmt: skip

    assert np.mean(recalls) > 0.9


def manifest(chosen):
    made = ArtifactManifest()
    made.index.chosen = chosen
    made.index.measurements.add(index="annoy", search_k=2000)
    return made


@pytest.mark.parametrize(
    ("mode", "chosen", "kind"),
    [
        ("auto", "exact", ExactRetrieval),
        ("auto", "annoy", AnnoyRetrieval),
        ("annoy", "exact", AnnoyRetrieval),
        ("exact", "annoy", ExactRetrieval),
    ],
)
def test_index_is_the_calibrations_choice_unless_forced(scorer, folder, mode, chosen, kind):
    assert isinstance(open_retrieval(folder, manifest(chosen), scorer=scorer, mode=mode), kind)


def test_unknown_choice_is_a_corrupt_artifact(scorer, folder):
    with pytest.raises(CorruptArtifact, match=r"`index\.chosen`: got 'ivf', want annoy or exact"):
        open_retrieval(folder, manifest("ivf"), scorer=scorer, mode="auto")


def test_index_of_another_catalogue_is_a_corrupt_artifact(scorer, folder):
    fewer = Vectors()
    fewer.item_vectors = fewer.item_vectors[:-1]

    with pytest.raises(CorruptArtifact, match="got 3000 items, want 2999"):
        open_retrieval(folder, manifest("annoy"), scorer=fewer, mode="auto")
