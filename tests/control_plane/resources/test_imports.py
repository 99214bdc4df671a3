"""Import jobs: what the trainer gets, and how they end."""

from __future__ import annotations

import pytest

from common.errors import (
    InvalidInput,
)
from tests.control_plane.world import (
    INTERACTIONS,
)


def test_import_job_names_the_files_and_the_table(world):
    dataset = world.dataset(world.group())
    job = world.import_job(dataset)
    assert world.resources.imports.describe(job).status == "CREATE PENDING"

    payload = world.lease().job.payload

    assert payload["table"] == {
        "dataset_type": "INTERACTIONS",
        "location": world.resources.datasets.describe(dataset).location,
        "schema": INTERACTIONS,
    }
    assert payload["data_location"] == "s3://bucket/interactions.csv"
    assert payload["replace"] is True
    assert world.resources.imports.describe(job).status == "CREATE IN_PROGRESS"


def test_incremental_import_adds_to_an_earlier_one(world):
    dataset = world.dataset(world.group())
    arguments = {"dataset_arn": dataset, "data_location": "s3://bucket/more.csv", "import_mode": "INCREMENTAL"}
    with pytest.raises(InvalidInput, match="importMode"):
        world.resources.imports.create("too-early", **arguments)
    world.import_job(dataset)
    world.finish_next({"imported_rows": 5000})

    world.resources.imports.create("more", **arguments)

    assert world.lease().job.payload["replace"] is False


def test_attribution_metrics_of_an_import_are_refused_as_not_built(world):
    with pytest.raises(InvalidInput, match="not built yet"):
        world.resources.imports.create(
            "x",
            dataset_arn=world.dataset(world.group()),
            data_location="s3://bucket/x.csv",
            publish_attribution_metrics=True,
        )


def test_finished_import_is_active(world):
    job = world.import_job(world.dataset(world.group()))
    world.finish_next({"imported_rows": 5000, "files": 1})

    description = world.resources.imports.describe(job)
    assert (description.status, description.imported_rows) == ("ACTIVE", 5000)
