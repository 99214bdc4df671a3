"""A training of Next-Best-Action in a real child process, from imported files to what a runtime opens."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from common import columns
from common.arrow_schema import interactions_frame_schema
from common.artifacts import open_artifact
from common.avro import AvroSchema
from common.errors import InvalidInput
from common.tables import Table
from common.vocabulary import Vocabulary
from inference.model import ModelLoader
from inference.pipelines import Pipeline
from inference.request import RecommendationRequest
from protos.tailorbird.internal.v1 import jobs_pb2
from tests.control_plane.world import avro, column
from tests.trainer import place as places
from tests.trainer.place import walks
from trainer.training.loading import load
from trainer.training.programs.actions import load_actions
from trainer.training.snapshot import take_snapshot
from trainer.training.spec import TrainingSpec
from trainer.worker import NullJobContext

START = 1_700_000_000
ACTIONS = avro(
    "Actions",
    column("ACTION_ID"),
    column("KIND", categorical=True),
    column("VALUE", ["long", "null"]),
    column("EXPIRATION_TIMESTAMP", ["long", "null"]),
    column("REPEAT_FREQUENCY", ["long", "null"]),
)
EVENTS = avro(
    "ActionInteractions", column("USER_ID"), column("ACTION_ID"), column("EVENT_TYPE"), column("TIMESTAMP", "long")
)


@pytest.fixture
def filled(place, monkeypatch):
    monkeypatch.setitem(places.SCHEMAS, "ACTIONS", ACTIONS)
    monkeypatch.setitem(places.SCHEMAS, "ACTION_INTERACTIONS", EVENTS)
    place.write("a.csv", *walks())
    place.bring("s3://films/a.csv")
    place.write(
        "actions.csv", "join,club,7,,30", "renew,club,,1600000000,", "phone,call,3,,",
        header="ACTION_ID,KIND,VALUE,EXPIRATION_TIMESTAMP,REPEAT_FREQUENCY",
    )  # fmt: skip
    place.bring("s3://films/actions.csv", kind="ACTIONS")
    return place


def bring_events(place):
    """Let every other user take what is shown, in the spellings of the documentation; `guest` has no items."""
    lines = []
    for user in range(60):
        for action in ("join", "phone"):
            for step in range(2):
                word = "TAKEN" if user % 2 else ("Not taken", "Viewed")[step]
                lines.append(f"u{user:03},{action},{word},{START + 90_000 + user * 100 + step}")
    lines.append(f"guest,phone,taken,{START + 99_000}")
    place.write("events.csv", *lines, header="USER_ID,ACTION_ID,EVENT_TYPE,TIMESTAMP")
    place.bring("s3://films/events.csv", kind="ACTION_INTERACTIONS")


def train(place):
    payload = jobs_pb2.SolutionVersionTrainingPayload(
        solution_version_arn="arn:aws:personalize:eu-west-1:123456789012:solution/acts/1",
        artifact_location="artifacts/acts-1",
        recipe="aws-next-best-action",
        training_mode="FULL",
        tables=place.tables("INTERACTIONS", "ACTIONS", "ACTION_INTERACTIONS"),
    )
    return place.training_handler().run(payload, NullJobContext())


def loaded_events(place, rows):
    """Return the rows that are learnt from, as user, action and whether it was taken, by time."""
    (tracked,) = place.tables("ACTION_INTERACTIONS")
    Table(place.store, tracked.location).append(
        pl.DataFrame(rows, schema=interactions_frame_schema(AvroSchema.parse(EVENTS)))
    )
    tables = place.tables("INTERACTIONS", "ACTIONS", "ACTION_INTERACTIONS")
    snapshot = take_snapshot(place.store, tables)
    payload = jobs_pb2.SolutionVersionTrainingPayload(recipe="aws-next-best-action", tables=tables)
    spec = TrainingSpec(store={}, tables=snapshot.tables, payload=payload, seed=1, recall_floor=0.9, index_trees=1)
    folder = place.new_folder()
    loaded = load_actions(place.store, spec, load(place.store, spec, folder=folder), folder=folder)
    events = loaded.action_data.events
    return sorted(zip(loaded.users.ids(events.user), loaded.actions.ids(events.action), events.taken, strict=True))


def put(event_id, event_type, *, offset):
    return {
        "USER_ID": "u1", "ACTION_ID": "join", "EVENT_TYPE": event_type, "TIMESTAMP": START + offset,
        columns.SOURCE: "put", columns.EVENT_ID: event_id, columns.LOG_OFFSET: offset,
    }  # fmt: skip


def test_events_that_were_put_count_once_whatever_their_spelling(filled):
    rows = [
        put("e1", "Taken", offset=1), put("e2", "NotTaken", offset=2), put("e3", "not_taken", offset=3),
        put("e4", "NOT TAKEN", offset=4), put("e5", "nottaken", offset=5),
    ]  # fmt: skip

    # The call with the first event was repeated, and reached another events service.
    events = loaded_events(filled, [*rows, put("e1", "Taken", offset=1)])

    assert events == [("u1", "join", False)] * 4 + [("u1", "join", True)]


def test_events_without_a_user_are_of_the_last_user_of_their_session(filled):
    rows = [
        {**put("e1", "Taken", offset=1), "USER_ID": None, columns.SESSION_ID: "shared"},
        {**put("e2", "NotTaken", offset=2), "USER_ID": "u1", columns.SESSION_ID: "shared"},
        {**put("e3", "NotTaken", offset=3), "USER_ID": "u2", columns.SESSION_ID: "shared"},
        {**put("e4", "Taken", offset=4), "USER_ID": None, columns.SESSION_ID: "nobody's"},
    ]
    assert loaded_events(filled, rows) == [("u1", "join", False), ("u2", "join", False), ("u2", "join", True)]


def actions(pipeline, user, *, now):
    scored = pipeline.run(RecommendationRequest(5, user_id=user, now=now))
    return dict(zip(scored.item_ids, scored.scores, strict=True))


def test_actions_are_trained_measured_and_recommended(filled):
    bring_events(filled)

    result = train(filled)

    assert set(result.metrics) == {"coverage", "precision", "recall", "auc"}
    assert result.metrics["coverage"] == round(2 / 3, 4)
    artifact = open_artifact(filled.store, "artifacts/acts-1", cache=filled.root / "cache")
    assert [item.name for item in artifact.manifest.baselines] == ["base-rates"]
    assert result.evaluation == artifact.manifest.evaluation
    assert result.evaluation.test_users == 6  # a tenth of those with action interactions
    for model in (result.evaluation.model, *result.evaluation.baselines):
        assert [item.name for item in model.metrics] == ["coverage", "precision", "recall", "auc"]
        assert not model.metrics[0].HasField("low")
        assert all(item.low <= item.value <= item.high and item.users == 6 for item in model.metrics[1:])
    assert {item.name: round(item.value, 4) for item in result.evaluation.model.metrics} == dict(result.metrics)
    assert result.evaluation.baselines[0].name == "base-rates"
    users = Vocabulary.load(artifact.folder, "users")
    assert len(users) == 61
    model = ModelLoader(filled.store, cache=filled.root / "cache", index="annoy").load("artifacts/acts-1")
    assert model.action_ids == ["join", "phone", "renew"]
    np.testing.assert_allclose(
        model.user_vectors[users.index("u003")], model.scorer.embed_history(model.histories.of(users.index("u003")))
    )
    pipeline = Pipeline.make(model)
    later = START + 90_000 + 32 * 86_400
    taker, other = (actions(pipeline, user, now=later) for user in ("u003", "u004"))
    # `renew` has expired; the others are known to be taken by those who took before.
    assert set(taker) == set(other) == {"join", "phone"}
    assert taker["phone"] > 0.5 > other["phone"]
    soon = actions(pipeline, "u003", now=later - 10 * 86_400)
    assert set(soon) == {"phone"}


def test_actions_without_a_dataset_of_interactions_are_refused(filled):
    with pytest.raises(InvalidInput, match="aws-next-best-action needs Action_Interactions"):
        train(filled)
