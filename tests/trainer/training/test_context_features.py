"""Metadata columns of interactions reach the model as the context of each step, in the order of the steps."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from common import columns
from common.arrow_schema import interactions_frame_schema
from common.avro import AvroSchema
from common.tables import Table
from protos.tailorbird.control.v1.common_pb2 import StringList, TrainingDataConfig
from protos.tailorbird.control.v1.solution_config_pb2 import SolutionConfig
from recipes.evaluation.splits import hold_out_users
from tests.control_plane.world import avro, column
from tests.trainer.place import SCHEMAS
from trainer.training.context_features import context_fields, first_hidden
from trainer.training.loading import load
from trainer.training.programs import run_program
from trainer.training.spec import TableVersion, TrainingSpec

SCHEMA = avro(
    "Interactions",
    *json.loads(SCHEMAS["INTERACTIONS"])["fields"],
    column("DEVICE", ["null", "string"], categorical=True),
    column("HOUR", "int"),
    column("COMMENT", ["null", "string"]),
    column("SALE", ["null", "boolean"]),
    column("IMPRESSION", ["null", "string"]),
)
USERS, STEPS, ITEMS = 60, 20, 40
SMALL = {"embedding_size": "8", "layers": "1", "max_length": "8", "epochs": "1"}


def device(user: int, step: int) -> str | None:
    return (None, "tv", "phone")[(user + step) % 3]


@pytest.fixture
def make_spec(place):
    """Write walks whose device and hour follow from user and step, and return a function that makes specs on them."""
    rows = [
        {
            "USER_ID": f"u{user:03}", "ITEM_ID": f"i{(user * 7 + step) % ITEMS:03}", "TIMESTAMP": 1000 + step,
            "EVENT_TYPE": "watch", "DEVICE": device(user, step), "HOUR": step, columns.SOURCE: "bulk",
        }
        for user in range(USERS)
        for step in range(STEPS)
    ]  # fmt: skip
    frame = pl.DataFrame(rows, schema=interactions_frame_schema(AvroSchema.parse(SCHEMA)))
    table = Table(place.store, "datasets/group/SITUATED")
    table.append(frame.sample(fraction=1.0, shuffle=True, seed=4), app_id=columns.EVENTS_APP_ID, number=1)

    def make(
        recipe: str = "aws-user-personalization-v2", *, columns: TrainingDataConfig | None = None, **values: str
    ) -> TrainingSpec:
        version = TableVersion(
            dataset_type="INTERACTIONS", location="datasets/group/SITUATED", avro_schema=SCHEMA, version=table.version()
        )
        config = SolutionConfig(algorithm_hyper_parameters=values, training_data_config=columns)
        return place.spec([version], recipe, solution_config=config)

    return make


def test_categorical_and_numeric_columns_are_context():
    assert [field.name for field in context_fields(AvroSchema.parse(SCHEMA))] == ["DEVICE", "HOUR"]


def test_every_step_has_its_own_context(place, make_spec):
    loaded = load(place.store, make_spec(), folder=place.new_folder())
    context, histories = loaded.data.context, loaded.data.histories()
    meaning = context.meaning
    for user in (0, 31, 59):
        rows = slice(histories.offsets[user], histories.offsets[user + 1])
        devices = [meaning.values[code] or None for code in context.codes[rows, 0]]
        assert devices == [device(user, step) for step in range(STEPS)]
        hours = meaning.lower[context.codes[rows, 1]]
        assert (np.diff(hours[1:]) >= 0).all()


def test_test_users_have_the_context_of_what_comes_next(place, make_spec):
    data = load(place.store, make_spec(), folder=place.new_folder()).data
    split = hold_out_users(data, seed=1)
    codes = first_hidden(data, split)
    assert [data.context.meaning.values[code] or None for code in codes[:, 0]] == [
        device(user, STEPS - 2) for user in split.users.tolist()
    ]


def test_recipes_that_do_not_learn_from_context_are_given_none(place, make_spec):
    data = load(place.store, make_spec("aws-popularity-count"), folder=place.new_folder()).data
    assert data.context is None
    assert first_hidden(data, hold_out_users(data, seed=1)) is None


def test_columns_that_a_solution_leaves_out_are_no_context(place, make_spec):
    left_out = TrainingDataConfig(excluded_dataset_columns={"INTERACTIONS": StringList(values=["DEVICE"])})
    data = load(place.store, make_spec(columns=left_out), folder=place.new_folder()).data
    assert data.context.meaning.names == ("HOUR",)


def test_what_was_learnt_of_context_is_part_of_the_artifact(tmp_path, make_spec):
    run_program(make_spec(**SMALL), tmp_path, progress=lambda **report: None)
    assert np.load(tmp_path / "artifact" / "context_names.npy").tolist() == ["DEVICE", "HOUR"]
    vectors = np.load(tmp_path / "artifact" / "context_vectors.npy")
    assert np.abs(vectors[1:]).max(axis=1).min() > 0.0
    assert not vectors[0].any()
