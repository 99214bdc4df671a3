"""Storage maintenance on real tables and artifacts: what is read stays, and what nobody names goes once it is old."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from common.artifacts import open_artifact, publish_artifact
from common.clock import ManualClock
from common.errors import InvalidInput
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from trainer.maintenance import MaintenanceJobHandler
from trainer.worker import NullJobContext

DAY = 24 * 3600
ARTIFACT = "artifacts/123456789012/films-1"


@pytest.fixture
def clock():
    return ManualClock(datetime.now(UTC))


@pytest.fixture
def maintain(place, clock):
    def run(*artifacts: str, tables=(), retention_hours=168, **bounds):
        payload = jobs_pb2.StorageMaintenancePayload(
            table_locations=tables, artifact_locations=artifacts, retention_hours=retention_hours
        )
        return MaintenanceJobHandler(place.store, place.workspace, clock, **bounds).run(payload, NullJobContext())

    return run


def publish(place, location: str) -> None:
    files = place.root / "files"
    files.mkdir()
    (files / "model").write_bytes(b"weights")
    publish_artifact(place.store, location, files=files, manifest=ArtifactManifest())


def paths(place, folder: str) -> set[str]:
    return {item.path for item in place.store.list(folder)}


def test_small_files_of_imports_are_joined_and_a_table_in_order_stays_at_its_version(place, maintain):
    for number in range(3):
        file = place.write(f"part-{number}.csv", f"u{number},i{number},{1700000000 + number},watch,")
        place.bring(file.as_uri(), replace=False)
    table = place.table()
    imported, rows = table.version(), table.read().sort("USER_ID")
    files = len(table.snapshot().files)

    maintain(tables=[table.location])

    assert files == 3
    assert len(table.snapshot().files) == 1
    assert table.read().sort("USER_ID").equals(rows)
    assert table.read(version=imported).sort("USER_ID").equals(rows)
    assert list((place.root / "store" / table.location / "_delta_log").glob("*.checkpoint.parquet"))
    version = table.version()
    maintain(tables=[table.location])
    assert table.version() == version > imported


def test_a_table_that_does_not_exist_is_passed_over(maintain):
    assert not maintain(tables=["datasets/group/none"]).incomplete


def test_a_damaged_table_does_not_keep_the_others_from_maintenance(place, maintain):
    place.bring(place.write("a.csv", "u,i,1700000000,watch,").as_uri())
    log = place.root / "store" / place.table().location / "_delta_log"
    (log / f"{0:020}.json").write_text("{")
    place.store.put(f"{ARTIFACT}/files-0/model", b"")

    maintain(ARTIFACT, tables=[place.table().location])

    assert paths(place, ARTIFACT)


def test_what_killed_attempts_left_beside_an_artifact_goes_after_its_retention(place, maintain, clock, tmp_path):
    publish(place, ARTIFACT)
    published = paths(place, ARTIFACT)
    place.store.put(f"{ARTIFACT}/files-0123456789abcdef/model", b"half")
    clock.advance(seconds=6 * DAY)
    assert maintain(ARTIFACT).removed_objects == 0

    clock.advance(seconds=2 * DAY)

    assert maintain(ARTIFACT).removed_objects == 1
    assert paths(place, ARTIFACT) == published
    open_artifact(place.store, ARTIFACT, cache=tmp_path / "cache")


def test_what_failed_trainings_left_goes_and_what_nobody_asked_about_stays(place, maintain, clock):
    place.store.put(f"{ARTIFACT}/files-0/model", b"half")
    # As after a restored backup: the metadata store names neither this version nor its table.
    publish(place, "artifacts/123456789012/films-2")
    place.store.put("artifacts/123456789012/films-3/files-0/model", b"half")
    place.store.put("datasets/123456789012/films/INTERACTIONS-1/part.parquet", b"rows")
    others = paths(place, "artifacts") | paths(place, "datasets")
    clock.advance(seconds=100 * DAY)

    maintain(ARTIFACT)

    assert paths(place, "artifacts") | paths(place, "datasets") == others - {f"{ARTIFACT}/files-0/model"}


def test_the_model_as_it_was_measured_stays_with_its_artifact(place, maintain, clock):
    (place.root / "files").mkdir(exist_ok=True)
    (place.root / "files" / "model").write_bytes(b"weights")
    manifest = ArtifactManifest(measured_model="measured-1")
    publish_artifact(place.store, f"{ARTIFACT}/measured-1", files=place.root / "files", manifest=ArtifactManifest())
    publish_artifact(place.store, ARTIFACT, files=place.root / "files", manifest=manifest)
    place.store.put(f"{ARTIFACT}/measured-2/files-0/model", b"of an attempt that failed")
    served = paths(place, ARTIFACT) - {f"{ARTIFACT}/measured-2/files-0/model"}
    clock.advance(seconds=100 * DAY)

    maintain(ARTIFACT)

    assert paths(place, ARTIFACT) == served


def test_a_damaged_manifest_keeps_everything(place, maintain, clock):
    place.store.put(f"{ARTIFACT}/manifest.json", b"{")
    place.store.put(f"{ARTIFACT}/files-0/model", b"served")
    clock.advance(seconds=100 * DAY)
    assert maintain(ARTIFACT).removed_objects == 0


def test_a_job_removes_no_more_than_its_bound_and_the_next_goes_on(place, maintain, clock):
    for number in range(5):
        place.store.put(f"{ARTIFACT}/files-0/{number}", b"")
    clock.advance(seconds=100 * DAY)

    results = [maintain(ARTIFACT, max_objects=3) for _ in range(2)]

    assert [(result.removed_objects, result.incomplete) for result in results] == [(3, True), (2, False)]
    assert not paths(place, ARTIFACT)


def test_no_file_goes_at_once(maintain):
    with pytest.raises(InvalidInput, match="retention_hours"):
        maintain(ARTIFACT, retention_hours=0)
