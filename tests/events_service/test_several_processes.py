"""Several events services as processes, with one log in JetStream: any may be killed, whichever consumes."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, closing

import grpc

from common import columns
from common.rpc import channel
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.tables import Table
from common.testing import serving, wait_until
from protos.tailorbird.events.v1.events_service_pb2_grpc import EventsServiceStub
from tests.events_service.nats import running_nats
from tests.events_service.servicers.calling import an_event, moment, put
from tests.events_service.test_process import SERVING, environment, health, keys, world

__all__ = ["environment", "keys", "world"]

ROUNDS = 2


class Service:
    """One of the processes, with a folder and a port of its own."""

    def __init__(self, settings, folder) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{probe.getsockname()[1]}"
        self.settings = {**settings, "TAILORBIRD_LISTEN": self.address, "TAILORBIRD_DATA_DIR": str(folder)}
        self.log = folder.with_suffix(".log")

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "events_service"], env=self.settings, stderr=log)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def is_ready(self):
        return health(self.address) == SERVING

    def takings(self):
        """Return how often it began to consume."""
        lines = self.log.read_text().splitlines()
        return sum(json.loads(line)["event"] == "consumption_taken" for line in lines if line.startswith("{"))


def send_for_ever(services, token, tracking_id, name, acknowledged, stop) -> None:
    """Send events to any of the services, each until one has acknowledged it."""
    with ExitStack() as stack:
        channels = [stack.enter_context(closing(channel(service.address, token=token))) for service in services]
        stubs = [EventsServiceStub(opened) for opened in channels]
        number = 0
        while not stop.is_set():
            number += 1
            sent = an_event(event_id=f"{name}-{number}", sent_at=moment())
            request = put(sent, tracking_id=tracking_id, session_id=name)
            for attempt in range(1000):
                try:
                    stubs[(number + attempt) % len(stubs)].PutEvents(request, timeout=20)
                except grpc.RpcError:
                    continue
                acknowledged.append(sent.event_id)
                break


def test_whichever_is_killed_nothing_is_lost_or_doubled_and_another_one_consumes(tmp_path, environment, world, keys):
    dice = random.Random(11)
    group = world.group()
    location = world.resources.datasets.describe(world.dataset(group)).location
    tracking_id = world.resources.trackers.create("clicks", dataset_group_arn=group).tracking_id
    table = Table(open_store(StoreSettings(store_url=environment["TAILORBIRD_STORE_URL"])), location)
    acknowledged: list[str] = []
    stop = threading.Event()
    with running_nats() as server, serving(world.plane.services, keys=keys) as plane:
        environment |= {
            "TAILORBIRD_CONTROL_PLANE": plane.target,
            "TAILORBIRD_EVENT_LOG_URL": server.url,
            "TAILORBIRD_EVENT_LOG_LEASE_SECONDS": "1",
            "TAILORBIRD_SEAL_SECONDS": "0.01",
            "TAILORBIRD_SEAL_BURST_COMMITS": "10000",
            "TAILORBIRD_AUDIT_PUTS": "false",
        }
        services = [Service(environment, tmp_path / name) for name in "ab"]
        threads = [
            threading.Thread(
                target=send_for_ever, args=[services, keys.token("client"), tracking_id, f"{n}", acknowledged, stop]
            )
            for n in range(4)
        ]
        try:
            for service in services:
                service.start()
            wait_until(lambda: all(service.is_ready() for service in services), seconds=60, every=0.1)
            wait_until(lambda: any(service.takings() for service in services))
            for thread in threads:
                thread.start()
            holder = next(service for service in services if service.takings())
            for _ in range(ROUNDS):
                (another,) = [service for service in services if service is not holder]
                least, taken = len(acknowledged) + dice.randint(30, 200), another.takings()
                wait_until(lambda least=least: len(acknowledged) >= least, every=0.002, seconds=60)
                holder.kill()
                # The other one takes records meanwhile, and then consumes as well.
                wait_until(lambda before=taken, one=another: one.takings() > before, seconds=60, every=0.05)
                version = table.version() if table.exists() else -1
                wait_until(lambda version=version: table.exists() and table.version() > version, seconds=60, every=0.05)
                holder.start()
                wait_until(holder.is_ready, seconds=60, every=0.1)
                holder = another
            stop.set()
            for thread in threads:
                thread.join()
            wait_until(lambda: set(acknowledged) <= set(table.read()[columns.EVENT_ID]), every=0.2, seconds=60)
        finally:
            stop.set()
            for service in services:
                service.kill()

    rows = table.read()
    ids = rows[columns.EVENT_ID].to_list()
    assert len(ids) == len(set(ids))
    assert set(acknowledged) <= set(ids)
    assert sorted(rows[columns.LOG_OFFSET]) == list(range(1, len(ids) + 1))
