"""Snapshots of features in a whole system: made after an import and after puts, and told to runtimes."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from benchmarks.system import running_system
from cli.demo.generated import generate
from cli.demo.items import SCHEMAS
from cli.demo.journey import Journey
from common.features import open_snapshot
from common.rpc.channels import channel
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.testing import wait_until
from protos.tailorbird.internal.v1.serving_pb2 import WatchServingAssignmentsRequest
from protos.tailorbird.internal.v1.serving_pb2_grpc import ServingServiceStub


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with running_system(
        tmp_path_factory.mktemp("features"), settings={"TAILORBIRD_FEATURE_SNAPSHOT_SECONDS": "1"}
    ) as running:
        yield running


def test_runtimes_are_told_of_what_was_imported_and_of_what_was_put_after_it(system):
    data = generate(users=60, genres=3, series=3)
    journey = Journey(system.clients(), suffix="features")
    journey.create_datasets({kind: SCHEMAS[kind] for kind in ("Interactions", "Items")})
    files = data.write_csv(system.installation.buckets / "films")
    journey.import_csv({kind: f"s3://films/{files[kind].name}" for kind in ("Interactions", "Items")})
    journey.create_campaign("popular", journey.train(journey.create_solution("popular", "aws-popularity-count")))
    store = open_store(StoreSettings(store_url=str(system.installation.store)))
    token = system.installation.keys.issuer().issue("runtime", subject="observer", lifetime=timedelta(hours=1))

    with channel(system.ports.address("control_plane"), token=token) as control_plane:
        stub = ServingServiceStub(control_plane)

        def features_location():
            request = WatchServingAssignmentsRequest(runtime_id="observer", wait_seconds=0)
            groups = stub.WatchServingAssignments(request).dataset_groups
            return next(
                (item.features_location for group in groups for item in group.datasets if item.dataset_type == "ITEMS"),
                "",
            )

        imported = wait_until(features_location, seconds=60, every=0.2)
        snapshot = open_snapshot(store, imported, cache=system.installation.root / "cache")
        assert set(snapshot.ids.ids(range(snapshot.n_rows))) == set(data.items)

        journey.clients.events.put_items(
            datasetArn=journey.datasets["Items"],
            items=[{"itemId": "film-of-tomorrow", "properties": json.dumps({"title": "Tomorrow", "genres": "Drama"})}],
        )
        wait_until(lambda: features_location() != imported, seconds=60, every=0.2)
        snapshot = open_snapshot(store, features_location(), cache=system.installation.root / "cache")

    row = snapshot.ids.index("film-of-tomorrow")
    assert row is not None
    assert snapshot.n_rows == len(data.items) + 1
    assert snapshot.text(row, "GENRES") == "Drama"
