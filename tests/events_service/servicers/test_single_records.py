"""PutItems, PutUsers, PutActions and PutActionInteractions beside a real control plane: from the call to the table."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace

import grpc
import pytest

from common import columns, errors
from common.clock import SystemClock
from common.rpc import channel, from_rpc_error
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.tables import Table
from common.testing import make_keys, serving, wait_until
from events_service.log.sqlite import SqliteEventLog
from events_service.records import content_of
from events_service.server import Timing, assemble
from events_service.trackers.remote import RemoteTrackers
from protos.tailorbird.events.v1 import events_service_pb2 as pb
from protos.tailorbird.events.v1.events_service_pb2_grpc import EventsServiceStub
from protos.tailorbird.internal.v1 import event_log_pb2, trackers_pb2_grpc
from protos.tailorbird.internal.v1.event_log_pb2_grpc import SealingServiceStub
from tests.control_plane.world import ACCOUNT, avro, column, make_world
from tests.events_service.servicers.calling import moment

GENRES = column("GENRES", ["null", "string"], categorical=True)
IDS = {"Items": "ITEM_ID", "Users": "USER_ID", "Actions": "ACTION_ID"}
TAKEN = avro(
    "ActionInteractions",
    column("USER_ID"),
    column("ACTION_ID"),
    column("EVENT_TYPE"),
    column("TIMESTAMP", "long"),
)


class HeldWatch(trackers_pb2_grpc.TrackerServiceServicer):
    """The control plane's service for events services, which can be kept from telling those who wait of what is new.

    Attributes:
        is_held: Whether it does.
        services: Of the control plane, with this one among them.
    """

    def __init__(self, services) -> None:
        self.is_held = False
        made = {service.descriptor.name: service for service in services}
        self._servicer = made["TrackerService"].servicer
        made["TrackerService"] = replace(made["TrackerService"], servicer=self)
        self.services = list(made.values())

    async def WatchEventTrackers(self, request, context):
        response = await self._servicer.WatchEventTrackers(request, context)
        while self.is_held and request.wait_seconds:
            await asyncio.sleep(0.01)
        return response

    def FindTables(self, request, context):
        return self._servicer.FindTables(request, context)


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """A control plane and an events service, each on a server of its own."""
    folder = tmp_path_factory.mktemp("records")
    world, keys = make_world(folder), make_keys()
    store = open_store(StoreSettings(store_url=str(folder / "store")))
    trackers = HeldWatch(world.plane.services)
    with serving(trackers.services, keys=keys) as plane:
        log = SqliteEventLog(folder / "log", clock=SystemClock())
        followed = channel(plane.target, token=keys.token("events"))
        made = assemble(log, store, RemoteTrackers(followed, service_id="events"), timing=Timing())
        made.trackers.start()
        with (
            serving(made.services, keys=keys, account=ACCOUNT) as events,
            events.channel("client") as sender,
            events.channel("trainer") as trainer,
        ):
            yield SimpleNamespace(
                world=world,
                trackers=trackers,
                log=log,
                store=store,
                events=EventsServiceStub(sender),
                sink=SealingServiceStub(trainer),
                foreign=lambda: channel(events.target, token=keys.token("client", account="999999999999")),
            )
        made.trackers.stop()
        followed.close()
        log.close()
    world.metadata_store.close()


@pytest.fixture(scope="module")
def datasets(system):
    """The datasets of a group, by type."""
    world, group = system.world, system.world.group()
    made = {kind: world.dataset(group, kind, avro(kind, column(key), GENRES)) for kind, key in IDS.items()}
    made["Interactions"] = world.dataset(group)
    made["Action_Interactions"] = world.dataset(group, "Action_Interactions", TAKEN)
    return {kind: world.resources.datasets.describe(arn) for kind, arn in made.items()}


def genres(value: str) -> str:
    return json.dumps({"genres": value})


def refused(call, request) -> errors.TailorbirdError:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=60)
    return from_rpc_error(caught.value)


def calls(datasets):
    """Return a call of each operation that is accepted, by the type of its dataset."""
    return {
        "Items": (
            "PutItems",
            pb.PutItemsRequest(
                dataset_arn=datasets["Items"].arn, items=[pb.Item(item_id="a", properties=genres("War"))]
            ),
        ),
        "Users": (
            "PutUsers",
            pb.PutUsersRequest(
                dataset_arn=datasets["Users"].arn, users=[pb.User(user_id="a", properties=genres("War"))]
            ),
        ),
        "Actions": (
            "PutActions",
            pb.PutActionsRequest(
                dataset_arn=datasets["Actions"].arn, actions=[pb.Action(action_id="a", properties=genres("War"))]
            ),
        ),
        "Action_Interactions": (
            "PutActionInteractions",
            pb.PutActionInteractionsRequest(
                tracking_id=datasets["Action_Interactions"].tracking_id,
                action_interactions=[
                    pb.ActionInteraction(action_id="a", session_id="s", event_type="Taken", timestamp=moment())
                ],
            ),
        ),
    }


@pytest.mark.parametrize("kind", ["Items", "Users", "Actions", "Action_Interactions"])
def test_what_was_acknowledged_is_in_the_log_and_after_a_flush_in_the_table(system, datasets, kind):
    start = system.log.bounds().end
    operation, request = calls(datasets)[kind]

    getattr(system.events, operation)(request, timeout=60)

    (record,) = system.log.read(start, max_records=10).records
    assert record.kind.name == datasets[kind].dataset_type.removesuffix("S")
    assert record.dataset_group_arn == datasets[kind].dataset_group_arn
    location = datasets[kind].location
    flushed = system.sink.FlushTable(event_log_pb2.FlushTableRequest(location=location), timeout=60)
    assert flushed.offset == start
    assert Table(system.store, location).read()[columns.LOG_OFFSET].to_list().count(start) == 1


@pytest.mark.parametrize("kind", ["Items", "Users", "Actions", "Action_Interactions"])
def test_dataset_of_another_type_is_refused(system, datasets, kind):
    operation, request = calls(datasets)[kind]
    if kind == "Action_Interactions":
        group = datasets["Items"].dataset_group_arn
        request.tracking_id = system.world.resources.trackers.create("c", dataset_group_arn=group).tracking_id
        field = "trackingId"
    else:
        request.dataset_arn = datasets["Users" if kind == "Items" else "Items"].arn
        field = "datasetArn"
    end = system.log.bounds().end

    error = refused(getattr(system.events, operation), request)

    assert type(error) is errors.InvalidInput
    assert [item.field for item in error.violations] == [field]
    assert system.log.bounds().end == end


def test_interactions_are_not_put_by_arn(system, datasets):
    request = pb.PutItemsRequest(dataset_arn=datasets["Interactions"].arn, items=[pb.Item(item_id="a")])

    error = refused(system.events.PutItems, request)

    assert type(error) is errors.ResourceNotFound
    assert "`datasetArn`" in error.message


@pytest.mark.parametrize(("arn", "kind"), [("arn:none", errors.ResourceNotFound), ("", errors.InvalidInput)])
def test_dataset_that_does_not_exist(system, arn, kind):
    error = refused(system.events.PutItems, pb.PutItemsRequest(dataset_arn=arn, items=[pb.Item(item_id="a")]))

    assert type(error) is kind
    assert "`datasetArn`" in error.message


def test_dataset_of_another_account_is_like_none(system, datasets):
    operation, request = calls(datasets)["Items"]
    with system.foreign() as opened:
        error = refused(getattr(EventsServiceStub(opened), operation), request)

    assert type(error) is errors.ResourceNotFound


def test_call_with_one_bad_item_adds_nothing(system, datasets):
    end = system.log.bounds().end
    items = [pb.Item(item_id="a"), pb.Item(item_id="b", properties='{"colour": 1}')]

    error = refused(system.events.PutItems, pb.PutItemsRequest(dataset_arn=datasets["Items"].arn, items=items))

    assert "`items[1].properties`" in error.message
    assert system.log.bounds().end == end


def test_item_is_checked_against_the_schema_that_the_dataset_has_now(system, datasets):
    world, dataset = system.world, datasets["Items"]
    later = avro("Items", column("ITEM_ID"), GENRES, column("COUNTRY", ["null", "string"]))
    request = pb.PutItemsRequest(
        dataset_arn=dataset.arn, items=[pb.Item(item_id="later", properties='{"country": "ch"}')]
    )
    assert "want a column" in refused(system.events.PutItems, request).message
    schema = world.resources.schemas.create("with-country", later).arn

    # What comes back from UpdateDataset holds, however late the events service is told.
    system.trackers.is_held = True
    world.resources.datasets.update(dataset.arn, schema_arn=schema)
    try:
        system.events.PutItems(request, timeout=60)
    finally:
        system.trackers.is_held = False

    newest = system.log.read(system.log.bounds().end - 1, max_records=1).records[0]
    assert content_of(newest).properties_json == '{"country":"ch"}'


def test_nothing_is_taken_for_a_dataset_that_is_deleted(system):
    world, group = system.world, system.world.group()
    arn = world.dataset(group, "Items", avro("Items", column("ITEM_ID"), GENRES))
    request = pb.PutItemsRequest(dataset_arn=arn, items=[pb.Item(item_id="a")])
    system.events.PutItems(request, timeout=60)

    world.resources.datasets.delete(arn)
    # The removal of the table is leased once the events service takes nothing for it any more.
    lease = wait_until(world.lease, seconds=60)

    assert type(refused(system.events.PutItems, request)) is errors.ResourceNotFound
    world.complete(lease, {"removed_objects": 1})
