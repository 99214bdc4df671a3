"""Trainings and exports that read while users are deleted publish nothing, and are tried again."""

from __future__ import annotations

import pytest

from common.artifacts import read_manifest
from common.deletions import DigestSet, id_digest, write_deletion
from common.errors import Unavailable
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.storage.v1.deletion_pb2 import DeletionEntry
from tests.trainer.place import NoEvents, walks
from trainer.worker import NullJobContext


def delete(store, name):
    users = DigestSet.of(b"key", [id_digest("u001")])
    location = f"datasets/group/deletions/{name}"
    write_deletion(store, location, DeletionEntry(), users=users, sessions=DigestSet.of(b"key", []))


class DeletionMeanwhile(NoEvents):
    """An events service that is asked to flush when users are about to be deleted."""

    def __init__(self, store) -> None:
        super().__init__()
        self._store = store

    def flush(self, location, context):
        delete(self._store, "1")
        return super().flush(location, context)


class DeletionAtLast(NullJobContext):
    """The context of a training that asks whether it may publish when users are about to be deleted."""

    def __init__(self, store) -> None:
        self._store = store

    def confirm(self) -> None:
        delete(self._store, "2")


@pytest.fixture
def imported(place):
    place.write("interactions.csv", *walks())
    place.bring("s3://films/interactions.csv")
    place.flusher = DeletionMeanwhile(place.store)
    return place


def test_training_publishes_nothing_and_succeeds_when_it_is_tried_again(imported):
    payload = jobs_pb2.SolutionVersionTrainingPayload(
        recipe="aws-popularity-count", artifact_location="artifacts/films-1", tables=imported.tables("INTERACTIONS")
    )

    with pytest.raises(Unavailable, match="deleted meanwhile"):
        imported.training_handler().run(payload, NullJobContext())
    assert not list(imported.store.list("artifacts"))

    assert imported.training_handler().run(payload, NullJobContext()).metrics


def test_training_withdraws_what_it_published_right_after_a_deletion_came_into_force(imported):
    """The deletion begins after the training's last look at the ledger, and looks for artifacts before there is one."""
    imported.flusher = NoEvents()
    payload = jobs_pb2.SolutionVersionTrainingPayload(
        recipe="aws-popularity-count", artifact_location="artifacts/films-1", tables=imported.tables("INTERACTIONS")
    )

    with pytest.raises(Unavailable, match="deleted meanwhile"):
        imported.training_handler().run(payload, DeletionAtLast(imported.store))
    assert not list(imported.store.list("artifacts"))

    assert imported.training_handler().run(payload, NullJobContext()).metrics
    assert list(read_manifest(imported.store, "artifacts/films-1").snapshot.deletions) == ["2"]


def test_training_that_was_killed_before_it_could_withdraw_what_it_published_is_done_again(imported):
    imported.flusher = NoEvents()
    payload = jobs_pb2.SolutionVersionTrainingPayload(
        recipe="aws-popularity-count", artifact_location="artifacts/films-1", tables=imported.tables("INTERACTIONS")
    )
    imported.training_handler().run(payload, NullJobContext())
    before = read_manifest(imported.store, "artifacts/films-1")
    assert imported.training_handler().run(payload, NullJobContext()).metrics
    assert read_manifest(imported.store, "artifacts/films-1") == before

    delete(imported.store, "2")
    imported.training_handler().run(payload, NullJobContext())

    after = read_manifest(imported.store, "artifacts/films-1")
    assert (after.files_folder != before.files_folder, list(after.snapshot.deletions)) == (True, ["2"])
    kept = {item.path.split("/")[2] for item in imported.store.list("artifacts")}
    assert kept == {"manifest.json", after.files_folder, after.measured_model}


def test_export_has_no_manifest_and_succeeds_when_it_is_tried_again(imported):
    with pytest.raises(Unavailable, match="deleted meanwhile"):
        imported.export()
    assert not [path for path in imported.bucket.rglob("*") if "manifest" in path.name]

    assert imported.export().exported_rows == len(walks())
