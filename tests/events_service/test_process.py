"""The events service as a process: starts from its environment, is ready when its log is, stops cleanly, and writes
what it acknowledged to the table once even if it is killed again and again."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common import columns
from common.rpc import channel
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.tables import Table
from common.testing import make_keys, serving, wait_until
from protos.tailorbird.events.v1.events_service_pb2_grpc import EventsServiceStub
from protos.tailorbird.internal.v1 import event_log_pb2
from protos.tailorbird.internal.v1.event_log_pb2_grpc import EventLogServiceStub
from tests.control_plane.world import ACCOUNT, make_world
from tests.events_service.servicers.calling import an_event, moment, put

SERVING = health_pb2.HealthCheckResponse.SERVING
ROUNDS = 4


@pytest.fixture(scope="module")
def keys():
    return make_keys()


@pytest.fixture
def environment(tmp_path, keys):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "public.pem").write_bytes(keys.public_pem)
    (tmp_path / "token").write_text(keys.token("events"))
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("TAILORBIRD_")},
        "TAILORBIRD_PUBLIC_KEY_FILE": str(tmp_path / "public.pem"),
        "TAILORBIRD_TOKEN_FILE": str(tmp_path / "token"),
        "TAILORBIRD_ACCOUNT_ID": ACCOUNT,
        "TAILORBIRD_STORE_URL": str(tmp_path / "store"),
        "TAILORBIRD_DATA_DIR": str(tmp_path / "events"),
        "TAILORBIRD_CONTROL_PLANE": "127.0.0.1:1",
        "TAILORBIRD_LISTEN": f"127.0.0.1:{port}",
    }


@pytest.fixture
def world(tmp_path):
    made = make_world(tmp_path)
    yield made
    made.metadata_store.close()


def run(environment):
    return subprocess.Popen(
        [sys.executable, "-m", "events_service"], env=environment, stderr=subprocess.PIPE, text=True
    )


def health(target) -> int | None:
    with grpc.insecure_channel(target) as opened:
        try:
            return health_pb2_grpc.HealthStub(opened).Check(health_pb2.HealthCheckRequest(), timeout=1).status
        except grpc.RpcError:
            return None


@contextmanager
def ready(environment):
    """Run the process, ready; it is killed if it still runs afterwards."""
    with run(environment) as process:
        try:
            wait_until(lambda: health(environment["TAILORBIRD_LISTEN"]) == SERVING, every=0.05)
            yield process
        finally:
            process.kill()


def test_process_gets_ready_without_the_control_plane_and_stops_at_sigterm(environment):
    with ready(environment) as process:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)

    assert process.returncode == 0
    assert '"event": "stopped"' in log


def test_stop_ends_the_waits_of_readers_at_once(environment, keys):
    # Far longer than the test's patience: readers must not be waited for.
    environment["TAILORBIRD_GRACE_SECONDS"] = "300"
    opened = channel(environment["TAILORBIRD_LISTEN"], token=keys.token("runtime"))
    with ready(environment) as process:
        request = event_log_pb2.ReadRecordsRequest(from_offset=1, wait_seconds=60)
        reading = EventLogServiceStub(opened).ReadRecords.future(request)
        with pytest.raises(grpc.FutureTimeoutError):
            reading.result(timeout=0.5)

        process.send_signal(signal.SIGTERM)
        page = reading.result(timeout=30)
        process.communicate(timeout=30)
    opened.close()

    assert page.next_offset == 1
    assert process.returncode == 0


def test_process_that_cannot_start_says_why_in_one_line(environment):
    with ready(environment), run({**environment, "TAILORBIRD_LISTEN": "127.0.0.1:0"}) as second:
        _, log = second.communicate(timeout=60)

    assert second.returncode == 1
    assert log.startswith("events_service: `data_dir`: got")
    assert log.count("\n") == 1


def test_missing_token_stops_the_process_at_the_start(environment):
    environment["TAILORBIRD_TOKEN_FILE"] += ".missing"

    with run(environment) as process:
        _, log = process.communicate(timeout=60)

    assert process.returncode == 1
    assert "`token_file`" in log


def send_until(stop, stub, tracking_id, name, acknowledged) -> None:
    number = 0
    while not stop.is_set():
        number += 1
        request = put(an_event(event_id=f"{name}-{number}", sent_at=moment()), tracking_id=tracking_id, session_id=name)
        try:
            stub.PutEvents(request, timeout=60)
        except grpc.RpcError:
            return
        acknowledged.append(f"{name}-{number}")


def commits(folder, location) -> int:
    return len(list((folder / "store" / location / "_delta_log").glob("*.json")))


def test_events_are_flushed_once_although_the_process_is_killed_again_and_again(tmp_path, environment, world, keys):
    dice = random.Random(7)
    group = world.group()
    location = world.resources.datasets.describe(world.dataset(group)).location
    tracking_id = world.resources.trackers.create("clicks", dataset_group_arn=group).tracking_id
    environment |= {"TAILORBIRD_SEAL_SECONDS": "0.01", "TAILORBIRD_SEAL_BURST_COMMITS": "10000"}
    environment["TAILORBIRD_AUDIT_PUTS"] = "false"  # nobody reads the process's log here
    table = Table(open_store(StoreSettings(store_url=environment["TAILORBIRD_STORE_URL"])), location)
    acknowledged: list[str] = []
    with serving(world.plane.services, keys=keys) as plane:
        environment["TAILORBIRD_CONTROL_PLANE"] = plane.target
        for number in range(ROUNDS):
            opened = channel(environment["TAILORBIRD_LISTEN"], token=keys.token("client"))
            stub, stop = EventsServiceStub(opened), threading.Event()
            with ready(environment) as process:
                n_acknowledged = len(acknowledged) + dice.randint(50, 400)
                threads = [
                    threading.Thread(target=send_until, args=[stop, stub, tracking_id, f"{number}-{t}", acknowledged])
                    for t in range(4)
                ]
                for thread in threads:
                    thread.start()
                wait_until(lambda least=n_acknowledged: len(acknowledged) >= least, every=0.001, seconds=60)
                # Right after a commit of the table, most likely before the log has stored its offset.
                n_commits = commits(tmp_path, location)
                wait_until(lambda least=n_commits: commits(tmp_path, location) > least, every=0.0002)
                process.kill()
                stop.set()
                for thread in threads:
                    thread.join()
            opened.close()
        with ready(environment) as process:
            wait_until(lambda: set(acknowledged) <= set(table.read()[columns.EVENT_ID]), every=0.2)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)

    ids = table.read()[columns.EVENT_ID].to_list()
    assert len(ids) == len(set(ids))
    assert table.version() >= ROUNDS
    assert table.transaction(columns.EVENTS_APP_ID) == table.read()[columns.LOG_OFFSET].max()
