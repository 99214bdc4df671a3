"""Snapshot jobs on real tables: what they publish, what they remove, and that no deleted user is in any snapshot."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from common import columns
from common.deletions import DigestSet, id_digest, write_deletion
from common.errors import Unavailable
from common.feature_folders import features_folder, features_location
from common.features import open_snapshot
from common.positions import START, Position
from common.table_deletions import ErasableTable
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.storage.v1.deletion_pb2 import DeletionEntry
from tests.trainer.place import HEADERS, SCHEMAS, NoEvents
from trainer.deletions import DeletionJobHandler
from trainer.features import FeatureSnapshotJobHandler
from trainer.features.handler import KEPT_SNAPSHOTS
from trainer.worker import CancelReason, JobCancelled, NullJobContext

MAX_BYTES = 1000


class Log(NoEvents):
    """An events service without records, from which users can be removed."""

    def remove(self, location, table_location, context) -> int:
        return 0


class Meanwhile(NullJobContext):
    """The context of a job in which something happens once: at its first check, or right before it publishes."""

    def __init__(self, *, reading=None, publishing=None) -> None:
        self._reading, self._publishing = reading, publishing

    def check(self) -> None:
        work, self._reading = self._reading, None
        if work is not None:
            work()

    def confirm(self) -> None:
        work, self._publishing = self._publishing, None
        if work is not None:
            work()


@pytest.fixture
def make(place):
    def run(kind="USERS", *, context=None, streamed=False, schema=None):
        (table,) = place.tables(kind)
        payload = jobs_pb2.FeatureSnapshotPayload(
            table=jobs_pb2.DatasetTable(dataset_type=kind, location=table.location, schema=schema or SCHEMAS[kind]),
            streamed=streamed,
        )
        handler = FeatureSnapshotJobHandler(place.store, place.workspace, flusher=place.flusher)
        return handler.run(payload, context or NullJobContext())

    return run


@pytest.fixture
def delete(place):
    """Return what deletes the users of the name of a deletion, by a job of its own."""

    def run(name="leaver"):
        place.write(f"{name}.csv", name, header="USER_ID")
        log = Log()
        handler = DeletionJobHandler(
            place.store, place.sources(), place.workspace, flusher=log, remover=log, max_bytes=MAX_BYTES
        )
        payload = jobs_pb2.DataDeletionPayload(
            dataset_group_arn="group",
            tables=place.tables("USERS"),
            data_location=f"s3://films/{name}.csv",
            location=f"datasets/group/deletions/{name.upper()}",
        )
        payload.began_at.FromDatetime(datetime(2026, 1, 2, tzinfo=UTC))
        handler.run(payload, NullJobContext())

    return run


def bring_users(place, *users, replace=True):
    place.write("users.csv", *[f"{user},30" for user in users], header=HEADERS["USERS"])
    place.bring("s3://films/users.csv", kind="USERS", replace=replace)


def opened(place, result):
    return open_snapshot(place.store, result.location, cache=place.root / "cache")


def ids_of(place, result):
    snapshot = opened(place, result)
    return sorted(snapshot.ids.ids(range(snapshot.n_rows)))


def versions(place, kind="USERS"):
    """Return the versions of which snapshots are published."""
    folder = place.root / "store" / features_folder(place.table(kind).location)
    return sorted(int(path.parent.name) for path in folder.glob("*/manifest.json"))


def files_with(place, text):
    """Return the files of snapshots that have a text."""
    folder = place.root / "store" / features_folder(place.table("USERS").location)
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_a_job_publishes_the_newest_version_of_each_row(place, make):
    place.write("items.csv", "i1,One,War|Drama,1999,true", "i2,Two,,,", header=HEADERS["ITEMS"])
    place.bring("s3://films/items.csv", kind="ITEMS")
    put = place.rows("ITEMS").filter(pl.col("ITEM_ID") == "i2").with_columns(
        pl.lit(2001, pl.Int32).alias("YEAR"),
        pl.lit(columns.SOURCE_PUT).alias(columns.SOURCE),
        pl.lit(5, pl.Int64).alias(columns.LOG_OFFSET),
    )  # fmt: skip
    version = place.table("ITEMS").upsert_records(put, Position(3, 5), key="ITEM_ID", after=START)

    result = make("ITEMS")

    assert result.location == features_location(place.table("ITEMS").location, version)
    assert (result.version, result.rows) == (version, 2)
    snapshot = opened(place, result)
    assert result.bytes == sum(file.bytes for file in snapshot.manifest.files)
    assert snapshot.position == Position(3, 5)
    assert {
        identifier: [snapshot.text(row, name) for name in ("TITLE", "GENRES", "YEAR", "CHILDREN")]
        for row, identifier in enumerate(snapshot.ids.ids(range(2)))
    } == {"i1": ["One", "War|Drama", "1999", "true"], "i2": ["Two", None, "2001", None]}


def test_records_are_waited_for_only_where_some_were_streamed(place, make):
    bring_users(place, "u1")
    make()
    assert place.flusher.flushed_locations == []
    make(streamed=True)
    assert place.flusher.flushed_locations == [place.table("USERS").location]


def test_a_table_without_a_commit_has_no_snapshot(place, make):
    assert make() == jobs_pb2.FeatureSnapshotResult()


def test_a_job_after_one_that_published_returns_the_same_and_writes_nothing(place, make):
    bring_users(place, "u1", "u2")
    first = make()
    paths = {item.path for item in place.store.list("datasets/group/features")}

    assert make() == first
    assert {item.path for item in place.store.list("datasets/group/features")} == paths


def test_the_newest_snapshots_stay_and_what_attempts_left_goes(place, make):
    results = []
    for number in range(KEPT_SNAPSHOTS + 2):
        bring_users(place, *(f"u{user}" for user in range(number + 1)))
        results.append(make())
    place.store.put(f"{features_folder(place.table('USERS').location)}/{0:020}/files-0/ids.bytes.npy", b"")
    bring_users(place, "u0")
    newest = make()

    assert versions(place) == [results[-1].version, newest.version]
    assert len({item.path.split("/")[4] for item in place.store.list("datasets/group/features")}) == KEPT_SNAPSHOTS
    assert ids_of(place, newest) == ["u0"]
    assert len(ids_of(place, results[-1])) == KEPT_SNAPSHOTS + 2


def test_a_snapshot_says_which_deletions_had_ended_before_its_rows_were_read(place, make, delete):
    bring_users(place, "leaver", "stayer")
    write_deletion(
        place.store,
        "datasets/group/deletions/unfinished",
        DeletionEntry(dataset_group_arn="group"),
        users=DigestSet.of(b"k" * 32, [id_digest("stayer")]),
        sessions=DigestSet.of(b"k" * 32, []),
    )
    assert list(opened(place, make()).manifest.deletions) == []

    delete("leaver")

    assert list(opened(place, make()).manifest.deletions) == ["LEAVER"]


def test_a_job_that_must_end_publishes_nothing(place, make):
    bring_users(place, "u1")

    def end():
        raise JobCancelled(CancelReason.LOST)

    for context in (Meanwhile(reading=end), Meanwhile(publishing=end)):
        with pytest.raises(JobCancelled):
            make(context=context)
    assert list(place.store.list("datasets/group/features")) == []


def test_a_deletion_removes_the_snapshots_and_the_next_has_the_others(place, make, delete):
    bring_users(place, "leaver", "stayer")
    make()
    assert files_with(place, "leaver")

    delete()

    assert list(place.store.list("datasets/group/features")) == []
    assert ids_of(place, make()) == ["stayer"]
    assert not files_with(place, "leaver")


@pytest.mark.parametrize("moment", ["reading", "publishing"])
def test_users_who_are_deleted_while_a_snapshot_is_made_are_in_none(place, make, delete, moment):
    bring_users(place, "leaver", "stayer")

    with pytest.raises(Unavailable, match="deleted"):
        make(context=Meanwhile(**{moment: delete}))

    assert versions(place) == []
    assert not files_with(place, "leaver")
    assert ids_of(place, make()) == ["stayer"]


def test_a_snapshot_of_an_attempt_that_was_killed_before_it_looked_again_goes_with_the_next(place, make, delete):
    bring_users(place, "leaver", "stayer")
    kept = make()
    location = place.root / "store" / kept.location
    late = place.root / "late"
    location.rename(late)
    delete()
    # What the killed attempt published after the deletion.
    location.parent.mkdir(parents=True, exist_ok=True)
    late.rename(location)
    assert files_with(place, "leaver")

    assert ids_of(place, make()) == ["stayer"]

    assert not files_with(place, "leaver")


def test_users_who_are_deleted_from_an_import_that_brings_them_back_are_in_no_snapshot(place, make):
    users = DigestSet.of(b"key", [id_digest("leaver")])
    entry = DeletionEntry()
    entry.began_at.FromDatetime(datetime(2026, 1, 2, tzinfo=UTC))
    bring_users(place, "stayer")
    place.write("again.csv", "leaver,30", "stayer,30", header=HEADERS["USERS"])
    place.bring("s3://films/again.csv", kind="USERS", requested_at=datetime(2026, 1, 3, tzinfo=UTC))
    make()
    assert files_with(place, "leaver")
    none = DigestSet.of(b"key", [])
    write_deletion(place.store, "datasets/group/deletions/1", entry, users=users, sessions=none)

    # Asked for before the deletion began, it deletes whom it has brought back.
    place.bring("s3://films/again.csv", kind="USERS", requested_at=datetime(2026, 1, 1, tzinfo=UTC))

    assert not files_with(place, "leaver")
    assert ids_of(place, make()) == ["stayer"]


def test_the_oldest_version_is_that_after_a_deletion(place):
    bring_users(place, "u1")
    bring_users(place, "u2")
    table = ErasableTable(place.store, place.table("USERS").location)
    assert table.oldest_version() == 0
    before = table.version()

    table.erase_history()

    assert before <= table.oldest_version() <= table.version()
