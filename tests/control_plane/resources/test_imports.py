"""Import jobs: what the trainer gets, and how they end."""

from __future__ import annotations

import pytest

from common.errors import (
    InvalidInput,
)
from protos.tailorbird.control.v1.common_pb2 import S3DataConfig
from protos.tailorbird.control.v1.metric_attribution_pb2 import MetricAttribute, MetricAttributionOutput
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


def publishing(world, dataset, name="publishing"):
    """Create an import that publishes metrics, and return its row and the job's payload."""
    row = world.resources.imports.create(
        name, dataset_arn=dataset, data_location="s3://bucket/x.csv", publish_attribution_metrics=True
    )
    return row, world.lease().job.payload


def test_an_import_publishes_the_metrics_of_its_group_s_attribution(world):
    group = world.group()
    dataset = world.dataset(group)
    output = MetricAttributionOutput(s3_data_destination=S3DataConfig(path="s3://bucket/reports/"))
    views = MetricAttribute(metric_name="views", event_type="view", expression="SAMPLECOUNT()")
    arn = world.resources.metric_attributions.create("a", dataset_group_arn=group, metrics=[views], output=output).arn

    row, payload = publishing(world, dataset)

    assert (row.publish_attribution_metrics, payload["job_name"]) == (True, "publishing")
    attribution = payload["attribution"]
    assert (attribution["metric_attribution_arn"], attribution["output_path"]) == (arn, "s3://bucket/reports/")
    assert attribution["metrics"] == [{"metric_name": "views", "event_type": "view", "expression": "SAMPLECOUNT()"}]

    world.resources.metric_attributions.update(arn, add=[], remove_names=[], output=MetricAttributionOutput())
    assert "attribution" not in publishing(world, dataset, "without-a-path")[1]


def test_without_an_attribution_or_events_there_is_nothing_to_publish(world):
    group = world.group()
    row, payload = publishing(world, world.dataset(group))
    assert row.publish_attribution_metrics
    assert "attribution" not in payload


def test_finished_import_is_active(world):
    job = world.import_job(world.dataset(world.group()))
    world.finish_next({"imported_rows": 5000, "files": 1})

    description = world.resources.imports.describe(job)
    assert (description.status, description.imported_rows) == ("ACTIVE", 5000)
