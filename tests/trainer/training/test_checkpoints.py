"""Checkpoints in the store: whole or not there, of the same data, and gone when they are not needed."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from structlog.testing import capture_logs

from common.errors import InvalidInput, Unavailable
from common.positions import Position
from common.settings import StoreSettings
from common.storage.objects import open_store
from recipes.ports import Checkpoint
from trainer.training.checkpoints import StoredCheckpoints
from trainer.training.job_checkpoints import JobCheckpoints
from trainer.training.snapshot import Snapshot
from trainer.training.spec import TableVersion

ARTIFACT = "artifacts/films-1"
TABLE = TableVersion(dataset_type="INTERACTIONS", location="datasets/a", avro_schema="{}", version=7)
SNAPSHOT = Snapshot((TABLE,), Position(5, 9))
KEPT = Checkpoint(
    {"state.0": np.arange(6, dtype=np.float32).reshape(2, 3), "state.1": np.array(3, np.int32)},
    {"epochs": [[0.1, 2.0, {}]]},
)


@pytest.fixture
def store(tmp_path):
    return open_store(StoreSettings(store_url=str(tmp_path / "store")))


@pytest.fixture
def process(store, tmp_path):
    """Return what keeps the checkpoints of a training process, after every epoch."""
    (tmp_path / "work").mkdir()

    def begin(every_seconds=0.0, clock=lambda: 0.0):
        plan = JobCheckpoints(store, ARTIFACT).plan(SNAPSHOT, deletions=["gone"], every_seconds=every_seconds)
        return StoredCheckpoints(store, plan, tmp_path / "work", clock=clock)

    return begin


def test_what_was_kept_is_read_by_another_process(process, tmp_path):
    process().save("fit-1", KEPT)

    arrays, facts = process().load("fit-1")

    assert {name: (value.dtype, value.tolist()) for name, value in arrays.items()} == {
        name: (value.dtype, value.tolist()) for name, value in KEPT.arrays.items()
    }
    assert facts == KEPT.facts
    assert process().load("fit-2") is None
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("part", ["array", "facts", "end", "everything"])
def test_a_damaged_checkpoint_is_ignored_with_a_warning(process, store, part):
    process().save("fit-1", KEPT)
    (file,) = store.local_folder(ARTIFACT).rglob("*.npz")
    content = bytearray(file.read_bytes())
    if part == "end":
        del content[-30:]
    elif part == "everything":
        content = bytearray(b"nothing")
    else:
        place = content.index(b"epochs" if part == "facts" else KEPT.arrays["state.0"].tobytes())
        content[place + 1] ^= 1
    file.write_bytes(content)

    with capture_logs() as logs:
        assert process().load("fit-1") is None

    assert [entry["event"] for entry in logs] == ["checkpoint_damaged"]


@pytest.mark.parametrize("place", [6, 8], ids=["encrypted", "compressed"])
def test_a_checkpoint_whose_headers_are_damaged_is_ignored_with_a_warning(process, store, place):
    process().save("fit-1", KEPT)
    (file,) = store.local_folder(ARTIFACT).rglob("*.npz")
    content = bytearray(file.read_bytes())
    for signature, shift in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
        for header in [match.start() for match in re.finditer(re.escape(signature), content)]:
            content[header + shift + place] = 1 if place == 6 else 8
    # Where the arrays are said to be compressed, what begins so is nothing that was.
    file.write_bytes(bytes(content).replace(b"\x93NUMPY", b"\x07NUMPY"))

    with capture_logs() as logs:
        assert process().load("fit-1") is None

    assert [entry["event"] for entry in logs] == ["checkpoint_damaged"]


def test_a_checkpoint_that_finds_no_place_on_the_disk_is_ignored_with_a_warning(process, store, tmp_path):
    process().save("fit-1", KEPT)
    checkpoints = process()
    (tmp_path / "work").rmdir()

    with capture_logs() as logs:
        assert checkpoints.load("fit-1") is None
        checkpoints.save("fit-1", KEPT)

    assert [entry["event"] for entry in logs] == ["checkpoint_damaged", "checkpoint_not_written"]


def test_checkpoints_are_as_rare_as_they_are_slow(process):
    times = itertools.count(step=1.0)
    checkpoints = process(every_seconds=3.0, clock=lambda: next(times))  # begins at 0

    # Each look at the clock takes a second here: one writes from 4 to 7, and pauses for twenty times as long.
    due = [checkpoints.is_due() for _ in range(3)]
    checkpoints.save("fit-1", KEPT)
    waited = sum(1 for _ in itertools.takewhile(lambda _: not checkpoints.is_due(), itertools.count()))

    assert due == [False, False, True]
    assert waited == 20 * 2 - 1


def test_a_checkpoint_that_cannot_be_written_stops_no_fit(process, store):
    folder = store.local_folder(ARTIFACT)
    folder.parent.mkdir(parents=True)
    folder.write_text("in the way")

    with capture_logs() as logs:
        process().save("fit-1", KEPT)

    assert [entry["event"] for entry in logs] == ["checkpoint_not_written"]


def test_the_next_attempt_learns_from_the_same_versions_of_tables(process, store):
    assert JobCheckpoints(store, ARTIFACT).snapshot(deletions=["gone"]) is None
    process().save("fit-1", KEPT)
    assert JobCheckpoints(store, ARTIFACT).snapshot(deletions=["gone"]) == SNAPSHOT


def test_the_time_of_what_is_gone_on_from_counts_and_no_other(process, store):
    now = 0.0

    def attempt(*fits):
        """Go on with fits, each of which runs for some seconds; return what counts of earlier attempts."""
        nonlocal now
        checkpoints = process(clock=lambda: now)
        for key, seconds in fits:
            checkpoints.load(key)
            now += seconds
            checkpoints.save(key, KEPT)
        return checkpoints.resumed_seconds

    assert attempt(("fit-1", 30.0)) == 0.0
    # One of another version of the code has another key.
    assert attempt(("fit-2", 100.0)) == 0.0
    assert attempt(("fit-1", 12.0), ("refit", 5.0)) == 30.0
    assert attempt(("fit-1", 1.0), ("refit", 1.0)) == 42.0 + 5.0
    for file in store.local_folder(ARTIFACT).rglob("fit-1.npz"):
        file.write_bytes(b"damaged")
    assert attempt(("fit-1", 1.0), ("refit", 1.0)) == 6.0


@pytest.mark.parametrize("deletions", [["gone", "also gone"], []])
def test_after_a_deletion_of_users_nothing_of_before_is_gone_on_from(process, store, deletions):
    process().save("fit-1", KEPT)

    assert JobCheckpoints(store, ARTIFACT).snapshot(deletions=deletions) is None

    assert list(store.list(ARTIFACT)) == []


def test_a_damaged_snapshot_is_ignored_with_a_warning(process, store):
    process().save("fit-1", KEPT)
    store.put(f"{ARTIFACT}/checkpoints/snapshot.json", b'{"tables": 3}')

    with capture_logs() as logs:
        assert JobCheckpoints(store, ARTIFACT).snapshot(deletions=["gone"]) is None

    assert [entry["event"] for entry in logs] == ["checkpoints_ignored"]
    assert list(store.list(ARTIFACT)) == []


def fail(checkpoints, error):
    with checkpoints.going_on():
        raise error


def test_an_attempt_that_cannot_go_on_lets_the_next_one_begin_anew(process, store):
    process().save("fit-1", KEPT)
    resumed = JobCheckpoints(store, ARTIFACT)
    assert resumed.snapshot(deletions=["gone"]) == SNAPSHOT

    with pytest.raises(Unavailable, match="the store is away"):
        fail(resumed, Unavailable("the store is away"))
    assert list(store.list(ARTIFACT)) != []
    with pytest.raises(Unavailable, match=r"begins anew: version 7 is gone"):
        fail(resumed, InvalidInput("version 7 is gone"))
    assert list(store.list(ARTIFACT)) == []
    # One that has begun anew fails for good.
    with pytest.raises(InvalidInput, match="version 7 is gone"):
        fail(JobCheckpoints(store, ARTIFACT), InvalidInput("version 7 is gone"))


def test_a_folder_that_cannot_be_removed_is_left_to_maintenance(process, store):
    process().save("fit-1", KEPT)
    (store.local_folder(ARTIFACT) / "checkpoints" / "elsewhere").symlink_to("nothing-there")

    with capture_logs() as logs:
        JobCheckpoints(store, ARTIFACT).remove()

    assert [entry["event"] for entry in logs] == ["checkpoints_left_behind"]
