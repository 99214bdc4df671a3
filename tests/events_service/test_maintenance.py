"""The background thread: it flushes soon, removes old events, and survives failures."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from common.tables import Table
from common.testing import wait_until
from events_service.dataset_sink import DatasetSink
from events_service.domain.rate_limit import CommitRateLimit
from events_service.log import Bounds
from events_service.log.sqlite import DATABASE
from events_service.maintenance import Maintenance
from tests.events_service.samples import entries, known_trackers, table


@pytest.fixture
def sink(log, store):
    return DatasetSink(log, store, known_trackers(), commit_rate=CommitRateLimit(100, 1, 1), compact_commits=1000)


@pytest.fixture
def maintenance(log, sink, clock):
    return Maintenance(
        log,
        sink,
        every_seconds=0.01,
        retention=timedelta(days=1),
        monotonic=lambda: clock.now().timestamp(),
    )


def test_sweep_flushes_and_removes_old_events(log, maintenance, clock):
    log.append(entries(1), seconds=20)
    maintenance.sweep()
    clock.advance(seconds=86_400)
    log.append(entries(2), seconds=20)
    clock.advance(seconds=1)

    maintenance.sweep()

    assert log.bounds() == Bounds(2, 3)


def test_committed_events_stay_for_their_retention(log, maintenance, clock):
    log.append(entries(1), seconds=20)
    clock.advance(seconds=86_399)

    maintenance.sweep()

    assert log.table_lags() == []
    assert log.bounds() == Bounds(1, 2)


def test_thread_flushes_by_itself_until_it_is_stopped(log, store, maintenance):
    maintenance.start()
    log.append(entries(1), seconds=20)

    wait_until(lambda: not log.table_lags())
    maintenance.stop()
    log.append(entries(2), seconds=20)

    assert Table(store, table().location).read().height == 1


def test_thread_survives_sweeps_that_fail_and_logs_the_first(tmp_path, log, maintenance):
    log.append(entries(1), seconds=20)
    with closing(sqlite3.connect(tmp_path / "log" / DATABASE)) as other, capture_logs() as logs:
        other.execute("ALTER TABLE tables RENAME TO elsewhere")
        maintenance.start()
        wait_until(lambda: logs)
        other.execute("ALTER TABLE elsewhere RENAME TO tables")
        wait_until(lambda: not log.table_lags())
        maintenance.stop()

    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["sweep_failed"]
