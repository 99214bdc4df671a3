"""Tracking ids watched, so that no deletion completes while a call uses its tracker."""

from __future__ import annotations

import threading

import pytest

from common.errors import ResourceNotFound, Unavailable
from common.testing import wait_until
from events_service.trackers import Attribution, Tracker
from events_service.trackers.remote import RemoteTrackers
from tests.control_plane.world import ACCOUNT, EVERYTHING
from tests.events_service.samples import GROUP, TRACKING_ID, ListedTrackers, known_trackers, table, tracker
from tests.events_service.trackers.watch import PATIENCE, resolve, watching


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
def followed(plane):
    with plane.channel("events") as opened, watching(RemoteTrackers(opened, service_id="events-1")) as made:
        yield made


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


def test_table_is_not_removed_either_while_a_call_uses_it_that_did_not_wait(world, followed, group, tracking_id):
    dataset = world.dataset(group)
    resolve(followed, tracking_id)
    used = followed.use_now(tracking_id, account=ACCOUNT)
    world.resources.datasets.delete(dataset)
    wait_until(lambda: resolve(followed, tracking_id).table is None)
    assert world.lease() is None

    used.end_use()

    assert removal(world).job.payload["locations"] == [used.tracker.table.location]


def test_nothing_is_used_at_once_that_would_have_to_be_fetched(seconds):
    source = known_trackers()
    with watching(source, monotonic=seconds) as followed:
        resolve(followed, TRACKING_ID)
        assert followed.use_now(TRACKING_ID, account=ACCOUNT).tracker == tracker()
        assert followed.use_now("unknown", account=ACCOUNT) is None
        assert followed.use_now(TRACKING_ID, account="999999999999") is None

        source.error = Unavailable("away")
        seconds.now += 61  # the lease is over
        assert followed.use_now(TRACKING_ID, account=ACCOUNT) is None


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


def test_attributions_are_those_after_the_call_has_begun(seconds):
    source = ListedTrackers()
    with watching(source, monotonic=seconds) as followed:
        assert followed.attributions() == {}
        source.attributions = {GROUP: Attribution("arn:a", 1, GROUP, ())}
        assert followed.attributions() == source.attributions

        source.error = Unavailable("control_plane is away")
        with pytest.raises(Unavailable, match="control_plane is away"):
            followed.attributions()
