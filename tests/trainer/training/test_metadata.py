"""What models may learn of items and users: which columns, and what they hold."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest

from common import columns as reserved
from common.avro import AvroSchema
from common.features import FeatureSnapshot
from common.features.writer import write_features
from protos.tailorbird.control.v1.solution_config_pb2 import SolutionConfig
from protos.tailorbird.storage.v1.feature_manifest_pb2 import FeatureManifest
from recipes.data.columns import NO_TIME
from recipes.data.texts import clean_text
from tests.control_plane.world import avro, column
from tests.trainer.place import HEADERS, training_columns, walks
from trainer.training.loading import load
from trainer.training.metadata import MetadataTable
from trainer.training.snapshot import take_snapshot
from trainer.training.spec import TrainingSpec

SCHEMA = avro(
    "Items",
    column("ITEM_ID"),
    column("GENRES", ["null", "string"], categorical=True),
    column("PRICE", ["null", "float"]),
    column("PLOT", ["null", "string"], textual=True),
    column("TITLE", ["null", "string"], itemName=True),
    column("SHELF", ["null", "string"]),
    column("NEW", ["null", "boolean"]),
    column("CREATION_TIMESTAMP", ["null", "long"]),
)
TYPES = {
    "ITEM_ID": pl.String, "GENRES": pl.String, "PRICE": pl.Float32, "PLOT": pl.String, "TITLE": pl.String,
    "SHELF": pl.String, "NEW": pl.Boolean, "CREATION_TIMESTAMP": pl.Int64, reserved.SOURCE: pl.String,
    reserved.LOG_OFFSET: pl.Int64,
}  # fmt: skip


def table_of(*rows: dict[str, object], learns_from=lambda column: True) -> MetadataTable:
    plain = {"ITEM_ID": "i1", reserved.SOURCE: "bulk"}
    frame = pl.DataFrame([plain | row for row in rows], schema=TYPES)
    # The files go with the folder, and stay for as long as they are mapped.
    with TemporaryDirectory() as name:
        work, target = Path(name, "work"), Path(name, "files")
        work.mkdir()
        target.mkdir()
        count, written = write_features(
            [frame], AvroSchema.parse(SCHEMA), work=work, target=target, memory_bytes=1 << 20, check=lambda: None
        )
        snapshot = FeatureSnapshot.load(target, FeatureManifest(schema=SCHEMA, n_rows=count, columns=written))
    return MetadataTable.of(snapshot, learns_from=learns_from)


def columns_of(*rows: dict[str, object], ids=None, learns_from=lambda column: True):
    item_ids = pl.Series(ids or [row.get("ITEM_ID", "i1") for row in rows])
    return table_of(*rows, learns_from=learns_from).columns(item_ids)


def test_the_schema_says_what_a_column_is():
    columns = columns_of(
        {"GENRES": "War| Drama|War|", "PRICE": 2.5, "PLOT": "A <b>plot</b>", "TITLE": "One", "SHELF": "x", "NEW": True,
         "CREATION_TIMESTAMP": 7},
        {"ITEM_ID": "i2", "PLOT": "Another", "TITLE": "Two"},
    )  # fmt: skip
    genres = columns.categorical["GENRES"]
    assert (genres.categories, genres.offsets.tolist(), genres.codes.tolist()) == (("Drama", "War"), [0, 2, 2], [1, 0])
    assert (columns.numeric["PRICE"][0], np.isnan(columns.numeric["PRICE"][1])) == (2.5, True)
    assert columns.textual == {"PLOT": ("A plot", "Another")}
    assert (columns.names, columns.created.tolist()) == (("One", "Two"), [7, NO_TIME])
    assert (list(columns.categorical), list(columns.numeric)) == (["GENRES"], ["PRICE"])


def test_ids_without_a_row_are_empty_and_the_order_is_the_askers():
    columns = columns_of({"ITEM_ID": "i2", "GENRES": "War", "PLOT": "A plot"}, ids=["i1", "i2"])
    assert columns.categorical["GENRES"].offsets.tolist() == [0, 0, 1]
    assert columns.textual["PLOT"] == (None, "A plot")
    assert columns.created.tolist() == [NO_TIME, NO_TIME]


def test_a_time_of_creation_may_lie_before_1970():
    assert columns_of({"CREATION_TIMESTAMP": -1}).created.tolist() == [-1]


@pytest.mark.parametrize(("empty", "used"), [(3, True), (4, False)])
def test_a_text_that_too_few_items_have_is_not_used(empty, used):
    rows = [{"ITEM_ID": f"i{number:02}", "PLOT": None if number < empty else "A plot"} for number in range(20)]
    assert ("PLOT" in columns_of(*rows).textual) is used


def test_what_was_put_holds_over_what_was_imported():
    columns = columns_of({"PRICE": 1.0, reserved.SOURCE: "put", reserved.LOG_OFFSET: 7}, {"PRICE": 2.0}, ids=["i1"])
    assert columns.numeric["PRICE"].tolist() == [1.0]


def test_categories_that_none_of_the_asked_has_are_left_out():
    columns = columns_of({"GENRES": "War|Drama"}, {"ITEM_ID": "i2", "GENRES": "Comedy|War"}, ids=["i2", "i3", "i2"])
    genres = columns.categorical["GENRES"]
    assert genres.categories == ("Comedy", "War")
    assert (genres.offsets.tolist(), genres.codes.tolist()) == ([0, 2, 2, 4], [0, 1, 0, 1])


def test_what_is_described_has_a_value_that_can_be_learnt_from():
    rows = (
        {"ITEM_ID": "genre", "GENRES": "War"},
        {"ITEM_ID": "price", "PRICE": 0.0},
        {"ITEM_ID": "blank", "GENRES": " | "},
        {"ITEM_ID": "texts", "PLOT": "A plot", "TITLE": "One", "SHELF": "x", "NEW": True, "CREATION_TIMESTAMP": 7},
    )
    assert set(table_of(*rows).described()) == {"genre", "price"}
    assert set(table_of(*rows, learns_from=lambda column: column != "PRICE").described()) == {"genre"}


def test_a_dataset_without_rows_gives_empty_columns():
    columns = columns_of(ids=["i1"])
    assert columns.categorical["GENRES"].offsets.tolist() == [0, 0]
    assert np.isnan(columns.numeric["PRICE"]).tolist() == [True]
    assert (columns.textual, columns.names, columns.created.tolist()) == ({}, (None,), [NO_TIME])


def test_columns_that_the_solution_leaves_out_are_not_there():
    row = {"GENRES": "War", "PRICE": 1.0, "TITLE": "One", "CREATION_TIMESTAMP": 7}
    columns = columns_of(row, learns_from=lambda column: column == "PRICE")
    assert (list(columns.numeric), list(columns.categorical), columns.names, columns.created) == (
        ["PRICE"],
        [],
        None,
        None,
    )


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<p>Fast&nbsp;&amp; <br/>loud\n\tcar</p>", "Fast & loud car"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("&lt;b&gt; is bold<!-- aside -->", "<b> is bold"),
    ],
)
def test_texts_lose_what_is_not_text(text, plain):
    assert clean_text(text) == plain


@pytest.fixture
def make_spec(place):
    place.write("a.csv", *walks())
    place.bring("s3://films/a.csv")
    place.write("items.csv", "i000,One,War|Drama,1990,true", "i999,Two,Drama,,", header=HEADERS["ITEMS"])
    place.bring("s3://films/items.csv", kind="ITEMS")
    place.write("users.csv", "u001,30", "u999,40", header=HEADERS["USERS"])
    place.bring("s3://films/users.csv", kind="USERS")

    def make(**columns: dict[str, tuple[str, ...]]) -> TrainingSpec:
        snapshot = take_snapshot(place.store, place.tables("INTERACTIONS", "ITEMS", "USERS"))
        config = SolutionConfig(training_data_config=training_columns(**columns))
        return place.spec(snapshot.tables, "aws-user-personalization-v2", solution_config=config)

    return make


def test_metadata_stand_at_the_indexes_of_their_ids(place, make_spec):
    loaded = load(place.store, make_spec(), folder=place.new_folder())

    items, users = loaded.data.items, loaded.data.users
    assert items.categorical["GENRES"].rows().tolist() == [0, 0, 40]
    assert items.numeric["YEAR"][[0, 40]].tolist()[0] == 1990
    assert (len(items.numeric["YEAR"]), len(users.numeric["AGE"])) == (41, 61)
    assert users.numeric["AGE"][loaded.users.index("u001")] == 30


def test_the_order_says_what_is_learnt_from(place, make_spec):
    spec = make_spec(excluded_columns={"ITEMS": ("GENRES",)}, included_columns={"USERS": ()})
    data = load(place.store, spec, folder=place.new_folder()).data
    assert (list(data.items.categorical), list(data.items.numeric)) == ([], ["YEAR"])
    assert not data.users
