"""Which recipe AutoML chooses, and what each candidate scores: `python -m benchmarks.quality.auto_ml DATA`.

The search is that of a solution with `performAutoML`: the same program, on a table in a store of its own. By default
all recipes are tried that interactions alone are enough for, the simplest first.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from google.protobuf import json_format

from benchmarks.quality.data import DATA_ROOT, DEMO, Dataset, load
from benchmarks.report import markdown_table, publish
from common.arrow_schema import interactions_frame_schema
from common.avro import AvroSchema
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.tables import Table
from protos.tailorbird.internal.v1.jobs_pb2 import RecipeSearch, RecipeToTry, SolutionVersionTrainingPayload
from protos.tailorbird.storage.v1.evaluation_pb2 import RecipeChoice
from recipes.auto_ml import AUTO_ML_METRICS, AUTO_ML_RECIPES, DEFAULT_AUTO_ML_METRIC, default_candidates
from recipes.ports import ignore_progress
from trainer.training.programs import run_program
from trainer.training.spec import TableVersion, TrainingSpec

__all__ = ["search"]

_LOCATION: Final = "datasets/interactions"
_SCHEMA: Final = (
    '{"type": "record", "name": "Interactions", "fields": ['
    '{"name": "USER_ID", "type": "string"}, {"name": "ITEM_ID", "type": "string"}, '
    '{"name": "TIMESTAMP", "type": "long"}], "version": "1.0"}'
)
_RECIPES: Final = ("aws-popularity-count", "tailorbird-ials", *default_candidates(has_columns=False))


def search(dataset: Dataset, recipes: Sequence[str], *, metric: str, seed: int, folder: Path) -> RecipeChoice:
    """Try recipes on a data set, and return what each scored.

    Args:
        dataset: The interactions.
        recipes: Names of the candidates, in the order in which they are tried.
        metric: The metric that decides.
        seed: Where random numbers begin.
        folder: Empty, for the store and the files of the training.

    Raises:
        InvalidInput: No candidate can be trained on the data.
    """
    settings = StoreSettings(store_url=str(folder / "store"))
    table = Table(open_store(settings), _LOCATION)
    version = table.append(_frame(dataset))
    work = folder / "work"
    work.mkdir()
    spec = TrainingSpec(
        store=settings.model_dump(),
        tables=(TableVersion(dataset_type="INTERACTIONS", location=_LOCATION, avro_schema=_SCHEMA, version=version),),
        payload=SolutionVersionTrainingPayload(
            recipe_search=RecipeSearch(
                candidates=[RecipeToTry(recipe=recipe) for recipe in recipes], metric_name=metric
            )
        ),
        seed=seed,
        recall_floor=0.98,
        index_trees=40,
    )
    return run_program(spec, work, progress=ignore_progress).evaluation.recipe_choice


def _frame(dataset: Dataset) -> pl.DataFrame:
    rows = dataset.data.interactions
    columns = {
        "USER_ID": np.array(dataset.users)[rows.user],
        "ITEM_ID": np.array(dataset.items)[rows.item],
        "TIMESTAMP": rows.timestamp,
    }
    schema = interactions_frame_schema(AvroSchema.parse(_SCHEMA))
    frame = pl.DataFrame(columns)
    missing = [pl.lit(None, kind).alias(name) for name, kind in schema.items() if name not in columns]
    return frame.with_columns(missing).select(list(schema)).cast(schema)  # type: ignore[arg-type]  # wider keys than it says


def main() -> None:
    """Run and print; the figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help=f"`{DEMO}`, or the path of a file with times, perhaps below ${DATA_ROOT}")
    parser.add_argument("--recipes", nargs="+", choices=AUTO_ML_RECIPES, default=list(_RECIPES))
    parser.add_argument("--metric", choices=AUTO_ML_METRICS, default=DEFAULT_AUTO_ML_METRIC)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    dataset = load(arguments.data)
    with tempfile.TemporaryDirectory() as folder:
        choice = search(dataset, arguments.recipes, metric=arguments.metric, seed=arguments.seed, folder=Path(folder))
    figures = {
        "data": dataset.name,
        "users": dataset.data.n_users,
        "items": dataset.data.n_items,
        "interactions": len(dataset.data.interactions),
        "seed": arguments.seed,
        "choice": json_format.MessageToDict(choice, preserving_proto_field_name=True),
    }
    publish(figures, table=_table(figures, choice), output=arguments.output)


def _table(figures: Mapping[str, Any], choice: RecipeChoice) -> str:
    rows = []
    for item in choice.candidates:
        measured = {metric.name: metric for metric in item.metrics}.get(choice.judged_by)
        scored = "" if measured is None else f"{measured.value:.4f} ({measured.low:.4f} to {measured.high:.4f})"
        outcome = item.failure_reason or item.comparison.reason or "tried first"
        rows.append((item.recipe, "yes" if item.chosen else "", scored, f"{item.seconds:.1f}", outcome))
    about = "{data}: {users:,} users, {items:,} items, {interactions:,} interactions\n\n".format(**figures)
    return about + markdown_table(("recipe", "chosen", choice.judged_by, "seconds", "outcome"), rows)


if __name__ == "__main__":
    main()
