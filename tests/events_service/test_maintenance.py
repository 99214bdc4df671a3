"""The background thread: it removes old records, and survives failures."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from common.testing import wait_until
from events_service.consumers.rounds import ConsumerRounds
from events_service.dataset_sink import DatasetSink
from events_service.domain.rate_limit import CommitRateLimit
from events_service.log import Bounds
from events_service.log.sqlite import DATABASE
from events_service.maintenance import Maintenance
from tests.events_service.samples import SINK, entries, known_trackers


@pytest.fixture
def sink(log, store):
    return DatasetSink(log, store, known_trackers(), commit_rate=CommitRateLimit(100, 1, 1), compact_commits=1000)


@pytest.fixture
def rounds(log, sink):
    return ConsumerRounds(log, sink)


@pytest.fixture
def maintenance(log, sink, clock):
    return Maintenance(
        log,
        sink,
        every_seconds=0.01,
        retention=timedelta(days=1),
        monotonic=lambda: clock.now().timestamp(),
    )


def test_sweep_removes_old_records_that_are_consumed(log, rounds, maintenance, clock):
    log.append(entries(1), seconds=20)
    rounds.run()
    maintenance.sweep()
    clock.advance(seconds=86_400)
    log.append(entries(2), seconds=20)
    clock.advance(seconds=1)

    maintenance.sweep()

    assert log.bounds() == Bounds(2, 3)


def test_consumed_records_stay_for_their_retention(log, rounds, maintenance, clock):
    log.append(entries(1), seconds=20)
    rounds.run()
    clock.advance(seconds=86_399)

    maintenance.sweep()

    assert log.lags(SINK) == []
    assert log.bounds() == Bounds(1, 2)


def test_records_that_are_not_consumed_stay_whatever_their_age(log, maintenance, clock):
    log.append(entries(1), seconds=20)
    clock.advance(seconds=86_400 * 365)

    maintenance.sweep()

    assert log.bounds() == Bounds(1, 2)


def test_thread_survives_sweeps_that_fail_and_logs_the_first(tmp_path, log, rounds, maintenance, clock):
    log.append(entries(1), seconds=20)
    rounds.run()
    clock.advance(seconds=86_400 * 2)
    with closing(sqlite3.connect(tmp_path / "log" / DATABASE)) as other, capture_logs() as logs:
        other.execute("ALTER TABLE cursors RENAME TO elsewhere")
        maintenance.start()
        wait_until(lambda: logs)
        other.execute("ALTER TABLE elsewhere RENAME TO cursors")
        clock.advance(seconds=3600)
        wait_until(lambda: log.bounds() == Bounds(2, 2))
        maintenance.stop()

    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["sweep_failed"]
