"""Updates of versions that know items by their texts, from the items' table to what is served."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from common import columns
from common.artifacts import open_artifact
from common.errors import ResourceNotFound
from common.vocabulary import Vocabulary
from inference.model import ModelLoader
from inference.pipelines import Pipeline
from inference.request import RecommendationRequest
from protos.tailorbird.internal.v1 import jobs_pb2
from tests.trainer.place import SCHEMAS, Place
from tests.trainer.training.programs.test_similar_content import HEADER, ITEMS, WORDS, train
from trainer.training.update_handler import UpdateJobHandler
from trainer.worker import NullJobContext

VERSION = "artifacts/films-1"


@pytest.fixture(autouse=True)
def described(monkeypatch):
    monkeypatch.setitem(SCHEMAS, "ITEMS", ITEMS)


def bring(place: Place, rows: range) -> None:
    lines = [f"i{row:03},Film {row},{WORDS[row % 3]},{1_600_000_000 + row}" for row in rows]
    place.write("items.csv", *lines, header=HEADER)
    place.bring("s3://films/items.csv", kind="ITEMS")


def update(place: Place, base: str, name: str) -> tuple[jobs_pb2.SolutionVersionUpdateResult, str]:
    location = f"{VERSION}-updates/{name}"
    training = jobs_pb2.SolutionVersionTrainingPayload(
        solution_version_arn="arn:aws:personalize:eu-west-1:123456789012:solution/films/1",
        artifact_location=location,
        base_artifact_location=base,
        recipe="aws-semantic-similarity",
        training_mode="UPDATE",
        tables=place.tables("INTERACTIONS", "ITEMS"),
    )
    handler = UpdateJobHandler(place.store, place.training_handler())
    return handler.run(jobs_pb2.SolutionVersionUpdatePayload(training=training), NullJobContext()), location


def opened(place: Place, location: str):
    return open_artifact(place.store, location, cache=place.root / "cache")


def vectors(place: Place, location: str) -> dict[str, bytes]:
    folder = opened(place, location).folder
    items, rows = Vocabulary.load(folder, "items"), np.load(folder / "item_vectors.npy")
    return {items.id(row): rows[row].tobytes() for row in range(len(items))}


def related(place: Place, location: str, item: str) -> set[str]:
    model = ModelLoader(place.store, cache=place.root / "cache", index="auto").load(location)
    return set(Pipeline.make(model).run(RecommendationRequest(12, item_id=item)).item_ids)


def test_new_items_are_added_gone_ones_removed_and_the_others_left_as_they_are(place):
    bring(place, range(40))
    metrics = train(place).metrics
    before = vectors(place, VERSION)
    unchanged, nowhere = update(place, VERSION, "1")
    assert not unchanged.published
    with pytest.raises(ResourceNotFound):
        opened(place, nowhere)

    place.store.put(f"{VERSION}-updates/left/files-1/items.npy", b"of an update before, or an attempt that died")
    bring(place, range(5, 44))
    updated, first = update(place, VERSION, "2")

    after = vectors(place, first)
    assert set(after) == {f"i{row:03}" for row in range(5, 44)}
    assert all(after[item] == before[item] for item in after.keys() & before.keys())
    # Of their words there are 13 items, the new ones among them.
    assert related(place, first, "i041") == {f"i{row:03}" for row in range(5, 41, 3)}
    assert "i041" in related(place, first, "i005")
    manifest = opened(place, first).manifest
    assert dict(manifest.metrics) == dict(metrics)
    assert updated.published
    assert updated.artifact_bytes == sum(file.bytes for file in manifest.files)
    assert not update(place, first, "3")[0].published
    assert {item.path.split("/")[2] for item in place.store.list(f"{VERSION}-updates")} == {"2"}
    assert vectors(place, VERSION) == before


def test_a_compaction_is_no_reason_for_an_update(place):
    bring(place, range(40))
    put = place.rows("ITEMS").head(1).with_columns(pl.lit("put").alias(columns.SOURCE))
    place.table("ITEMS").append(put)
    train(place)
    before = place.table("ITEMS").version()
    place.compact("ITEMS")
    assert place.table("ITEMS").version() > before

    assert not update(place, VERSION, "1")[0].published

    place.table("ITEMS").append(put.with_columns(pl.lit("i999").alias(columns.ITEM_ID)))
    assert update(place, VERSION, "2")[0].published
