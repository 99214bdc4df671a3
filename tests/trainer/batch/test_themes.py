"""Themes of batch inference jobs: what the items of a list have in common is said from the Items dataset."""

from __future__ import annotations

import polars as pl
import pytest

from common.columns import SOURCE, SOURCE_BULK
from common.errors import InvalidInput
from common.tables import Table
from protos.tailorbird.control.v1.batch_inference_job_pb2 import BatchInferenceJobMode, ThemeGenerationConfig
from protos.tailorbird.internal.v1 import jobs_pb2
from recipes.components.themes.loading import load_writer
from tests.control_plane.world import avro, column
from tests.runtime_service.world import N_ITEMS, item
from trainer.batch.inference_handler import BatchInferenceJobHandler
from trainer.worker import NullJobContext

TABLE = jobs_pb2.DatasetTable(
    dataset_type="ITEMS",
    location="datasets/films/items",
    schema=avro(
        "Items",
        column("ITEM_ID"),
        column("TITLE", ["null", "string"]),
        column("PLOT", ["null", "string"], textual=True),
        column("GENRES", ["null", "string"], categorical=True),
    ),
)
THEMES = {
    "mode": BatchInferenceJobMode.BATCH_INFERENCE_JOB_MODE_THEME_GENERATION,
    "theme_generation_config": ThemeGenerationConfig(fields_for_theme_generation={"item_name": "TITLE"}),
    "tables": [TABLE],
}
#: Whoever uses an item of one half uses no item of the other; each half is about something else.
PLOTS = (
    ("<p>The crew of a space station fights the {} in orbit</p>", "Film|Science"),
    ("A jazz band plays for the {} of a small town", "Film|Music"),
)
VILLAINS = ("pirates", "mayor", "robots")


@pytest.fixture
def described(place):
    halves = [2 * number // N_ITEMS for number in range(N_ITEMS)]
    rows = {
        "ITEM_ID": [item(number) for number in range(N_ITEMS)],
        "TITLE": [f"Film of {number}" for number in range(N_ITEMS)],
        "PLOT": [PLOTS[half][0].format(VILLAINS[number % 3]) for number, half in enumerate(halves)],
        "GENRES": [PLOTS[half][1] for half in halves],
        SOURCE: [SOURCE_BULK] * N_ITEMS,
    }
    Table(place.store, TABLE.location).append(pl.DataFrame(rows))
    return place


def test_lists_get_themes_and_items_their_relevance(described):
    described.ask({"itemId": item(3)}, {"itemId": "gone"}, {"itemId": item(30)})

    described.run("artifacts/related", num_results=8, **THEMES)

    space, unknown, jazz = described.output_lines()
    assert "space station" in space["output"]["theme"].casefold()
    assert "jazz band" in jazz["output"]["theme"].casefold()
    assert unknown["output"] is None
    for answer in (space, jazz):
        output = answer["output"]
        assert list(output) == ["recommendedItems", "theme", "itemsThemeRelevanceScores"]
        assert len(output["itemsThemeRelevanceScores"]) == len(output["recommendedItems"]) == 8
        assert min(output["itemsThemeRelevanceScores"]) > 0.3

    described.run("artifacts/related", num_results=8, output="s3://films/plain/", tables=[TABLE])
    plain = described.output_lines("plain/lines.json.out")
    assert plain[0]["output"] == {"recommendedItems": space["output"]["recommendedItems"]}


class Questions:
    """A writer as an operator may plug in: one question for each list, by the names of its items."""

    def __init__(self, catalogue):
        self._n_items = len(catalogue.items)

    def write(self, lists):
        return [f"Seen {items[0].name} of {self._n_items}?" for items in lists]


def test_a_language_model_may_be_plugged_in(described):
    described.ask({"itemId": item(3)})
    handler = BatchInferenceJobHandler(
        described.store, described.runner(), flusher=described.flusher, store_settings=described.settings,
        history_events=10, theme_writer=f"{__name__}:Questions",
    )  # fmt: skip
    payload = jobs_pb2.BatchInferencePayload(
        artifact_location="artifacts/related", input_location="s3://films/in/", output_location="s3://films/out/",
        num_results=3, **THEMES,
    )  # fmt: skip

    handler.run(payload, NullJobContext())

    (answer,) = described.output_lines()
    first = answer["output"]["recommendedItems"][0].removeprefix("item-")
    assert answer["output"]["theme"] == f"Seen Film of {first} of {N_ITEMS}?"


def test_more_than_a_hundred_lines_are_refused(described):
    described.ask(*[{"itemId": item(3)}] * 101)

    with pytest.raises(InvalidInput, match=r"Invalid S3 input path.*with 101 lines, want at most 100"):
        described.run("artifacts/related", **THEMES)

    assert described.outputs() == []


def test_themes_want_items(place):
    place.ask({"itemId": item(3)})

    with pytest.raises(InvalidInput, match="`batchInferenceJobMode`: got 'THEME_GENERATION'"):
        place.run("artifacts/related", **THEMES)


def test_lines_of_themes_may_be_parquet(described):
    (described.bucket / "in").mkdir()
    pl.DataFrame({"itemId": [item(3)]}).write_parquet(described.bucket / "in" / "a.parquet")

    described.run("artifacts/related", num_results=4, **THEMES)

    (output,) = pl.read_parquet(described.bucket / "out" / "a.parquet.out")["output"].to_list()
    assert "space station" in output["theme"].casefold()
    assert len(output["itemsThemeRelevanceScores"]) == 4


@pytest.mark.parametrize("path", ["nowhere.at.all:Writer", "json:Writer", "json:__name__", "json", "", ".x:y"])
def test_a_writer_that_is_none_is_named(path):
    with pytest.raises(InvalidInput, match="`TAILORBIRD_THEME_WRITER`"):
        load_writer(path)
