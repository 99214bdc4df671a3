"""What a dataset group has in the store is counted as the objects say."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from common.clock import ManualClock
from protos.tailorbird.internal.v1 import jobs_pb2
from trainer.maintenance.usage import storage_usage

GROUP = "datasets/group"
NOW = datetime.now(UTC)


@pytest.fixture
def payload():
    return jobs_pb2.StorageMaintenancePayload(
        table_locations=[f"{GROUP}/INTERACTIONS", f"{GROUP}/ITEMS"],
        artifact_locations=["artifacts/a-1"],
        updates=[jobs_pb2.ArtifactUpdates(location="artifacts/a-1-updates")],
        group_folder=GROUP,
        retention_hours=48,
    )


@pytest.fixture
def stored(place):
    """Give a group with three imports that are joined, a report, an artifact, and what belongs to nobody."""
    for number in range(3):
        file = place.write(f"part-{number}.csv", f"u{number},i{number},{1700000000 + number},watch,")
        place.bring(file.as_uri(), replace=False)
    place.compact()
    for path, size in (
        (f"{GROUP}/INTERACTIONS/_import_reports/one.json", 7),
        (f"{GROUP}/deletions/job/entry.json", 11),
        (f"{GROUP}/features/ITEMS-1/5/columns", 13),
        (f"{GROUP}/features/ITEMS-1/6/columns", 17),
        (f"{GROUP}/ITEMS-of-before/part.parquet", 19),
        ("datasets/neighbour/part.parquet", 23),
        ("artifacts/a-1/manifest.json", 29),
        ("artifacts/a-1/files-0/model", 31),
        ("artifacts/a-1-updates/x/manifest.json", 37),
        ("artifacts/a-10/manifest.json", 41),
    ):
        place.store.put(path, b"x" * size)
    return place


def folders(entries) -> list[tuple[str, int, int]]:
    return [(entry.location, entry.bytes, entry.objects) for entry in entries]


def test_tables_are_told_apart_into_current_old_log_and_reports(stored, payload):
    usage = storage_usage(stored.store, payload, ManualClock(NOW))

    table, empty = usage.tables
    current = stored.table().snapshot().files
    (file,) = ((stored.root / "store" / table.location / entry.name) for entry in current)
    objects = list(stored.store.list(table.location))
    assert (table.rows, table.files, table.bytes) == (3, 1, file.stat().st_size)
    assert (table.old_files, table.reports, table.report_bytes) == (3, 1, 7)
    assert table.versions == stored.table().version() + 1
    assert table.bytes + table.old_bytes + table.log_bytes + table.report_bytes == sum(item.bytes for item in objects)
    last_commit = max(item.modified for item in objects if item.path.endswith(".json"))
    late = table.removable_at.ToDatetime(tzinfo=UTC) - last_commit
    assert 47 * 3600 < late.total_seconds() < 49 * 3600
    assert (empty.location, empty.rows, empty.files, empty.HasField("removable_at")) == (f"{GROUP}/ITEMS", 0, 0, False)
    assert usage.measured_at.ToDatetime(tzinfo=UTC) == NOW
    assert not usage.is_partial


def test_artifacts_ledger_snapshots_and_what_belongs_to_nobody_are_named(stored, payload):
    usage = storage_usage(stored.store, payload, ManualClock(NOW))

    assert folders(usage.artifacts) == [("artifacts/a-1", 60, 2), ("artifacts/a-1-updates", 37, 1)]
    assert folders([usage.deletions]) == [(f"{GROUP}/deletions", 11, 1)]
    assert folders(usage.features) == [(f"{GROUP}/features/ITEMS-1/6", 17, 1), (f"{GROUP}/features/ITEMS-1/5", 13, 1)]
    assert folders(usage.others) == [(f"{GROUP}/ITEMS-of-before", 19, 1)]


def test_a_damaged_table_is_counted_by_its_objects(stored, payload):
    log = stored.root / "store" / GROUP / "INTERACTIONS" / "_delta_log"
    for file in log.glob("*"):
        file.write_text("{")

    table = storage_usage(stored.store, payload, ManualClock(NOW)).tables[0]

    assert "damaged" in table.damage
    assert (table.rows, table.files, table.old_files) == (0, 0, 4)


def test_no_more_objects_are_counted_than_the_bound(stored, payload):
    usage = storage_usage(stored.store, payload, ManualClock(NOW), max_objects=5)
    counted = sum(entry.objects for entry in (*usage.features, *usage.others, *usage.artifacts, usage.deletions))
    assert usage.is_partial
    assert counted <= 5
