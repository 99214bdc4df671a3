"""Trainings and exports that read while users are deleted publish nothing, and are tried again."""

from __future__ import annotations

import pytest

from common.deletions import DigestSet, id_digest, write_deletion
from common.errors import Unavailable
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.storage.v1.deletion_pb2 import DeletionEntry
from tests.trainer.place import NoEvents, walks
from trainer.worker import NullJobContext


class DeletionMeanwhile(NoEvents):
    """An events service that is asked to flush when users are about to be deleted."""

    def __init__(self, store) -> None:
        super().__init__()
        self._store = store

    def flush(self, location, context) -> int:
        users = DigestSet.of(b"key", [id_digest("u001")])
        write_deletion(
            self._store, "datasets/group/deletions/1", DeletionEntry(), users=users, sessions=DigestSet.of(b"key", [])
        )
        return super().flush(location, context)


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


def test_export_has_no_manifest_and_succeeds_when_it_is_tried_again(imported):
    with pytest.raises(Unavailable, match="deleted meanwhile"):
        imported.export()
    assert not [path for path in imported.bucket.rglob("*") if "manifest" in path.name]

    assert imported.export().exported_rows == len(walks())
