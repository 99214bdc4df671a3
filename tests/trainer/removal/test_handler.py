"""Removing folders of the store, and refusing to remove anything else."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput
from protos.tailorbird.internal.v1 import jobs_pb2
from trainer.removal import RemovalJobHandler
from trainer.worker import NullJobContext


def remove(place, *locations: str) -> int:
    payload = jobs_pb2.StorageRemovalPayload(locations=locations)
    return RemovalJobHandler(place.store).run(payload, NullJobContext()).removed_objects


def test_folders_are_removed_and_their_neighbours_stay(place):
    for path in ("datasets/a/x", "datasets/a/deep/y", "datasets/ab/x", "artifacts/v1/m"):
        place.store.put(path, b"1")

    assert remove(place, "datasets/a", "artifacts/v1") == 3

    assert [item.path for item in place.store.list("datasets")] == ["datasets/ab/x"]
    assert not (place.root / "store" / "artifacts" / "v1").exists()


def test_removing_again_removes_nothing(place):
    place.store.put("datasets/a/x", b"1")
    assert (remove(place, "datasets/a"), remove(place, "datasets/a")) == (1, 0)


@pytest.mark.parametrize(
    "location", ["", "datasets", "datasets/", "outputs/x", "datasets/../artifacts/x", "/datasets/a"]
)
def test_other_folders_are_refused_before_anything_is_removed(place, location):
    place.store.put("datasets/a/x", b"1")
    with pytest.raises(InvalidInput, match="locations"):
        remove(place, "datasets/a", location)
    assert len(list(place.store.list("datasets"))) == 1
