"""Logs that were lost, begun anew or restored from a backup: the table loses no event and doubles none."""

from __future__ import annotations

import shutil

import pytest
from structlog.testing import capture_logs

from common import columns
from common.positions import Position
from events_service.dataset_sink import events_frame
from events_service.log.sqlite import SqliteEventLog
from tests.events_service.dataset_sink.rows import bulk_rows, ids_in_table
from tests.events_service.samples import (
    SCHEMA,
    entries,
)


@pytest.fixture
def open_log(tmp_path, clock):
    """Open logs in folders, by name."""
    opened = []

    def open_in(name):
        opened.append(SqliteEventLog(tmp_path / name, clock=clock))
        return opened[-1]

    yield open_in
    for item in opened:
        item.close()


def test_lost_log_begins_again_and_keeps_the_rows_of_the_table(open_log, log, make_sink, films):
    log.append(entries(1, 2, 3), seconds=20)
    make_sink().rounds.run()
    fresh = open_log("fresh")
    fresh.append(entries(7), seconds=20)

    make_sink(log=fresh).rounds.run()

    assert sorted(films.read()[columns.EVENT_ID]) == ["e1", "e2", "e3", "e7"]
    assert films.event_position() == fresh.lineage().at(1)


def test_lost_log_that_has_outgrown_the_old_one_loses_no_event(open_log, log, make_sink, films):
    log.append(entries(1, 2, 3), seconds=20)
    make_sink().rounds.run()
    fresh = open_log("fresh")
    fresh.append(entries(*range(10, 20)), seconds=20)

    make_sink(log=fresh).rounds.run()

    assert sorted(films.read()[columns.EVENT_ID]) == sorted(f"e{n}" for n in (1, 2, 3, *range(10, 20)))


def test_restored_log_loses_no_event_and_doubles_none(tmp_path, open_log, make_sink, films):
    first = open_log("first")
    first.append(entries(1, 2), seconds=20)
    make_sink(log=first).rounds.run()
    first.close()
    shutil.copytree(tmp_path / "first", tmp_path / "backup")
    first = open_log("first")
    first.append(entries(3, 4), seconds=20)
    make_sink(log=first).rounds.run()
    restored = open_log("backup")
    # More than the lost log ever had; one of them is sent again after a lost response.
    restored.append(entries(4, 5, 6, 7, 8), seconds=20)

    with capture_logs() as logs:
        make_sink(log=restored).rounds.run()

    assert sorted(films.read()[columns.EVENT_ID]) == [f"e{n}" for n in range(1, 9)]
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["event_log_replaced"]


def test_log_restored_from_a_snapshot_of_a_running_one_loses_no_event(tmp_path, open_log, make_sink, films):
    first = open_log("first")
    first.append(entries(1, 2), seconds=20)
    # The backup has no committed offset yet, and its last epoch has no end there: the same opening continued.
    shutil.copytree(tmp_path / "first", tmp_path / "backup")
    first.append(entries(3, 4), seconds=20)
    make_sink(log=first).rounds.run()
    restored = open_log("backup")
    sink = make_sink(log=restored)
    sink.rounds.run()
    restored.append(entries(5, 6, 7), seconds=20)

    sink.rounds.run()

    assert sorted(films.read()[columns.EVENT_ID]) == [f"e{n}" for n in range(1, 8)]
    assert films.event_position() == restored.lineage().at(5)


def test_backup_that_is_restored_after_a_log_was_begun_anew_doubles_nothing(tmp_path, open_log, make_sink, films):
    first = open_log("first")
    first.append(entries(1, 2, 3), seconds=20)
    shutil.copytree(tmp_path / "first", tmp_path / "backup")
    make_sink(log=first).rounds.run()
    films.append(bulk_rows("imported"))
    fresh = open_log("fresh")
    fresh.append(entries(9), seconds=20)
    make_sink(log=fresh).rounds.run()
    restored = open_log("backup")
    restored.append(entries(4, 9), seconds=20)

    make_sink(log=restored).rounds.run()

    assert sorted(films.read()[columns.EVENT_ID].drop_nulls()) == ["e1", "e2", "e3", "e4", "e9"]


def test_event_that_is_sent_again_long_after_the_log_was_restored_is_not_doubled(open_log, log, make_sink, films):
    log.append(entries(1, 2, 3), seconds=20)
    make_sink().rounds.run()
    fresh = open_log("fresh")
    fresh.append(entries(7), seconds=20)
    sink = make_sink(log=fresh)
    sink.rounds.run()

    fresh.append(entries(2, 8), seconds=20)
    sink.rounds.run()

    assert sorted(films.read()[columns.EVENT_ID]) == ["e1", "e2", "e3", "e7", "e8"]


def test_mark_of_a_log_counts_where_the_table_has_a_position_of_another(open_log, log, make_sink, films):
    log.append(entries(1, 2), seconds=20)
    make_sink().rounds.run()
    # A newer log has committed to the same table what this one never had.
    rows = events_frame(log.read(1, max_records=1).records, SCHEMA).clear()
    films.append_events(rows, Position(77, 9), after=films.event_position())
    log.append(entries(3), seconds=20)

    make_sink().rounds.run()

    assert ids_in_table(films) == ["e1", "e2", "e3"]
