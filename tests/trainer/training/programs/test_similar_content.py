"""Trainings from names and texts, with and without interactions."""

from __future__ import annotations

import numpy as np
import pytest

from common.artifacts import open_artifact
from common.errors import InvalidInput
from common.vocabulary import Vocabulary
from inference.model import ModelLoader
from inference.pipelines import Pipeline
from inference.request import RecommendationRequest
from protos.tailorbird.internal.v1 import jobs_pb2
from tests.control_plane.world import avro, column
from tests.trainer.place import SCHEMAS, Place, walks
from trainer.training.programs.similar_content import content_metrics
from trainer.worker import NullJobContext

WORDS = ("dragon sword castle", "rocket planet laser", "murder clue alibi")
HEADER = "ITEM_ID,TITLE,PLOT,CREATION_TIMESTAMP"
ITEMS = avro(
    "Items",
    column("ITEM_ID"),
    column("TITLE", itemName=True),
    column("PLOT", ["null", "string"], textual=True),
    column("CREATION_TIMESTAMP", ["null", "long"]),
)


@pytest.fixture(autouse=True)
def described(monkeypatch):
    monkeypatch.setitem(SCHEMAS, "ITEMS", ITEMS)


def bring_items(place: Place, *, texts: bool = True) -> None:
    lines = [f"i{row:03},Film {row},{WORDS[row % 3] if texts else ''},{1_600_000_000 + row}" for row in range(40)]
    place.write("items.csv", *lines, header=HEADER)
    place.bring("s3://films/items.csv", kind="ITEMS")


def train(place: Place) -> jobs_pb2.SolutionVersionTrainingResult:
    payload = jobs_pb2.SolutionVersionTrainingPayload(
        solution_version_arn="arn:aws:personalize:eu-west-1:123456789012:solution/films/1",
        artifact_location="artifacts/films-1",
        recipe="aws-semantic-similarity",
        training_mode="FULL",
        tables=place.tables("INTERACTIONS", "ITEMS"),
    )
    return place.training_handler().run(payload, NullJobContext())


def related(place: Place, item: str) -> list[str]:
    model = ModelLoader(place.store, cache=place.root / "cache", index="auto").load("artifacts/films-1")
    return list(Pipeline.make(model).run(RecommendationRequest(12, item_id=item)).item_ids)


def test_no_interactions_are_needed(place):
    bring_items(place)

    result = train(place)

    assert set(result.metrics) == {"coverage", "item_similarity", "item_freshness", "item_popularity"}
    assert result.metrics["item_popularity"] == 0.0
    manifest = open_artifact(place.store, "artifacts/films-1", cache=place.root / "cache").manifest
    assert (manifest.n_items, manifest.n_users, list(manifest.baselines)) == (40, 0, [])
    assert {int(item[1:]) % 3 for item in related(place, "i004")} == {1}


def test_interactions_make_items_popular(place):
    bring_items(place)
    place.write("a.csv", *walks(users=20))
    place.bring("s3://films/a.csv")

    assert train(place).metrics["item_popularity"] > 0.0
    folder = open_artifact(place.store, "artifacts/films-1", cache=place.root / "cache").folder
    assert len(Vocabulary.load(folder, "users")) == 20
    assert np.load(folder / "item_vectors.npy")[:, -1].max() == 1.0


def test_without_items_or_without_texts_there_is_nothing_to_learn_from(place):
    with pytest.raises(InvalidInput, match="There are no items"):
        train(place)
    bring_items(place, texts=False)
    with pytest.raises(InvalidInput, match="a textual field that at least 85% of the items have"):
        train(place)


def test_metrics_are_means_over_what_is_answered():
    from recipes.data.histories import Histories
    from recipes.models.lsa.score import LSAScorer

    # Two items with one text, one of another; coordinates: text, text, freshness, popularity.
    vectors = np.array([[1, 0, 0.0, 1.0], [1, 0, 0.5, 0.0], [0, 1, 1.0, 0.5]], np.float32)
    queries = Histories.of_items(np.array([0, 1]), np.array([0]))
    metrics = content_metrics(LSAScorer(vectors), queries)
    assert metrics == {"coverage": 0.6667, "item_similarity": 0.5, "item_freshness": 0.75, "item_popularity": 0.25}
