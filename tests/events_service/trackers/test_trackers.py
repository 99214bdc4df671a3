"""Tracking ids: fetched by a call, and watched so that no deletion completes while a call uses its tracker."""

from __future__ import annotations

import errno
import os
import threading
import time
from contextlib import contextmanager

import pytest

from common.avro import AvroSchema
from common.errors import ResourceNotFound, Unavailable
from common.rpc import channel
from common.testing import serving, wait_until
from control_plane.metadata_store.tables import EventsService
from control_plane.server import assemble
from events_service.log import LogTable
from events_service.trackers import KnownRevisions, Tracker
from events_service.trackers.followed import FollowedTrackers
from events_service.trackers.kept import TrackerFile
from events_service.trackers.remote import RemoteTrackers
from tests.control_plane.world import ACCOUNT, EVERYTHING, INTERACTIONS, TIMING, World, make_world
from tests.events_service.samples import GROUP, TRACKING_ID, ListedTrackers, known_trackers, table, tracker

PATIENCE = 60.0  # what tests wait for comes in milliseconds, unless the machine is busy


class Seconds:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds():
    return Seconds()


@pytest.fixture
def world(tmp_path):
    made = make_world(tmp_path)
    yield made
    made.metadata_store.close()


@pytest.fixture
def plane(world):
    with serving(world.plane.services) as server:
        yield server


@contextmanager
def watching(source, **options):
    followed = FollowedTrackers(source, **{"patience_seconds": PATIENCE, "stale_seconds": 100.0, **options})
    followed.start()
    try:
        yield followed
    finally:
        followed.stop()


@pytest.fixture
def followed(plane):
    with plane.channel("events") as opened, watching(RemoteTrackers(opened, service_id="events-1")) as made:
        yield made


@pytest.fixture
def group(world):
    return world.group()


@pytest.fixture
def tracking_id(world, group):
    return world.resources.trackers.create("clicks", dataset_group_arn=group).tracking_id


def resolve(followed, tracking_id, *, account=ACCOUNT):
    with followed.use(tracking_id, account=account, seconds=PATIENCE) as tracker:
        return tracker


def is_gone(describe, arn) -> bool:
    try:
        describe(arn)
    except ResourceNotFound:
        return True
    return False


def removal(world):
    """Return the next job of removing a table, once there is one."""
    return wait_until(world.lease)


def finish(world, lease):
    world.complete(lease, {"removed_objects": 1})


def test_remote_update_has_the_table_of_the_group(world, plane, group, tracking_id):
    with plane.channel("events") as opened:
        remote = RemoteTrackers(opened, service_id="x")
        before = remote.fetch(KnownRevisions(), wait_seconds=0).result()
        dataset = world.dataset(group)
        after = remote.fetch(KnownRevisions(), wait_seconds=0).result()

    location = world.resources.datasets.describe(dataset).location
    expected = Tracker(group, LogTable(location, group, INTERACTIONS), AvroSchema.parse(INTERACTIONS))
    assert before.trackers == {tracking_id: Tracker(group)}
    assert after.trackers == {tracking_id: expected}


def test_remote_returns_which_tables_are_datasets(world, plane, group):
    arns = [world.dataset(one) for one in (group, world.group())]
    kept, deleted = (world.resources.datasets.describe(arn).location for arn in arns)
    world.resources.datasets.delete(arns[1])
    with plane.channel("events") as opened:
        remote = RemoteTrackers(opened, service_id="x")

        assert remote.active([deleted, kept, *(f"datasets/other/{n}" for n in range(1500))]) == {kept}


def test_remote_tells_of_rows_that_wait(world, plane, group):
    arns = [world.dataset(one) for one in (group, world.group())]
    locations = [world.resources.datasets.describe(arn).location for arn in arns]
    with plane.channel("events") as opened:
        remote = RemoteTrackers(opened, service_id="x")

        remote.active(locations)
        assert remote.active(locations[:1], rows_wait=True) == set(locations[:1])

    noted = [world.resources.datasets.describe(arn).rows_streamed_at for arn in arns]
    assert noted == [world.clock.now(), None]


def test_control_plane_that_cannot_be_reached_is_unavailable():
    opened = channel("127.0.0.1:1", token="t")
    remote = RemoteTrackers(opened, service_id="x", patience_seconds=0.2)
    with pytest.raises(Unavailable):
        remote.active(["x"])
    with pytest.raises(Unavailable):
        remote.fetch(KnownRevisions(), wait_seconds=0).result()
    opened.close()


def test_rejection_of_our_own_token_is_not_the_senders_fault(plane):
    with plane.channel("client") as opened, pytest.raises(Unavailable, match="tells no trackers"):
        RemoteTrackers(opened, service_id="x").active(["x"])


def test_tracker_and_dataset_are_known_as_soon_as_they_are_made(world, followed):
    for _ in range(20):
        group = world.group()
        made = world.resources.trackers.create(world.name("clicks"), dataset_group_arn=group)
        assert resolve(followed, made.tracking_id) == Tracker(group)

        dataset = world.dataset(group)
        assert resolve(followed, made.tracking_id).table.location == world.resources.datasets.describe(dataset).location


def test_unknown_id_is_not_resolve(followed, tracking_id):
    with pytest.raises(ResourceNotFound, match="`trackingId`: got 'unknown'"):
        resolve(followed, "unknown")


def test_table_of_a_deleted_dataset_is_removed_when_no_call_uses_it_any_more(world, followed, group, tracking_id):
    dataset = world.dataset(group)
    with followed.use(tracking_id, account=ACCOUNT, seconds=PATIENCE) as old:
        world.resources.datasets.delete(dataset)
        # From here on calls see that it is deleted.
        wait_until(lambda: resolve(followed, tracking_id).table is None)
        assert world.lease() is None
        assert world.resources.datasets.describe(dataset).status == "DELETE PENDING"

    lease = removal(world)
    assert lease.job.payload["locations"] == [old.table.location]
    finish(world, lease)
    assert is_gone(world.resources.datasets.describe, dataset)


def test_dataset_that_was_made_again_takes_events_at_once(world, followed, group, tracking_id):
    locations = []
    for _ in range(10):
        dataset = world.dataset(group)
        locations.append(resolve(followed, tracking_id).table.location)
        assert locations[-1] == world.resources.datasets.describe(dataset).location
        world.resources.datasets.delete(dataset)
        finish(world, removal(world))
        assert resolve(followed, tracking_id).table is None

    assert len(set(locations)) == 10


def test_deleted_tracker_is_gone_when_no_call_uses_it_any_more(world, followed, group, tracking_id):
    (made,) = world.resources.trackers.list(EVERYTHING, dataset_group_arn=group).items
    world.dataset(group)
    with followed.use(tracking_id, account=ACCOUNT, seconds=PATIENCE):
        world.resources.trackers.delete(made.arn)
        assert world.resources.trackers.describe(made.arn).status == "DELETE PENDING"

    wait_until(lambda: is_gone(world.resources.trackers.describe, made.arn))
    with pytest.raises(ResourceNotFound):
        resolve(followed, tracking_id)


def test_deletion_does_not_wait_for_an_events_service_that_fell_silent(world, plane, group):
    dataset = world.dataset(group)
    with plane.channel("events") as opened:
        RemoteTrackers(opened, service_id="silent").fetch(KnownRevisions(), wait_seconds=0).result()
    world.resources.datasets.delete(dataset)
    world.sweep()
    assert world.lease() is None

    world.clock.advance(seconds=31)
    world.sweep()

    assert world.lease() is not None


@pytest.mark.parametrize("away_seconds", [60, 3600])
def test_deletion_waits_for_events_services_that_a_new_control_plane_has_not_heard_of_yet(
    world, plane, group, away_seconds
):
    dataset = world.dataset(group)
    with plane.channel("events") as opened:
        RemoteTrackers(opened, service_id="events-1").fetch(KnownRevisions(), wait_seconds=0).result()
    world.clock.advance(seconds=away_seconds)
    plane_again = assemble(world.metadata_store, world.app_context, TIMING)
    restarted = World(world.metadata_store, world.clock, world.app_context, plane_again)

    restarted.sweep()
    restarted.resources.datasets.delete(dataset)
    assert restarted.lease() is None

    world.clock.advance(seconds=31)
    restarted.sweep()
    assert restarted.lease() is not None


def test_events_service_that_just_started_holds_deletions_until_it_says_what_it_uses(world, plane, group, tracking_id):
    dataset = world.dataset(group)
    with plane.channel("events") as opened:
        remote = RemoteTrackers(opened, service_id="new")
        first = remote.fetch(KnownRevisions(), wait_seconds=0).result()
        world.resources.datasets.delete(dataset)
        assert world.lease() is None

        second = remote.fetch(KnownRevisions(first.revision, first.revision), wait_seconds=0).result()
        assert world.lease() is None

        third = remote.fetch(KnownRevisions(second.revision, second.revision), wait_seconds=0).result()
        assert world.lease() is not None

    assert first.trackers[tracking_id].table is not None
    assert second.trackers[tracking_id].table is None
    assert third.trackers is None


def test_events_service_that_is_gone_for_long_is_forgotten(world, plane):
    with plane.channel("events") as opened:
        RemoteTrackers(opened, service_id="old").fetch(KnownRevisions(), wait_seconds=0).result()
        world.clock.advance(seconds=700)
        world.sweep()

        assert world.metadata_store.view(lambda unit: unit.count(EventsService)) == 0


def test_not_every_fetch_writes_to_the_metadata_store(world, plane):
    def last_seen():
        return world.metadata_store.view(lambda unit: unit.get(EventsService, "busy").last_seen_at)

    with plane.channel("events") as opened:
        remote = RemoteTrackers(opened, service_id="busy")
        revision = remote.fetch(KnownRevisions(), wait_seconds=0).result().revision
        revisions = KnownRevisions(revision, revision)
        remote.fetch(revisions, wait_seconds=0).result()
        first = world.clock.now()

        world.clock.advance(seconds=1)
        remote.fetch(revisions, wait_seconds=0).result()
        assert last_seen() == first

        world.clock.advance(seconds=4)
        remote.fetch(revisions, wait_seconds=0).result()
        assert last_seen() == world.clock.now()


@pytest.mark.parametrize("service_id", ["", "x" * 257])
def test_events_service_has_a_name(plane, service_id):
    with plane.channel("events") as opened, pytest.raises(Unavailable, match="service_id"):
        RemoteTrackers(opened, service_id=service_id).fetch(KnownRevisions(), wait_seconds=0).result()


def test_trackers_stay_valid_while_the_control_plane_is_unreachable(seconds):
    source = known_trackers()
    with watching(source, monotonic=seconds) as followed:
        assert resolve(followed, TRACKING_ID) == tracker()
        source.error = Unavailable("away")
        with pytest.raises(Unavailable, match="away"):
            resolve(followed, "unknown")

        seconds.now += 60 + 99  # the lease, and nearly all that comes after it
        wait_until(lambda: followed._failure.sent_seconds == seconds.now)
        assert resolve(followed, TRACKING_ID) == tracker()

        seconds.now += 1
        wait_until(lambda: followed._failure.sent_seconds == seconds.now)
        with pytest.raises(Unavailable, match="away"):
            resolve(followed, TRACKING_ID)


def test_calls_do_not_wait_while_the_control_plane_is_unreachable(plane, world, group, tracking_id):
    world.dataset(group)
    with plane.channel("events") as opened, watching(RemoteTrackers(opened, service_id="e")) as followed:
        wait_until(lambda: resolve(followed, tracking_id))
        plane.stop()
        wait_until(lambda: followed._failure is not None)

        # A call that waited would exceed its deadline, which is now.
        with followed.use(tracking_id, account=ACCOUNT, seconds=0) as resolved:
            assert resolved.table is not None
        with pytest.raises(Unavailable), followed.use("unknown", account=ACCOUNT, seconds=0):
            pass


def test_the_set_is_fetched_again_after_the_process_was_suspended(seconds):
    source = known_trackers()
    with watching(source, monotonic=seconds) as followed:
        assert resolve(followed, TRACKING_ID) == tracker()
        source.trackers[TRACKING_ID] = tracker(table("datasets/other"))

        seconds.now += 61

        assert resolve(followed, TRACKING_ID).table.location == "datasets/other"


def test_caller_who_waits_for_a_fetch_gives_up_in_time():
    class SilentTrackers(ListedTrackers):
        """Every fetch waits until the test is over."""

        def fetch(self, revisions, *, wait_seconds):
            return super().fetch(revisions, wait_seconds=PATIENCE)

    with (
        watching(SilentTrackers()) as followed,
        pytest.raises(Unavailable, match="no answer yet"),
        followed.use(TRACKING_ID, account=ACCOUNT, seconds=0.01),
    ):
        pass


def test_calls_at_the_same_time_share_a_fetch(seconds):
    source = known_trackers()
    with watching(source, monotonic=seconds) as followed:
        resolve(followed, TRACKING_ID)
        source.trackers["new"] = tracker()
        before = followed._begun
        start = threading.Barrier(16)
        results = []

        def call() -> None:
            start.wait()
            results.append(resolve(followed, "new"))

        threads = [threading.Thread(target=call) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert results == [tracker()] * 16
        # Each call waits for a fetch that began after it: at worst the one that runs and the next.
        assert followed._begun - before <= 16


def test_no_error_ends_the_watch():
    source = known_trackers()
    source.error = RuntimeError("a bug")
    with watching(source) as followed:
        with pytest.raises(Unavailable, match="internal error"):
            resolve(followed, TRACKING_ID)
        source.error = None

        assert wait_until(lambda: followed._failure is None)
        assert resolve(followed, TRACKING_ID) == tracker()


def test_kept_set_is_used_at_the_next_start_while_the_control_plane_is_unreachable(tmp_path):
    file, source = TrackerFile(tmp_path / "trackers.json"), known_trackers()
    source.trackers["no-dataset"] = Tracker(GROUP)
    with watching(source, file=file) as followed:
        resolve(followed, TRACKING_ID)
    source.error = Unavailable("away")

    with watching(source, file=file) as followed:
        assert resolve(followed, TRACKING_ID) == tracker()
        with pytest.raises(Unavailable, match="away"):
            resolve(followed, "no-dataset")


def test_kept_set_is_fetched_again_when_the_control_plane_is_reachable(tmp_path):
    file, source = TrackerFile(tmp_path / "trackers.json"), known_trackers()
    with watching(source, file=file) as followed:
        resolve(followed, TRACKING_ID)
    source.trackers[TRACKING_ID] = tracker(table("datasets/other"))

    with watching(source, file=file) as followed:
        assert resolve(followed, TRACKING_ID).table.location == "datasets/other"


def test_kept_set_is_replaced_by_that_of_another_control_plane_with_the_same_revision(tmp_path):
    file, source = TrackerFile(tmp_path / "trackers.json"), known_trackers()
    file.keep(1, {"of-another": tracker(table("datasets/other"))})

    with watching(source, file=file) as followed:
        assert resolve(followed, TRACKING_ID) == tracker()
        with pytest.raises(ResourceNotFound):
            resolve(followed, "of-another")

    assert len(source.sets) == 1


def test_schema_that_cannot_be_parsed_does_not_affect_other_groups(tmp_path):
    file = TrackerFile(tmp_path / "trackers.json")
    kept = {TRACKING_ID: tracker(), "broken": Tracker(GROUP, LogTable("datasets/x", GROUP, "no schema"), None)}

    file.keep(1, kept)

    assert file.read().trackers == kept


def test_kept_set_expires_when_it_is_too_old(tmp_path):
    file, source = TrackerFile(tmp_path / "trackers.json"), known_trackers()
    with watching(source, file=file) as followed:
        resolve(followed, TRACKING_ID)
    long_ago = time.time() - 101
    os.utime(tmp_path / "trackers.json", (long_ago, long_ago))
    source.error = Unavailable("away")

    with watching(source, file=file) as followed, pytest.raises(Unavailable, match="away"):
        resolve(followed, TRACKING_ID)


def test_a_set_is_kept_before_its_revision_is_confirmed(tmp_path):
    file = TrackerFile(tmp_path / "trackers.json")
    pairs = []  # revision in a request, revision in the file at that moment

    class NotingTrackers(ListedTrackers):
        def fetch(self, revisions, *, wait_seconds):
            pairs.append((revisions.revision, (kept := file.read()) and kept.revision))
            return super().fetch(revisions, wait_seconds=wait_seconds)

    source = NotingTrackers(**{TRACKING_ID: tracker()})
    with watching(source, file=file) as followed:
        for number in range(5):
            source.trackers[f"t{number}"] = tracker()
            resolve(followed, f"t{number}")

    assert {revision for revision, _ in pairs} >= {None, 1, 2, 3, 4, 5}
    assert [pair for pair in pairs if pair[0] != pair[1]] == []


@pytest.mark.parametrize("damage", ["", "[]", '{"format_version": 2}', '{"format_version": 1, "trackers": 7}'])
def test_file_that_cannot_be_read_counts_as_none(tmp_path, damage):
    path = tmp_path / "trackers.json"
    path.write_text(damage)

    assert TrackerFile(path).read() is None


def test_set_that_cannot_be_kept_leaves_no_older_one(tmp_path, monkeypatch):
    path = tmp_path / "trackers.json"
    file = TrackerFile(path)
    file.keep(1, {TRACKING_ID: tracker()})

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)

    file.keep(2, {})
    file.confirm()

    assert file.read() is None


def test_kept_file_is_its_owners_alone(tmp_path):
    TrackerFile(tmp_path / "trackers.json").keep(1, {TRACKING_ID: tracker()})

    assert (tmp_path / "trackers.json").stat().st_mode & 0o077 == 0


class CountingTrackers(ListedTrackers):
    """Counts the requests for the present state, which somebody waits for."""

    n_lookups = 0

    def fetch(self, revisions, *, wait_seconds):
        self.n_lookups += not wait_seconds
        return super().fetch(revisions, wait_seconds=wait_seconds)


@pytest.mark.parametrize(("tracking_id", "account"), [("unknown", ACCOUNT), (TRACKING_ID, "999999999999")])
def test_tracker_of_another_account_is_looked_up_like_an_unknown_one(tracking_id, account):
    """The set is fetched again for both, so that the time of the answer tells nothing."""
    source = CountingTrackers(**known_trackers().trackers)
    with watching(source) as followed:
        resolve(followed, TRACKING_ID)
        before = source.n_lookups

        with pytest.raises(ResourceNotFound):
            resolve(followed, tracking_id, account=account)

        assert source.n_lookups > before
