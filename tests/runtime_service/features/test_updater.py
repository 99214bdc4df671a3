"""How features are brought up to date: what is opened, once, and what one group lacks keeps none waiting."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import pytest

from common.deletions import DigestSet, id_digest, write_deletion
from common.testing import loop_in_thread, wait_until
from protos.tailorbird.storage.v1.deletion_pb2 import DeletionEntry
from runtime_service.features.opener import SnapshotOpener
from runtime_service.features.updater import FeatureUpdater
from runtime_service.history import Put
from runtime_service.history.lmdb import LmdbHistoryWriter, prepare_history
from runtime_service.serving.deployments import DeploymentTable
from tests.runtime_service.features.running import SharedReader, group_message, publish_rows
from tests.runtime_service.world import local_store

GROUP, SECOND = (f"arn:aws:personalize:us-east-1:000000000000:dataset-group/{name}" for name in ("first", "second"))
ROW = {"T1": "a", "T2": None, "I": 1, "F": None}


class Opener(SnapshotOpener):
    """Opens snapshots when they are let through, and notes what it is asked for."""

    def __init__(self, store, *, cache) -> None:
        super().__init__(store, cache=cache)
        self.opened: list[str] = []
        self.kept: list[list[str]] = []
        self.deletions: list[str] = []
        self.events: dict[str, threading.Event] = {}

    def open(self, location):
        self.opened.append(location)
        if location in self.events:
            assert self.events[location].wait(60)
        return super().open(location)

    def read_deletion(self, location):
        self.deletions.append(location)
        return super().read_deletion(location)

    def forget_others(self, locations) -> None:
        self.kept.append(list(locations))
        super().forget_others(locations)


@dataclass
class Running:
    """An updater that runs, and what feeds it."""

    updater: FeatureUpdater
    opener: Opener
    writer: LmdbHistoryWriter
    store: Any
    loop: Any

    def assign(self, *messages) -> None:
        async def run():
            self.updater.assign(messages)

        self.loop.run(run())

    def ids(self, group=GROUP):
        """Return the ids of a group's items; None while they are not loaded."""
        state = self.updater.find(group)
        features = None if state is None else state.features.get("ITEMS")
        return None if features is None else {features.id(row) for row in range(features.n_rows)}

    def put(self, kind, entity_id, *, group=GROUP) -> None:
        offset = self.writer.next_offset()
        self.writer.append([], puts=[Put(offset, group, kind, entity_id, None)], next_offset=offset + 1)

    def included(self, group):
        """Return up to which offset answers of a group include the log."""
        return self.updater.included(SharedReader(self.writer).progress(), group)

    def publish(self, name, *ids, kind="ITEMS", offset=0):
        return publish_rows(self.store, name, kind, dict.fromkeys(ids, ROW), offset=offset)

    def delete(self, *users, name="1", group=GROUP) -> str:
        """Note a deletion of users as the tail does, and return its folder."""
        entry = DeletionEntry(dataset_group_arn=group, up_to_offset=self.writer.next_offset() - 1)
        salt = b"k" * 32
        deletion = write_deletion(
            self.store, f"datasets/{group.rpartition('/')[2]}/deletions/{name}", entry,
            users=DigestSet.of(salt, map(id_digest, users)), sessions=DigestSet.of(salt, []),
        )  # fmt: skip
        for _ in self.writer.forget_users(group, deletion):
            pass
        return deletion.location

    def knows(self, user_id, *, group=GROUP):
        """Return whether something is known of a user; None while that cannot be said."""
        state = self.updater.find(group)
        if state is None or state.users is None:
            return None
        reader = SharedReader(self.writer)
        return (
            state.users.values(user_id, ["T1"], find_put=lambda user: reader.find_put(group, "USERS", user)) is not None
        )


@pytest.fixture
def running(tmp_path):
    prepare_history(tmp_path / "history", map_bytes=1 << 22)
    writer = LmdbHistoryWriter(tmp_path / "history", max_events=50)
    store = local_store(tmp_path / "store")
    opener = Opener(store, cache=tmp_path / "features")
    updater = FeatureUpdater(SharedReader(writer), opener, deployments=DeploymentTable(), note_held=lambda held: None)
    with loop_in_thread() as loop, loop.running(updater.run()):
        yield Running(updater, opener, writer, store, loop)
    writer.close()


def test_a_snapshot_that_is_being_opened_is_not_opened_again_when_something_else_changes(running):
    slow, quick = running.publish("first", "a"), running.publish("second", "b")
    event = running.opener.events[slow] = threading.Event()
    running.assign(group_message(GROUP, {"ITEMS": slow}))
    wait_until(lambda: running.opener.opened == [slow])

    running.assign(group_message(GROUP, {"ITEMS": slow}), group_message(SECOND, {"ITEMS": quick}))
    wait_until(lambda: running.ids(SECOND) == {"b"})
    event.set()

    wait_until(lambda: running.ids() == {"a"})
    assert running.opener.opened == [slow, quick]


def test_a_snapshot_that_is_assigned_no_longer_does_not_come_into_force_when_it_is_open(running):
    first = running.publish("first", "a")
    running.assign(group_message(GROUP, {"ITEMS": first}))
    wait_until(lambda: running.ids() == {"a"})
    second = running.publish("first", "a", "b")
    event = running.opener.events[second] = threading.Event()
    running.assign(group_message(GROUP, {"ITEMS": second}))
    wait_until(lambda: running.opener.opened == [first, second])

    running.assign(group_message(GROUP, {"ITEMS": first}), group_message(SECOND, {"ITEMS": None}))
    wait_until(lambda: running.ids(SECOND) == set())
    event.set()
    running.put("ITEMS", "c")

    wait_until(lambda: "c" in running.ids())
    assert running.ids() == {"a", "c"}


def test_the_age_of_the_features_is_that_of_the_oldest_snapshot(running):
    assert running.updater.oldest_snapshot() is None

    began = time.time()
    older = running.publish("first", "a")
    between = time.time()
    newer = running.publish("second", "b")
    running.assign(group_message(GROUP, {"ITEMS": older}), group_message(SECOND, {"ITEMS": newer}))
    wait_until(lambda: running.ids() == {"a"} and running.ids(SECOND) == {"b"})

    assert began - 0.001 <= running.updater.oldest_snapshot() <= between


def test_copies_go_when_another_snapshot_of_the_same_place_in_the_log_is_in_force(running):
    first = running.publish("first", "a")
    running.assign(group_message(GROUP, {"ITEMS": first}))
    wait_until(lambda: running.ids() == {"a"})
    # As after another import: nothing was put.
    second = running.publish("first", "a", "b")

    running.assign(group_message(GROUP, {"ITEMS": second}))

    wait_until(lambda: running.ids() == {"a", "b"})
    wait_until(lambda: running.opener.kept and running.opener.kept[-1] == [second])


def test_a_deletion_that_cannot_be_read_keeps_no_other_group_waiting(running):
    users = running.publish("first", "u1", kind="USERS")
    running.assign(group_message(GROUP, {"USERS": users}), group_message(SECOND, {"ITEMS": None}))
    wait_until(lambda: running.knows("u1") and running.ids(SECOND) == set())
    entry = running.store.local_folder(running.delete("u1")) / "entry.json"
    kept = entry.read_bytes()
    entry.write_bytes(b"{")

    running.put("ITEMS", "c", group=SECOND)
    wait_until(lambda: running.ids(SECOND) == {"c"})
    # Nor do those who wait for what they put there wait in vain.
    last = running.writer.next_offset() - 1
    wait_until(lambda: running.included(SECOND) == last)
    assert running.included(GROUP) < last

    entry.write_bytes(kept)
    wait_until(lambda: running.knows("u1") is False)
    wait_until(lambda: running.included(GROUP) == last)


def test_a_deletion_is_read_once_however_often_something_is_put(running):
    users = running.publish("first", "u1", kind="USERS")
    running.assign(group_message(GROUP, {"USERS": users, "ITEMS": None}))
    wait_until(lambda: running.knows("u1"))
    location = running.delete("u1")
    wait_until(lambda: running.knows("u1") is False)

    for name in ("a", "b", "c"):
        running.put("ITEMS", name)
        wait_until(lambda name=name: name in running.ids())

    assert running.opener.deletions == [location]


def test_deleted_users_are_unknown_also_where_nothing_was_put_since_the_snapshot(running):
    running.put("USERS", "u1")
    at = running.writer.next_offset() - 1
    first = running.publish("first", "u1", "u2", kind="USERS", offset=at)
    running.assign(group_message(GROUP, {"USERS": first}))
    wait_until(lambda: running.knows("u1"))

    running.delete("u1")
    for _ in running.writer.prune_puts(GROUP, "USERS", up_to=at):
        pass
    wait_until(lambda: running.knows("u1") is False)
    assert running.knows("u2")

    # An import brings the user again, after the deletion has ended.
    again = publish_rows(running.store, "first", "USERS", {"u1": ROW, "u3": ROW}, offset=at, deletions=["1"])
    running.assign(group_message(GROUP, {"USERS": again}))
    wait_until(lambda: running.knows("u3"))
    assert running.knows("u1")
