"""The dataset sink: every acknowledged event ends up in its table, once."""

from __future__ import annotations

import json
import shutil
import threading

import polars as pl
import pytest
from structlog.testing import capture_logs

from common import columns
from common.arrow_schema import interactions_frame_schema
from common.columns import EVENTS_APP_ID
from common.errors import StorageFull, Unavailable
from common.positions import START
from common.tables import Table
from events_service.dataset_sink import events_frame
from events_service.domain.rate_limit import CommitRateLimit
from events_service.log.sqlite import SqliteEventLog
from events_service.trackers import Tracker
from tests.disks import file_size_limit
from tests.events_service.dataset_sink.rows import bulk_rows, ids_in_table
from tests.events_service.samples import (
    GROUP,
    NOW_MILLIS,
    SCHEMA,
    SCHEMA_TEXT,
    SINK,
    TRACKING_ID,
    avro,
    entries,
    entry,
    event,
    table,
    tracker,
)
from tests.tables import import_bulk


def test_events_become_rows_with_their_offsets(log, sink, films):
    full = event(1, event_value=0.5, impression=("a", "b"), properties_json='{"numRatings":3}')
    log.append([entry(full)], seconds=20)

    assert sink.rounds.run() == 1

    assert films.read().to_dicts() == [
        {
            "USER_ID": "u",
            "ITEM_ID": "i1",
            "TIMESTAMP": NOW_MILLIS // 1000 + 1,
            "EVENT_TYPE": "watch",
            "EVENT_VALUE": 0.5,
            "IMPRESSION": "a|b",
            "RECOMMENDATION_ID": None,
            "NUM_RATINGS": 3,
            "_SOURCE": "put",
            "_EVENT_ID": "e1",
            "_OFFSET": 1,
            "_SESSION_ID": "s",
        }
    ]
    assert films.read().schema == pl.Schema(interactions_frame_schema(SCHEMA))


def test_events_that_were_taken_before_a_column_was_known_here_have_it(log, sink, trackers, films):
    log.append([entry(event(1, properties_json='{"device":"tv"}'))], seconds=20)
    fields = [(one["name"], one["type"]) for one in json.loads(SCHEMA_TEXT)["fields"]]
    trackers.trackers[TRACKING_ID] = tracker(table(schema=avro(*fields, ("DEVICE", ["null", "string"]))))

    sink.rounds.run()

    assert films.read()["DEVICE"].to_list() == ["tv"]


def test_watermark_of_the_table_is_the_last_offset(log, sink, films):
    log.append(entries(1, 2, to=table("datasets/books")), seconds=20)
    log.append(entries(3), seconds=20)

    sink.rounds.run()

    assert films.transaction(EVENTS_APP_ID) == 3
    assert log.lags(SINK) == []


def test_the_control_plane_is_told_of_rows_before_they_are_written(log, sink, films, trackers):
    log.append(entries(1), seconds=20)
    sink.rounds.run()
    assert trackers.waited == [(table().location,)]

    assert sink.rounds.run() == 0
    sink.flush(table().location, seconds=20)
    sink.remove_deleted()

    assert trackers.waited == [(table().location,)]


def test_nothing_to_flush_commits_nothing(log, sink, films):
    log.append(entries(1), seconds=20)
    sink.rounds.run()
    version = films.version()

    assert sink.rounds.run() == 0
    assert films.version() == version


def test_events_join_imported_rows_and_survive_a_full_import(log, sink, films, tmp_path):
    films.append(bulk_rows("old"), app_id="import-1", number=1)
    log.append(entries(1), seconds=20)
    sink.rounds.run()

    import_bulk(films, bulk_rows("new"), import_id="import-2", folder=tmp_path)
    log.append(entries(2), seconds=20)
    sink.rounds.run()

    assert films.read().sort("_SOURCE", "_OFFSET")["USER_ID"].to_list() == ["new", "u", "u"]
    assert films.transaction(EVENTS_APP_ID) == 2


def test_crash_between_commit_and_mark_appends_nothing_twice(log, make_sink, films):
    log.append(entries(1, 2), seconds=20)
    # The state that a process leaves which dies right after its commit.
    films.append_events(
        events_frame(log.table_records(table().location, after=0, max_records=10), SCHEMA),
        log.lineage().at(2),
        after=START,
    )
    log.append(entries(3), seconds=20)

    make_sink().rounds.run()

    assert ids_in_table(films) == ["e1", "e2", "e3"]
    assert log.lags(SINK) == []


def test_crash_after_the_last_commit_leaves_only_the_mark_to_be_set(log, make_sink, films):
    log.append(entries(1), seconds=20)
    films.append_events(events_frame(log.read(1, max_records=10).records, SCHEMA), log.lineage().at(1), after=START)
    version = films.version()

    make_sink().rounds.run()

    assert films.version() == version
    assert log.lags(SINK) == []


def test_crash_before_the_commit_loses_nothing(tmp_path, clock, make_sink, films):
    first = SqliteEventLog(tmp_path / "other", clock=clock)
    first.append(entries(1, 2), seconds=20)
    first.close()

    second = SqliteEventLog(tmp_path / "other", clock=clock)
    make_sink(log=second).rounds.run()
    second.close()

    assert ids_in_table(films) == ["e1", "e2"]


def test_flushes_while_events_arrive_lose_and_double_nothing(log, sink, films):
    threads = [
        threading.Thread(
            target=lambda thread: [log.append(entries(100 * thread + n), seconds=60) for n in range(30)], args=[thread]
        )
        for thread in range(4)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        sink.rounds.run()
    sink.rounds.run()

    assert sorted(ids_in_table(films)) == sorted(f"e{100 * thread + n}" for thread in range(4) for n in range(30))


def test_same_event_of_two_trackers_becomes_one_row(log, sink, films):
    log.append(entries(1), seconds=20)
    log.append(entries(1, 2, tracking_id="later"), seconds=20)
    sink._tables.trackers["later"] = tracker()

    sink.rounds.run()

    assert ids_in_table(films) == ["e1", "e2"]
    assert films.transaction(EVENTS_APP_ID) == 3


def test_table_of_a_deleted_dataset_is_not_made_again(log, sink, trackers, films):
    log.append(entries(1), seconds=20)
    trackers.trackers[TRACKING_ID] = Tracker(GROUP)

    assert sink.rounds.run() == 0

    assert not films.exists()
    assert log.lags(SINK) == []


def test_events_of_a_dataset_made_anew_go_to_the_new_table(log, sink, store, trackers, films):
    log.append(entries(1), seconds=20)
    other = table("datasets/films/again")
    trackers.trackers[TRACKING_ID] = tracker(other)
    log.append(entries(2, to=other), seconds=20)

    assert sink.rounds.run() == 1

    assert not films.exists()
    assert ids_in_table(Table(store, other.location)) == ["e2"]


def test_events_of_a_deleted_tracker_are_flushed(log, sink, trackers, films):
    log.append(entries(1), seconds=20)
    trackers.trackers.clear()
    trackers.untracked.add(table().location)

    sink.rounds.run()
    log.append(entries(2), seconds=20)
    sink.rounds.run()

    assert ids_in_table(films) == ["e1", "e2"]


def test_table_that_is_being_removed_gets_no_more_rows_and_then_leaves_the_log(log, sink, store, trackers, films):
    log.append(entries(1), seconds=20)
    sink.rounds.run()
    log.append(entries(2), seconds=20)
    trackers.trackers.clear()

    assert (sink.rounds.run(), sink.remove_deleted()) == (0, 0)
    assert sink.flush(table().location, seconds=20) == films.event_position()
    shutil.rmtree(store.root / table().location)

    assert sink.remove_deleted() == 1
    assert not films.exists()
    assert (log.tables(), log.read(1, max_records=10).records) == ([], [])


def test_table_that_only_the_control_plane_has_lost_stays_in_the_log(log, sink, trackers):
    log.append(entries(1), seconds=20)
    sink.rounds.run()
    trackers.trackers.clear()

    assert sink.remove_deleted() == 0
    assert len(log.read(1, max_records=10).records) == 1


def test_nothing_is_removed_while_the_control_plane_is_unreachable(log, sink, trackers):
    log.append(entries(1), seconds=20)
    trackers.error = Unavailable("control plane is away")

    with pytest.raises(Unavailable):
        sink.remove_deleted()

    assert log.tables() == [table().location]


def test_table_whose_flushes_keep_failing_is_logged_as_an_error(log, make_sink, trackers, seconds):
    log.append(entries(1), seconds=20)
    trackers.error = Unavailable("control plane is away")
    sink = make_sink()

    with capture_logs() as logs:
        for moment in range(0, 5000, 10):
            seconds.now = moment
            sink.rounds.run()

    alarms = [line for line in logs if line["log_level"] == "error"]
    assert [(line["event"], line["location"]) for line in alarms] == [("consumer_stuck", table().location)] * 2
    assert [line["seconds"] // 60 for line in alarms] == [10, 70]


def test_failures_are_logged_once_with_back_off_and_the_recovery_is_logged(log, sink, trackers, films, seconds):
    log.append(entries(1), seconds=20)
    trackers.error = Unavailable("control plane is away")
    attempts = []

    with capture_logs() as logs:
        for moment in range(16):
            seconds.now = moment
            before = trackers.lookups
            sink.rounds.run()
            attempts += [moment] * (trackers.lookups - before)
        trackers.error = None
        seconds.now = 31
        sink.rounds.run()

    assert attempts == [0, 1, 3, 7, 15]
    assert [line["event"] for line in logs if line["log_level"] != "debug"] == ["consumer_failed", "consumer_resumed"]
    assert ids_in_table(films) == ["e1"]


def test_table_that_cannot_be_written_does_not_delay_the_others(log, sink, store, trackers, seconds):
    books = table("datasets/books")
    trackers.trackers["books"] = tracker(books)
    log.append(entries(1), seconds=20)
    log.append(entries(2, to=books, tracking_id="books"), seconds=20)
    # A file where the table's folder would be.
    blocked = store.root / table().location
    blocked.parent.mkdir(parents=True)
    blocked.write_text("in the way")

    sink.rounds.run()
    assert ids_in_table(Table(store, "datasets/books")) == ["e2"]
    assert [lag.table.location for lag in log.lags(SINK)] == [table().location]

    blocked.unlink()
    seconds.now = 1
    sink.rounds.run()
    assert ids_in_table(Table(store, table().location)) == ["e1"]


def test_quiet_table_is_flushed_at_once_and_a_busy_one_in_larger_commits(log, make_sink, films, seconds):
    sink = make_sink(commit_rate=CommitRateLimit(burst=2, steady_seconds=10, large_events=1000))
    for second in range(21):
        seconds.now = second
        log.append(entries(second), seconds=20)
        sink.rounds.run()

    offsets = films.read()[columns.LOG_OFFSET]
    # Versions: 0 and 1 from the burst, then one at second 10 and one at second 20.
    assert films.version() == 3
    assert sorted(offsets) == list(range(1, 22))


def test_large_lag_is_flushed_whatever_the_rate_limit(log, make_sink, films):
    sink = make_sink(commit_rate=CommitRateLimit(burst=1, steady_seconds=3600, large_events=50))
    log.append(entries(0), seconds=20)
    sink.rounds.run()
    log.append(entries(*range(1, 50)), seconds=20)
    assert sink.rounds.run() == 0

    log.append(entries(50), seconds=20)

    assert sink.rounds.run() == 50


def test_small_files_are_joined_and_the_rows_stay(log, make_sink, store, films):
    sink = make_sink(compact_commits=10)
    for number in range(12):
        log.append(entries(number), seconds=20)
        sink.rounds.run()

    # The eleventh commit is version 10; its small files became one, to which the twelfth added another.
    assert len(files_in_use(store)) == 2
    assert ids_in_table(films) == [f"e{number}" for number in range(12)]
    assert films.transaction(EVENTS_APP_ID) == 12


def files_in_use(store) -> list[str]:
    from deltalake import DeltaTable

    return DeltaTable(f"{store.table_uri}/{table().location}").file_uris()


def test_flush_appends_everything_whatever_the_rate_limit(log, make_sink, films):
    sink = make_sink(commit_rate=CommitRateLimit(burst=1, steady_seconds=3600, large_events=1000))
    log.append(entries(1), seconds=20)
    sink.rounds.run()
    log.append(entries(2, 3), seconds=20)
    assert sink.rounds.run() == 0

    position = sink.flush(table().location, seconds=20)

    assert position == films.event_position() == log.lineage().at(3)
    assert ids_in_table(films) == ["e1", "e2", "e3"]


def test_flush_of_a_table_without_events_changes_nothing(log, sink, films):
    assert sink.flush(table().location, seconds=20) == START
    log.append(entries(1), seconds=20)
    sink.rounds.run()
    version = films.version()

    assert sink.flush(table().location, seconds=20) == log.lineage().at(1)
    assert films.version() == version


def test_flush_without_time_is_unavailable(log, sink):
    log.append(entries(1), seconds=20)

    with pytest.raises(Unavailable, match="repeat the call"):
        sink.flush(table().location, seconds=0)


def test_round_ends_when_the_process_is_stopping(log, sink, films):
    log.append(entries(1), seconds=20)

    assert sink.rounds.run(stopping=lambda: True) == 0
    assert not films.exists()


def test_full_disk_of_the_store_is_told_and_all_is_written_once_there_is_space(log, sink, films):
    log.append(entries(1, 2, 3), seconds=20)
    with file_size_limit(100), pytest.raises(StorageFull, match=films.location):
        sink.flush(films.location, seconds=20)

    position = sink.flush(films.location, seconds=20)

    assert ids_in_table(films) == ["e1", "e2", "e3"]
    assert position == log.lineage().at(3)
