"""Several events services that write to the same table at once: each record gets there once."""

from __future__ import annotations

import json
import threading
from contextlib import closing, suppress
from itertools import count

import pytest

from common import columns
from common.errors import Unavailable
from common.tables import Table
from events_service.domain import Entity
from events_service.log import LogTable
from events_service.log.jetstream import JetStreamEventLog
from events_service.log.stream_target import StreamTarget
from events_service.records import log_entry
from tests.events_service.dataset_sink.conftest import EAGER, OfferedSink
from tests.events_service.nats import running_nats
from tests.events_service.samples import GROUP, ITEMS_SCHEMA_TEXT, SINK, entries, known_trackers, table

NUMBERS = count()
ITEMS = LogTable("datasets/films/items", GROUP, ITEMS_SCHEMA_TEXT, "ITEMS")


@pytest.fixture(scope="module")
def server():
    with running_nats() as running:
        yield running


@pytest.fixture
def logs(server, tmp_path, clock):
    target = StreamTarget(server.url, stream=f"sinks{next(NUMBERS)}")
    with (
        closing(JetStreamEventLog(target, tmp_path / "a", clock=clock)) as one,
        closing(JetStreamEventLog(target, tmp_path / "b", clock=clock)) as two,
    ):
        yield one, two


@pytest.fixture
def race(logs, store, seconds):
    """Have a sink of each log flush a table again and again, at once, while records are sent."""

    def run(target, sent):
        """Send calls of records one after the other; return when all are in the table."""
        settings = {"commit_rate": EAGER, "compact_commits": 5, "monotonic": seconds}
        sinks = [OfferedSink(log, store, known_trackers(target), **settings) for log in logs]
        stopping = threading.Event()

        def flush(sink):
            while not stopping.is_set():
                with suppress(Unavailable):  # the others were faster, time after time
                    sink.flush(target.location, seconds=60)

        threads = [threading.Thread(target=flush, args=[sink]) for sink in sinks]
        for thread in threads:
            thread.start()
        for number, call in enumerate(sent):
            logs[number % 2].append(call, seconds=60)
        stopping.set()
        for thread in threads:
            thread.join()
        sinks[0].flush(target.location, seconds=60)
        return Table(store, target.location)

    return run


def test_two_that_write_events_at_once_write_each_once(race, logs):
    films = race(table(), [entries(3 * number, 3 * number + 1, 3 * number + 2) for number in range(40)])

    rows = films.read()
    assert sorted(rows[columns.LOG_OFFSET]) == list(range(1, 121))
    assert films.event_position() == logs[0].lineage().at(120)
    assert logs[0].lag(SINK, table().location) is None


def test_two_that_write_items_at_once_keep_the_newest(race, logs):
    def items(number):
        return [log_entry(ITEMS, Entity(f"i{number % 7}", json.dumps({"creationTimestamp": number, "stock": number})))]

    written = race(ITEMS, [items(number) for number in range(60)])

    rows = written.read().sort("ITEM_ID").select("ITEM_ID", "STOCK")
    newest = {f"i{number % 7}": number for number in range(60)}
    assert rows.rows() == [(key, newest[key]) for key in sorted(newest)]
