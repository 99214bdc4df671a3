"""Tracking ids: asked over the wire, remembered for a while."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from common.avro import AvroSchema
from common.errors import ResourceNotFound, Unavailable
from common.rpc import channel
from common.testing import serving
from events_service.log import LogTable
from events_service.trackers import Tracker
from events_service.trackers.cached import CachedTrackers
from events_service.trackers.remote import RemoteTrackers
from tests.control_plane.world import INTERACTIONS, make_world
from tests.events_service.samples import TRACKING_ID, ListedTrackers, known_trackers, table, tracker


@pytest.fixture
def source():
    return known_trackers()


@pytest.fixture
def cached(source, clock):
    return CachedTrackers(
        source,
        clock=clock,
        fresh_for=timedelta(seconds=10),
        missing_for=timedelta(seconds=1),
        stale_for=timedelta(seconds=100),
    )


@pytest.fixture
def world(tmp_path):
    made = make_world(tmp_path)
    yield made
    made.catalogue.close()


def test_remote_answer_is_the_table_of_the_group(world):
    group = world.group()
    made = world.resources.trackers.create("clicks", dataset_group_arn=group)
    with serving(world.plane.services) as server, server.channel("events") as opened:
        remote = RemoteTrackers(opened)
        before = remote.resolve(made.tracking_id)
        dataset = world.dataset(group)
        after = remote.resolve(made.tracking_id)

    location = world.resources.datasets.describe(dataset).location
    assert before == Tracker(group)
    assert after == Tracker(group, LogTable(location, group, INTERACTIONS), AvroSchema.parse(INTERACTIONS))


def test_remote_tells_that_there_is_no_such_tracker(world):
    with (
        serving(world.plane.services) as server,
        server.channel("events") as opened,
        pytest.raises(ResourceNotFound, match="`trackingId`"),
    ):
        RemoteTrackers(opened).resolve("unknown")


def test_control_plane_that_cannot_be_reached_is_unavailable():
    opened = channel("127.0.0.1:1", token="t")
    with pytest.raises(Unavailable):
        RemoteTrackers(opened, patience_seconds=0.2).resolve("x")
    opened.close()


def test_refusal_of_our_own_token_is_not_the_senders_fault(world):
    with (
        serving(world.plane.services) as server,
        server.channel("client") as opened,
        pytest.raises(Unavailable, match="tells no tracker"),
    ):
        RemoteTrackers(opened).resolve("x")


def test_answer_is_asked_for_once_while_it_is_fresh(cached, source, clock):
    cached.resolve(TRACKING_ID)
    clock.advance(seconds=9)

    assert cached.resolve(TRACKING_ID) == tracker()
    assert source.asked == 1


def test_change_is_seen_when_the_answer_is_no_longer_fresh(cached, source, clock):
    cached.resolve(TRACKING_ID)
    source.trackers[TRACKING_ID] = tracker(table("datasets/other"))
    clock.advance(seconds=10)

    assert cached.resolve(TRACKING_ID).table.location == "datasets/other"


def test_missing_tracker_is_remembered_for_a_moment_only(cached, source, clock):
    for _ in range(2):
        with pytest.raises(ResourceNotFound):
            cached.resolve("new")
    asked = source.asked
    source.trackers["new"] = tracker()
    clock.advance(seconds=1)

    assert cached.resolve("new") == tracker()
    assert asked == 1


def test_known_tracker_stays_good_while_nobody_can_be_asked(cached, source, clock):
    cached.resolve(TRACKING_ID)
    source.trouble = Unavailable("away")

    clock.advance(seconds=109)
    assert cached.resolve(TRACKING_ID) == tracker()

    clock.advance(seconds=1)
    with pytest.raises(Unavailable):
        cached.resolve(TRACKING_ID)


def test_unknown_tracker_is_unavailable_while_nobody_can_be_asked(cached, source, clock):
    with pytest.raises(ResourceNotFound):
        cached.resolve("unknown")
    source.trouble = Unavailable("away")
    clock.advance(seconds=1)

    with pytest.raises(Unavailable):
        cached.resolve("unknown")


def test_deleted_tracker_is_forgotten(cached, source, clock):
    cached.resolve(TRACKING_ID)
    source.trackers.clear()
    clock.advance(seconds=10)

    with pytest.raises(ResourceNotFound):
        cached.resolve(TRACKING_ID)


def test_calls_at_the_same_time_ask_once(clock):
    gate = threading.Event()

    class SlowTrackers(ListedTrackers):
        def resolve(self, tracking_id):
            gate.wait(20)
            return super().resolve(tracking_id)

    source = SlowTrackers(**{TRACKING_ID: tracker()})
    day = timedelta(days=1)
    cached = CachedTrackers(source, clock=clock, fresh_for=day, missing_for=day, stale_for=day)
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(cached.resolve(TRACKING_ID))) for _ in range(8)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()

    assert answers == [tracker()] * 8
    assert source.asked == 1
