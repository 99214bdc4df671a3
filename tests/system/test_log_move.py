"""A move of the event log between two runs of the events service: who reads it, and who sends, goes on."""

from __future__ import annotations

import signal

from cli.app import Env, app, run
from common import columns
from common.rpc import aio_channel, channel
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.tables import Table
from common.testing import loop_in_thread, serving, wait_until
from protos.tailorbird.events.v1.events_service_pb2_grpc import EventsServiceStub
from runtime_service.history.freshness import Freshness
from runtime_service.history.held import HeldPositions
from runtime_service.server import follow_log
from tests.events_service.nats import running_nats
from tests.events_service.servicers.calling import an_event, moment, put
from tests.events_service.test_process import environment, keys, ready, world
from tests.runtime_service.history.test_tail import RecordingWriter

__all__ = ["environment", "keys", "world"]


def test_runtimes_and_tables_go_on_where_they_were(tmp_path, environment, world, keys):
    group = world.group()
    location = world.resources.datasets.describe(world.dataset(group)).location
    tracking_id = world.resources.trackers.create("clicks", dataset_group_arn=group).tracking_id
    store = open_store(StoreSettings(store_url=environment["TAILORBIRD_STORE_URL"]))
    environment["TAILORBIRD_SEAL_SECONDS"] = "0.05"
    (tmp_path / "history").mkdir()
    table, history = Table(store, location), RecordingWriter(tmp_path / "history")
    held = HeldPositions(tmp_path / "history", names=["worker-0"])
    freshness = Freshness(tmp_path / "history" / "current", limit_seconds=5.0)
    target = environment["TAILORBIRD_LISTEN"]

    def connect():
        return aio_channel(target, token=keys.token("runtime"))

    def send_and_stop(settings, *numbers, rows=0):
        """Send events to a service that is stopped when they are in the history, and so many in the table."""
        with ready(settings) as process:
            opened = channel(target, token=keys.token("client"))
            for number in numbers:
                sent = an_event(event_id=f"e{number}", sent_at=moment())
                EventsServiceStub(opened).PutEvents(put(sent, tracking_id=tracking_id), timeout=60)
            opened.close()
            wait_until(lambda: history.appended and history.appended[-1].event_id == f"e{max(numbers)}", seconds=60)
            wait_until(lambda: not rows or table.read().height >= rows, seconds=60)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)

    def move(place):
        arguments = ["log", "move", place, "--events-dir", environment["TAILORBIRD_DATA_DIR"]]
        assert run(app, Env(environ={}), [*arguments, "--url", server.url]) == 0

    with (
        running_nats() as server,
        serving(world.plane.services, keys=keys) as plane,
        loop_in_thread() as loop,
        loop.running(follow_log(connect, history, store, held=held, freshness=freshness, wait_seconds=1.0)),
    ):
        environment["TAILORBIRD_CONTROL_PLANE"] = plane.target
        in_stream = {**environment, "TAILORBIRD_EVENT_LOG_URL": server.url}
        send_and_stop(environment, *range(20))
        move("jetstream")
        # Those that were sent before are known.
        send_and_stop(in_stream, *range(15, 40))
        move("sqlite")
        send_and_stop(environment, *range(35, 60), rows=60)

        assert [event.event_id for event in history.appended] == [f"e{number}" for number in range(60)]
        assert history.cleared == 0
    rows = table.read().sort(columns.LOG_OFFSET)
    assert rows[columns.EVENT_ID].to_list() == [f"e{number}" for number in range(60)]
    assert rows[columns.LOG_OFFSET].to_list() == list(range(1, 61))
