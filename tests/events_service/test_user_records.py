"""Removing the records of deleted users from the log, as the ledger says."""

from __future__ import annotations

from itertools import count

import pytest

from common.deletions import DigestSet, id_digest, read_deletion, write_deletion
from common.errors import ResourceNotFound
from common.settings import StoreSettings
from common.storage.objects import open_store
from events_service.domain import ActionInteraction, Entity
from events_service.log import LogTable, UserRemoval
from events_service.log.jetstream import JetStreamEventLog
from events_service.log.sqlite import SqliteEventLog
from events_service.log.stream_target import StreamTarget
from events_service.records import content_of, log_entry
from events_service.user_records import SoughtUser, UserRecords
from protos.tailorbird.storage.v1.deletion_pb2 import DeletionEntry
from tests.events_service.nats import running_nats
from tests.events_service.samples import GROUP, NOW_MILLIS, SCHEMA_TEXT, entry, event, table

NUMBERS = count()
DELETION = "datasets/a/films/deletions/1"
USERS = LogTable("datasets/a/films/USERS", GROUP, SCHEMA_TEXT, "USERS")
ACTIONS = LogTable("datasets/a/films/ACTION_INTERACTIONS", GROUP, SCHEMA_TEXT, "ACTION_INTERACTIONS")


@pytest.fixture(scope="module")
def server():
    with running_nats() as running:
        yield running


@pytest.fixture(params=["sqlite", "jetstream"])
def log(request, tmp_path, clock):
    if request.param == "sqlite":
        opened = SqliteEventLog(tmp_path / "log", clock=clock)
    else:
        target = StreamTarget(request.getfixturevalue("server").url, stream=f"records{next(NUMBERS)}")
        opened = JetStreamEventLog(target, tmp_path / "log", clock=clock)
    yield opened
    opened.close()


@pytest.fixture
def store(tmp_path):
    return open_store(StoreSettings(store_url=str(tmp_path / "store")))


def delete(store, *users, sessions=(), up_to):
    key = b"k" * 32
    digests = (DigestSet.of(key, map(id_digest, ids)) for ids in (users, sessions))
    entry_of_group = DeletionEntry(dataset_group_arn=GROUP, up_to_offset=up_to)
    write_deletion(store, DELETION, entry_of_group, users=next(digests), sessions=next(digests))


def offsets(log):
    return [record.offset for record in log.read(1, max_records=100).records]


def test_records_of_the_users_and_of_their_sessions_go_and_what_came_later_stays(log, store):
    gone, stays = event(1, user_id="gone", session_id="s1"), event(2, user_id="stays", session_id="s2")
    anonymous, foreign = event(3, user_id=None, session_id="s1"), event(4, user_id=None, session_id="s2")
    log.append([entry(item) for item in (gone, stays, anonymous, foreign)], seconds=20)
    log.append([entry(event(5, user_id="gone", session_id="s1"))], seconds=20)
    delete(store, "gone", "never-seen", sessions=["s1"], up_to=4)

    removed = UserRecords(log, store).remove(DELETION, table().location, after=0, seconds=20)

    assert (removed.count, removed.reached_offset, removed.is_complete) == (2, 4, True)
    assert offsets(log) == [2, 4, 5]
    assert log.read(1, max_records=10).user_removals == [UserRemoval(6, GROUP, DELETION, 4)]


def test_users_and_what_they_did_with_actions_go_and_items_stay(log, store):
    interaction = ActionInteraction(
        "e", session_id="s", event_type="Taken", sent_at_millis=NOW_MILLIS, action_id="a", user_id="gone"
    )
    items = LogTable("datasets/a/films/ITEMS", GROUP, SCHEMA_TEXT, "ITEMS")
    contents = [
        log_entry(USERS, Entity("gone", "{}")),
        log_entry(USERS, Entity("stays", "{}")),
        log_entry(items, Entity("gone", "{}")),
        log_entry(ACTIONS, interaction),
    ]
    for content in contents:
        log.append([content], seconds=20)
    delete(store, "gone", up_to=4)
    remover = UserRecords(log, store)

    counts = [remover.remove(DELETION, place.location, after=0, seconds=20).count for place in (USERS, items, ACTIONS)]

    assert counts == [1, 0, 1]
    assert [content_of(record).entity_id for record in log.read(1, max_records=10).records] == ["stays", "gone"]


def test_call_that_has_no_time_says_how_far_it_came_and_the_next_one_goes_on(log, store, monkeypatch):
    monkeypatch.setattr("events_service.user_records._BATCH_RECORDS", 2)
    log.append([entry(event(number, user_id="gone")) for number in range(5)], seconds=20)
    delete(store, "gone", up_to=5)
    remover = UserRecords(log, store)

    calls = [remover.remove(DELETION, table().location, after=after, seconds=0) for after in (0, 2, 4)]

    assert [(call.count, call.reached_offset, call.is_complete) for call in calls] == [
        (2, 2, False),
        (2, 4, False),
        (1, 5, True),
    ]
    assert offsets(log) == []
    assert len(log.read(1, max_records=10).user_removals) == 1


def test_deletion_that_the_ledger_does_not_have_removes_nothing(log, store):
    log.append([entry(event(1))], seconds=20)

    with pytest.raises(ResourceNotFound):
        UserRecords(log, store).remove(DELETION, table().location, after=0, seconds=20)

    assert offsets(log) == [1]


def test_records_of_a_user_are_counted_with_those_of_its_sessions_and_none_is_removed(log, store):
    contents = [("gone", "s1"), (None, "s1"), (None, "s2"), ("stays", "s2"), (None, "s3")]
    log.append(
        [entry(event(number, user_id=user, session_id=session)) for number, (user, session) in enumerate(contents)],
        seconds=20,
    )
    delete(store, "gone", sessions=["s2", "s3"], up_to=4)
    sought = SoughtUser(
        DigestSet.of(b"", [id_digest("gone")]),
        DigestSet.of(b"", [id_digest("s1")]),
        [read_deletion(store, DELETION)],
    )

    counted = UserRecords(log, store).count(table().location, sought, after=0, seconds=20)

    # The last one came after the deletion.
    assert (counted.count, counted.is_complete) == (3, True)
    assert offsets(log) == [1, 2, 3, 4, 5]


def test_count_that_has_no_time_goes_on_with_the_next_call(log, store, monkeypatch):
    monkeypatch.setattr("events_service.user_records._BATCH_RECORDS", 2)
    log.append([entry(event(number, user_id="gone")) for number in range(3)], seconds=20)
    sought = SoughtUser(DigestSet.of(b"", [id_digest("gone")]), DigestSet.of(b"", []), [])

    calls = [UserRecords(log, store).count(table().location, sought, after=after, seconds=0) for after in (0, 2, 3)]

    assert [(call.count, call.reached_offset, call.is_complete) for call in calls] == [
        (2, 2, False),
        (1, 3, False),
        (0, 3, True),
    ]
