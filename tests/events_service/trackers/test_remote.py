"""Tracking ids fetched by a call, which also says what is in use: deletions wait for it."""

from __future__ import annotations

import pytest

from common.avro import AvroSchema
from common.errors import Unavailable
from common.rpc import channel
from control_plane.metadata_store.tables import EventsService
from control_plane.server import assemble
from events_service.log import LogTable
from events_service.trackers import AttributedMetric, Attribution, KnownRevisions, Tracker
from events_service.trackers.remote import RemoteTrackers
from protos.tailorbird.control.v1.common_pb2 import S3DataConfig
from protos.tailorbird.control.v1.metric_attribution_pb2 import MetricAttributionOutput
from tests.control_plane.resources.test_metric_attributions import OUTPUT, PRICED, create, metric
from tests.control_plane.world import INTERACTIONS, TIMING, World

REPORTED = MetricAttributionOutput(role_arn=OUTPUT.role_arn, s3_data_destination=S3DataConfig(path="s3://reports/"))


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


def test_remote_update_has_the_metric_attribution_of_the_group(world, plane, group):
    world.dataset(group)
    items = world.dataset(group, "Items", PRICED)
    with plane.channel("events") as opened:
        remote = RemoteTrackers(opened, service_id="x")

        def attributions():
            update = remote.fetch(KnownRevisions(), wait_seconds=0).result()
            return update.revision, update.attributions

        before = attributions()
        arn = create(world, group, metric("margin", "SUM(Items.MARGIN)"), output=REPORTED).arn
        made = attributions()
        world.resources.metric_attributions.update(arn, add=[metric("all")], remove_names=["margin"], output=None)
        changed = attributions()
        world.resources.metric_attributions.delete(arn)
        deleted = attributions()

    location = world.resources.datasets.describe(items).location
    assert before[1] == deleted[1] == {}
    assert made[1] == {
        group: Attribution(
            arn,
            int(world.clock.now().timestamp() * 1000),
            group,
            (AttributedMetric("margin", "watch", "SUM(Items.MARGIN)"),),
            "s3://reports/",
            (),
            LogTable(location, group, PRICED, "ITEMS"),
        )
    }
    assert changed[1][group].metrics == (AttributedMetric("all", "watch", "SAMPLECOUNT()"),)
    assert [before[0], made[0], changed[0], deleted[0]] == list(range(before[0], before[0] + 4))


def test_remote_returns_which_tables_are_datasets(world, plane, group):
    arns = [world.dataset(one) for one in (group, world.group())]
    kept, deleted = (world.resources.datasets.describe(arn).location for arn in arns)
    world.resources.datasets.delete(arns[1])
    with plane.channel("events") as opened:
        remote = RemoteTrackers(opened, service_id="x")

        assert remote.active([deleted, kept, *(f"datasets/other/{n}" for n in range(1500))]) == {kept: ""}
        assert remote.active([deleted, kept], with_schemas=True) == {kept: INTERACTIONS}


def test_remote_tells_of_rows_that_wait(world, plane, group):
    arns = [world.dataset(one) for one in (group, world.group())]
    locations = [world.resources.datasets.describe(arn).location for arn in arns]
    with plane.channel("events") as opened:
        remote = RemoteTrackers(opened, service_id="x")

        remote.active(locations)
        assert remote.active(locations[:1], rows_wait=True).keys() == set(locations[:1])

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

        assert world.metadata_store.view(lambda unit: unit.count(EventsService, limit=1)) == 0


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
