"""Incremental updates: what is taken up, and which models cannot be updated."""

from __future__ import annotations

import numpy as np
import pytest

from common.artifacts import open_artifact
from common.errors import InvalidInput
from inference.model import ModelLoader
from tests.trainer.place import HEADERS
from tests.trainer.training.running import QUICK_V1, opened, train


def test_an_update_takes_up_new_items_and_histories_and_learns_nothing(filled):
    train(filled, "aws-user-personalization", solution_config=QUICK_V1)
    # A type of event that sorts before the known one, an item that sorts before all others, and a new user.
    filled.write("b.csv", *(f"u{user:03},a-new,{1_800_000_000 + user},buy,1" for user in range(61) for _ in range(40)))
    filled.bring("s3://films/b.csv", replace=False)

    result = train(
        filled, "aws-user-personalization", location="artifacts/films-2", training_mode="UPDATE",
        base_artifact_location="artifacts/films-1",
    )  # fmt: skip

    base = opened(filled)
    artifact = open_artifact(filled.store, "artifacts/films-2", cache=filled.root / "cache")
    manifest = artifact.manifest
    assert dict(result.metrics) == dict(base.manifest.metrics)
    assert manifest.recipe_config_json == base.manifest.recipe_config_json
    assert {item.name for item in manifest.baselines} == {"popularity", "sequence-rules"}
    assert set(manifest.stage_seconds) == {"load", "update", "index", "pack"}
    assert (manifest.n_items, manifest.n_users, list(manifest.event_types)) == (41, 61, ["watch"])
    old, new = (np.load(opened_artifact.folder / "item_vectors.npy") for opened_artifact in (base, artifact))
    assert new[1:].tobytes() == old.tobytes()
    assert not new[0, :-1].any()  # no column describes it
    model = ModelLoader(filled.store, cache=filled.root / "cache", index="exact").load("artifacts/films-2")
    user = model.users.index("u003")
    assert model.items.ids(model.histories.of(user).items)[-1] == "a-new"
    assert model.histories.of(user).event_types.tolist()[-2:] == [1, 0]
    np.testing.assert_allclose(
        model.user_vectors[user], model.scorer.embed_history(model.histories.of(user)), rtol=1e-4, atol=1e-5
    )


def test_an_update_predicts_new_items_by_their_columns(filled):
    genres = [f"i{place:03},,{'war' if place % 2 else 'love'},," for place in range(40)]
    filled.write("items.csv", *genres, header=HEADERS["ITEMS"])
    filled.bring("s3://films/items.csv", kind="ITEMS")
    train(filled, "aws-user-personalization", solution_config=QUICK_V1)
    filled.write("more.csv", "j-new,,war,,", header=HEADERS["ITEMS"])
    filled.bring("s3://films/more.csv", kind="ITEMS", replace=False)

    train(
        filled, "aws-user-personalization", location="artifacts/films-2", training_mode="UPDATE",
        base_artifact_location="artifacts/films-1",
    )  # fmt: skip

    artifact = open_artifact(filled.store, "artifacts/films-2", cache=filled.root / "cache")
    vectors = np.load(artifact.folder / "item_vectors.npy")
    assert vectors[:-1].tobytes() == np.load(opened(filled).folder / "item_vectors.npy").tobytes()
    assert vectors[-1, :-1].any()


def test_a_model_that_cannot_be_updated_is_refused(filled):
    train(filled)
    with pytest.raises(InvalidInput, match="`trainingMode`: got 'UPDATE', want FULL: aws-popularity-count knows no"):
        train(filled, location="artifacts/films-2", base_artifact_location="artifacts/films-1")
    with pytest.raises(InvalidInput, match=r"artifacts/nothing, where nothing is published"):
        train(filled, location="artifacts/films-2", base_artifact_location="artifacts/nothing")
    with pytest.raises(
        InvalidInput, match="want FULL: the version to update is one of aws-popularity-count, not of aws-hrnn"
    ):
        train(filled, "aws-hrnn", location="artifacts/films-2", base_artifact_location="artifacts/films-1")
