"""The ledger of deletions: whom it holds, which attempt is in force, and who notices it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from common.deletions import (
    DeletionWatch,
    DigestSet,
    deletions_folder,
    id_digest,
    list_deletions,
    read_deletion,
    read_report,
    write_deletion,
    write_report,
)
from common.errors import CorruptArtifact, ResourceNotFound, Unavailable
from common.settings import StoreSettings
from common.storage.objects import open_store
from protos.tailorbird.storage.v1.deletion_pb2 import DeletionEntry, DeletionReport

TABLE = "datasets/a/films/INTERACTIONS-1"
DELETION = "datasets/a/films/deletions/d-1"


@pytest.fixture
def store(tmp_path):
    return open_store(StoreSettings(store_url=str(tmp_path / "store")))


def write(store, *users, location=DELETION, sessions=(), day=1, key=b"k" * 32):
    entry = DeletionEntry(dataset_group_arn="group", up_to_offset=7)
    entry.began_at.FromDatetime(datetime(2026, 1, day, tzinfo=UTC))
    digests = [DigestSet.of(key, map(id_digest, ids)) for ids in (users, sessions)]
    return write_deletion(store, location, entry, users=digests[0], sessions=digests[1])


def test_set_holds_its_ids_and_no_others():
    ids = [f"user-{number}" for number in range(2000)]
    users = DigestSet.of(b"key", map(id_digest, ids[::2] + ids[:10:2]))

    assert len(users) == 1000
    assert users.holds_ids([*ids, None, ""]).tolist() == [number % 2 == 0 for number in range(2000)] + [False, False]
    assert DigestSet.of(b"key", []).holds_ids(["user-1", None]).tolist() == [False, False]


def test_entry_comes_back_with_its_users_and_no_id_is_kept(store, tmp_path):
    write(store, "alice", "bob", sessions=["session-1"])

    deleted = read_deletion(store, DELETION)

    assert (deleted.entry.up_to_offset, deleted.entry.users, deleted.entry.sessions) == (7, 2, 1)
    assert deleted.users.holds_ids(["alice", "bob", "carol"]).tolist() == [True, True, False]
    assert deleted.sessions.holds_ids(["session-1", "alice"]).tolist() == [True, False]
    kept = b"".join(path.read_bytes() for path in (tmp_path / "store" / DELETION).iterdir())
    assert b"alice" not in kept
    assert id_digest("alice") not in kept


def test_entry_of_the_first_attempt_stays_in_force(store):
    write(store, "alice")

    again = write(store, "bob", key=b"other" * 4)

    assert again.users.holds_ids(["alice", "bob"]).tolist() == [True, False]


def test_deletions_are_listed_once_they_are_in_force(store):
    store.put(f"{DELETION}-begun/users-1.bin", b"")
    write(store, "alice", location=f"{DELETION}-old", day=1)
    write(store, "bob", location=f"{DELETION}-new", day=2)
    folder = deletions_folder(TABLE)

    assert list_deletions(store, folder) == [f"{DELETION}-new", f"{DELETION}-old"]
    assert list_deletions(store, folder, since=datetime(2026, 1, 2, tzinfo=UTC)) == [f"{DELETION}-new"]


def test_watch_notices_a_deletion_that_comes_into_force(store):
    write(store, "alice")
    watch = DeletionWatch(store, [TABLE])
    with watch.reading():
        pass

    with pytest.raises(Unavailable, match="deleted meanwhile"), watch.reading():
        write(store, "bob", location=f"{DELETION}-2")


def test_file_that_a_deletion_took_away_is_a_reason_to_read_again(store):
    with pytest.raises(CorruptArtifact), DeletionWatch(store, [TABLE]).reading():
        raise CorruptArtifact("dataset: a file is gone")
    watch = DeletionWatch(store, [TABLE])
    write(store, "alice")
    with pytest.raises(Unavailable, match="deleted meanwhile"), watch.reading():
        raise CorruptArtifact("dataset: a file is gone")


def test_damaged_entry_is_named(store):
    deleted = write(store, "alice")
    store.put(f"{DELETION}/{deleted.entry.users_file}", b"short")

    with pytest.raises(CorruptArtifact, match="got 5 bytes, want 1 digests"):
        read_deletion(store, DELETION)
    store.put(f"{DELETION}/entry.json", b"{")
    with pytest.raises(CorruptArtifact, match="cannot be read"):
        read_deletion(store, DELETION)


def test_report_is_there_when_it_was_written(store):
    with pytest.raises(ResourceNotFound):
        read_report(store, DELETION)

    write_report(store, DELETION, DeletionReport(users=3))

    assert read_report(store, DELETION).users == 3
