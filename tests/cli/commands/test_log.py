"""`tailorbird log move`: the log of an installation moves, and who cannot move it is told why."""

from __future__ import annotations

from contextlib import closing

import pytest

from common.clock import ManualClock
from events_service.log.sqlite import SqliteEventLog
from tests.events_service.nats import running_nats
from tests.events_service.samples import entries


@pytest.fixture(scope="module")
def server():
    with running_nats() as running:
        yield running


def test_log_is_moved_there_and_back(tailorbird, data_dir, server, capfd):
    with closing(SqliteEventLog(data_dir / "events", clock=ManualClock())) as log:
        log.append(entries(*range(1500)), seconds=20)

    assert tailorbird("log", "move", "jetstream", "--data-dir", str(data_dir), "--url", server.url) == 0
    there, progress = capfd.readouterr()
    assert "moved 1,500 records of 1 tables, and compared them" in there
    assert "TAILORBIRD_EVENT_LOG_URL" in there
    assert "comparing" in progress
    assert tailorbird("log", "move", "jetstream", "--data-dir", str(data_dir), "--url", server.url) == 0
    assert "there already" in capfd.readouterr().out

    assert tailorbird("log", "move", "sqlite", "--events-dir", str(data_dir / "events"), "--url", server.url) == 0
    back = capfd.readouterr().out
    assert "moved 1,500 records" in back
    with closing(SqliteEventLog(data_dir / "events", clock=ManualClock())) as log:
        assert log.append(entries(1499, 1500), seconds=20) == (1500, 1501)


def test_move_of_a_log_that_is_held_and_one_to_nowhere_fail(tailorbird, data_dir, server, capfd):
    with closing(SqliteEventLog(data_dir / "events", clock=ManualClock())):
        assert tailorbird("log", "move", "jetstream", "--data-dir", str(data_dir), "--url", server.url) == 1
        assert "whose event log process" in capfd.readouterr().err
    assert tailorbird("log", "move", "jetstream", "--data-dir", str(data_dir)) == 1
    assert "`event_log_url`: got none" in capfd.readouterr().err
