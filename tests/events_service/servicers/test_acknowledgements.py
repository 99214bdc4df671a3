"""Acknowledgements agree with what the control plane shows: while datasets and trackers are deleted and created again,
and while the control plane hangs or is dead.
"""

from __future__ import annotations

import itertools
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass

import grpc
import pytest

from common.errors import ResourceNotFound
from common.rpc import channel, from_rpc_error
from common.rpc.probe import is_serving
from common.testing import make_keys, serving, wait_until
from events_service.log.sqlite import DATABASE
from protos.tailorbird.control.v1 import dataset_group_pb2, dataset_pb2, event_tracker_pb2, schema_pb2
from protos.tailorbird.control.v1.control_plane_service_pb2_grpc import ControlPlaneServiceStub
from protos.tailorbird.events.v1.events_service_pb2_grpc import EventsServiceStub
from tests.control_plane.world import ACCOUNT, EVERYTHING, INTERACTIONS, make_world
from tests.events_service.servicers.calling import an_event, put

CLIENTS = 8
#: Calls of clients between two steps of a test.
CALLS = 40


@dataclass(frozen=True)
class Call:
    """One call of PutEvents: with which event, when it began and ended, and what came of it."""

    event_id: str
    began: float
    ended: float
    error: Exception | None


class Clients:
    """Send one event after another; every event has an id of its own."""

    def __init__(self, target: str, token: str, tracking_id: str) -> None:
        self._channel = channel(target, token=token)
        self._stub = EventsServiceStub(self._channel)
        self._numbers = itertools.count()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._send) for _ in range(CLIENTS)]
        self.tracking_id = tracking_id
        self.calls: list[Call] = []

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._channel.close()

    def keep_calling(self) -> float:
        """Return when some more calls have begun and ended; what the moment was before."""
        moment = time.monotonic()
        wait_until(lambda: sum(call.began > moment for call in list(self.calls)) >= CALLS, seconds=120)
        return moment

    def _send(self) -> None:
        while not self._over.is_set():
            event_id, began, error = f"e{next(self._numbers)}", time.monotonic(), None
            try:
                request = put(an_event(event_id=event_id), tracking_id=self.tracking_id)
                self._stub.PutEvents(request, timeout=60)
            except grpc.RpcError as status:
                error = from_rpc_error(status)
            self.calls.append(Call(event_id, began, time.monotonic(), error))


@pytest.fixture(scope="module")
def keys():
    return make_keys()


@pytest.fixture
def environment(tmp_path, keys):
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        targets = [f"127.0.0.1:{probe.getsockname()[1]}" for probe in (one, other)]
    (tmp_path / "public.pem").write_bytes(keys.public_pem)
    (tmp_path / "token").write_text(keys.token("events"))
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("TAILORBIRD_")},
        "TAILORBIRD_PUBLIC_KEY_FILE": str(tmp_path / "public.pem"),
        "TAILORBIRD_TOKEN_FILE": str(tmp_path / "token"),
        "TAILORBIRD_ACCOUNT_ID": ACCOUNT,
        "TAILORBIRD_STORE_URL": str(tmp_path / "store"),
        "TAILORBIRD_DATA_DIR": str(tmp_path / "events"),
        "TAILORBIRD_DATABASE_URL": f"sqlite:///{tmp_path / 'catalogue-of-its-own.db'}",
        "TAILORBIRD_CONTROL_PLANE": targets[0],
        "TAILORBIRD_LISTEN": targets[1],
        # The log keeps everything until the test has looked at it.
        "TAILORBIRD_SEAL_SECONDS": "3600",
    }


@contextmanager
def running(module, environment, **overrides):
    environment = {**environment, **overrides}
    with subprocess.Popen([sys.executable, "-m", module], env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: is_serving(environment["TAILORBIRD_LISTEN"]), seconds=60)
            yield process
        finally:
            process.kill()


@pytest.fixture
def world(tmp_path):
    made = make_world(tmp_path)
    yield made
    made.metadata_store.close()


@contextmanager
def sending(world, keys, environment, tracking_id):
    """Run an events service beside the control plane of `world`, with clients that send."""
    with serving(world.plane.services, keys=keys) as plane:
        environment["TAILORBIRD_CONTROL_PLANE"] = plane.target
        with (
            running("events_service", environment),
            Clients(environment["TAILORBIRD_LISTEN"], keys.token("client"), tracking_id) as clients,
        ):
            yield clients


def logged(folder) -> dict[str, list[str]]:
    """Return the ids of the events in the log by table."""
    ids: dict[str, list[str]] = {}
    with closing(sqlite3.connect(folder / "events" / DATABASE)) as connection:
        rows = connection.execute("SELECT t.location, r.record_id FROM records r JOIN tables t ON t.id = r.table_id")
        for location, event_id in rows:
            ids.setdefault(location, []).append(event_id)
    return ids


def wait_gone(describe, arn) -> float:
    def is_gone() -> bool:
        try:
            describe(arn)
        except ResourceNotFound:
            return True
        return False

    wait_until(is_gone, every=0.001, seconds=60)
    return time.monotonic()


def test_events_are_where_describe_says_while_their_dataset_is_deleted_and_made_again(
    tmp_path, world, keys, environment
):
    group = world.group()
    tracking_id = world.resources.trackers.create("clicks", dataset_group_arn=group).tracking_id
    datasets = world.resources.datasets
    active: list[tuple[str, float, float]] = []  # location, ACTIVE from, until
    missing: list[tuple[float, float]] = []  # not found from, until
    with sending(world, keys, environment, tracking_id) as clients:
        gone = clients.keep_calling()
        for _ in range(4):
            missing.append((gone, time.monotonic()))
            dataset = world.dataset(group)
            made, location = time.monotonic(), datasets.describe(dataset).location
            clients.keep_calling()
            active.append((location, made, time.monotonic()))
            datasets.delete(dataset)
            lease = wait_until(world.lease, every=0.001, seconds=60)
            world.complete(lease, {"removed_objects": 1})
            gone = wait_gone(datasets.describe, dataset)
            clients.keep_calling()
        missing.append((gone, time.monotonic()))
    calls, tables = clients.calls, logged(tmp_path)

    # Whatever was acknowledged is in the log once, and nothing else is.
    acknowledged = sorted(call.event_id for call in calls if call.error is None)
    assert sorted(itertools.chain(*tables.values())) == acknowledged
    assert {type(call.error) for call in calls} <= {type(None), ResourceNotFound}
    for location, made, deleted in active:
        during = [call for call in calls if made <= call.began and call.ended <= deleted]
        assert during
        assert [call for call in during if call.error is not None] == []
        assert {call.event_id for call in during} <= set(tables[location])
    for gone, remade in missing:
        during = [call for call in calls if gone <= call.began and call.ended <= remade]
        assert during
        assert [call for call in during if call.error is None] == []


def test_no_event_is_acknowledged_by_a_tracker_that_is_gone(tmp_path, world, keys, environment):
    group = world.group()
    world.dataset(group)
    tracker = world.resources.trackers.create("clicks", dataset_group_arn=group)
    with sending(world, keys, environment, tracker.tracking_id) as clients:
        clients.keep_calling()
        world.resources.trackers.delete(tracker.arn)
        gone = wait_gone(world.resources.trackers.describe, tracker.arn)
        clients.keep_calling()

    acknowledged = [call for call in clients.calls if call.error is None]
    assert acknowledged
    assert [call for call in acknowledged if call.began >= gone] == []
    assert sorted(itertools.chain(*logged(tmp_path).values())) == sorted(call.event_id for call in acknowledged)
    assert world.resources.trackers.list(EVERYTHING, dataset_group_arn=group).items == []


def make_tracker(control_plane) -> str:
    group = control_plane.CreateDatasetGroup(dataset_group_pb2.CreateDatasetGroupRequest(name="g")).dataset_group_arn
    schema = control_plane.CreateSchema(schema_pb2.CreateSchemaRequest(name="s", schema=INTERACTIONS)).schema_arn
    control_plane.CreateDataset(
        dataset_pb2.CreateDatasetRequest(
            name="d", schema_arn=schema, dataset_group_arn=group, dataset_type="Interactions"
        )
    )
    return control_plane.CreateEventTracker(
        event_tracker_pb2.CreateEventTrackerRequest(name="t", dataset_group_arn=group)
    ).tracking_id


def test_every_event_is_taken_while_the_control_plane_hangs_or_is_dead_and_after_a_restart(keys, environment):
    target = environment["TAILORBIRD_CONTROL_PLANE"]
    # What is known is relied on for half of the liveness limit; beyond that it is used because nobody can be asked.
    liveness = 20
    plane = {"TAILORBIRD_LISTEN": target, "TAILORBIRD_EVENTS_LIVENESS_SECONDS": str(liveness)}
    with (
        running("control_plane", environment, **plane) as control_plane,
        running("events_service", environment) as events_service,
    ):
        with channel(target, token=keys.token("client")) as opened:
            tracking_id = make_tracker(ControlPlaneServiceStub(opened))
        with Clients(environment["TAILORBIRD_LISTEN"], keys.token("client"), tracking_id) as clients:
            clients.keep_calling()
            away = clients.keep_calling()
            control_plane.send_signal(signal.SIGSTOP)
            wait_until(lambda: clients.calls[-1].began > away + 0.6 * liveness, seconds=120)
            clients.keep_calling()
            control_plane.kill()
            clients.keep_calling()

        assert [call for call in clients.calls if call.error is not None] == []
        events_service.kill()
        events_service.wait()
        with (
            running("events_service", environment),
            Clients(environment["TAILORBIRD_LISTEN"], keys.token("client"), tracking_id) as clients,
        ):
            clients.keep_calling()

    assert [call for call in clients.calls if call.error is not None] == []


def test_event_that_a_deleted_dataset_had_is_kept_again_for_its_successor(tmp_path, world, keys, environment):
    group = world.group()
    tracking_id = world.resources.trackers.create("clicks", dataset_group_arn=group).tracking_id
    locations = []
    with serving(world.plane.services, keys=keys) as plane:
        environment["TAILORBIRD_CONTROL_PLANE"] = plane.target
        with (
            running("events_service", environment),
            channel(environment["TAILORBIRD_LISTEN"], token=keys.token("client")) as opened,
        ):
            for _ in range(2):
                dataset = world.dataset(group)
                locations.append(world.resources.datasets.describe(dataset).location)
                EventsServiceStub(opened).PutEvents(
                    put(an_event(event_id="repeated"), tracking_id=tracking_id), timeout=60
                )
                world.resources.datasets.delete(dataset)
                lease = wait_until(world.lease, every=0.001, seconds=60)
                world.complete(lease, {"removed_objects": 1})

    assert logged(tmp_path) == {location: ["repeated"] for location in locations}
