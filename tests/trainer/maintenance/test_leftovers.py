"""What may go of a dataset group's old objects, and that nothing goes which somebody uses."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import pytest

from common.artifacts import open_artifact, publish_artifact
from common.clock import ManualClock
from common.deletions import DigestSet, read_deletion, write_deletion
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from protos.tailorbird.storage.v1.deletion_pb2 import DeletionEntry
from trainer.maintenance import MaintenanceJobHandler
from trainer.worker import NullJobContext

GROUP = "datasets/group"
TABLE = f"{GROUP}/INTERACTIONS"
UPDATES = "artifacts/123456789012/films-1-updates"


@pytest.fixture
def now():
    return datetime.now(UTC)


@pytest.fixture
def maintain(place, now):
    def run(**payload):
        complete = jobs_pb2.StorageMaintenancePayload(
            retention_hours=48, report_hours=720, group_folder=GROUP, table_locations=[TABLE], **payload
        )
        return MaintenanceJobHandler(place.store, place.workspace, ManualClock(now)).run(complete, NullJobContext())

    return run


def paths(place, folder: str) -> set[str]:
    return {item.path for item in place.store.list(folder)}


def publish(place, location: str, *, written: datetime) -> None:
    files = place.root / "files"
    files.mkdir(exist_ok=True)
    (files / "model").write_bytes(b"weights")
    publish_artifact(place.store, location, files=files, manifest=ArtifactManifest())
    date(place, location, written)


def date(place, folder: str, written: datetime) -> None:
    """Let all objects of a folder be written at a time."""
    for path in paths(place, folder):
        os.utime(place.root / "store" / path, (written.timestamp(), written.timestamp()))


def updates(served: str) -> dict[str, object]:
    return {"updates": [jobs_pb2.ArtifactUpdates(location=UPDATES, served_location=served)]}


def kept_updates(place) -> set[str]:
    return {path.removeprefix(f"{UPDATES}/").split("/")[0] for path in paths(place, UPDATES)}


def test_updates_that_were_replaced_long_ago_go_and_the_served_one_stays(place, maintain, now, tmp_path):
    for name, hours in (("a", 200), ("b", 100), ("c", 50), ("d", 1)):
        publish(place, f"{UPDATES}/{name}", written=now - timedelta(hours=hours))

    result = maintain(**updates(f"{UPDATES}/d"))

    # That of 50 hours ago was replaced an hour ago only: runtimes may be loading its successor.
    assert kept_updates(place) == {"c", "d"}
    assert result.removed_objects == 4
    for name in ("c", "d"):
        open_artifact(place.store, f"{UPDATES}/{name}", cache=tmp_path / "cache")


def test_an_update_that_is_served_stays_whatever_was_published_after_it(place, maintain, now):
    for name, hours in (("a", 300), ("b", 200), ("c", 100)):
        publish(place, f"{UPDATES}/{name}", written=now - timedelta(hours=hours))

    maintain(**updates(f"{UPDATES}/a"))

    assert kept_updates(place) == {"a", "c"}


def test_the_newest_update_stays_while_that_of_the_training_is_served(place, maintain, now):
    publish(place, f"{UPDATES}/a", written=now - timedelta(hours=500))
    maintain(**updates("artifacts/123456789012/films-1"))
    assert kept_updates(place) == {"a"}


def test_what_failed_updates_left_goes_once_it_is_old(place, maintain, now):
    publish(place, f"{UPDATES}/a", written=now - timedelta(hours=500))
    for name, hours in (("old", 49), ("young", 47)):
        place.store.put(f"{UPDATES}/{name}/files-0/model", b"half")
        date(place, f"{UPDATES}/{name}", now - timedelta(hours=hours))

    maintain(**updates(f"{UPDATES}/a"))

    assert kept_updates(place) == {"a", "young"}


def test_reports_of_failed_imports_go_after_their_time(place, maintain, now):
    place.bring(place.write("a.csv", "u,i,1700000000,watch,").as_uri())
    for name, days in (("old", 31), ("young", 29)):
        place.store.put(f"{TABLE}/_import_reports/{name}.json", b"{}")
        path = place.root / "store" / TABLE / "_import_reports" / f"{name}.json"
        written = (now - timedelta(days=days)).timestamp()
        os.utime(path, (written, written))

    assert maintain().removed_objects == 1

    assert paths(place, f"{TABLE}/_import_reports") == {f"{TABLE}/_import_reports/young.json"}


def test_entries_of_the_ledger_stay_with_all_that_they_name(place, maintain, now):
    users = DigestSet.of(b"k" * 32, [b"u" * 16])
    write_deletion(place.store, f"{GROUP}/deletions/job", DeletionEntry(), users=users, sessions=users)
    in_force = paths(place, f"{GROUP}/deletions")
    for path in ("job/users-late.bin", "failed/users-0.bin"):
        place.store.put(f"{GROUP}/deletions/{path}", b"")
    date(place, f"{GROUP}/deletions", now - timedelta(hours=10_000))
    place.store.put(f"{GROUP}/deletions/running/users-0.bin", b"")

    assert maintain().removed_objects == 2

    assert paths(place, f"{GROUP}/deletions") == in_force | {f"{GROUP}/deletions/running/users-0.bin"}
    assert len(read_deletion(place.store, f"{GROUP}/deletions/job").users) == 1


def test_an_entry_that_cannot_be_read_keeps_everything(place, maintain, now):
    for name in ("entry.json", "users-0.bin"):
        place.store.put(f"{GROUP}/deletions/job/{name}", b"{")
    date(place, f"{GROUP}/deletions", now - timedelta(hours=10_000))
    assert maintain().removed_objects == 0
    assert len(paths(place, f"{GROUP}/deletions")) == 2
