"""Counting for metric attributions: each event once whatever happens, for its source, from the creation on."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import polars as pl
import pytest

from common import columns
from common.attribution import MAX_SOURCES, UNDEFINED_SOURCE
from common.errors import CorruptArtifact
from common.tables import Table
from events_service.attribution.state import AttributionState
from events_service.log import LogEntry, RecordKind
from events_service.trackers import AttributedMetric
from tests.events_service.attribution.conftest import CAMPAIGN, ITEMS
from tests.events_service.samples import GROUP, SCHEMA_TEXT, avro, entries, entry, event, table, tracker

WAIT = 5.0


def test_events_are_counted_once_from_round_to_round(world, log):
    log.append(entries(1, 2), seconds=WAIT)
    assert world.count() == 2
    log.append(entries(2, 3), seconds=WAIT)

    assert world.count() == 1
    assert world.count() == 0
    assert world.totals() == {("views", UNDEFINED_SOURCE): 3.0}


def test_a_column_that_the_dataset_got_a_moment_ago_counts(world, log):
    world.follow(AttributedMetric("spent", "watch", "SUM(Interactions.PRICE)"))
    log.append([entry(event(1, properties_json='{"price":2.5}'))], seconds=WAIT)
    fields = [(one["name"], one["type"]) for one in json.loads(SCHEMA_TEXT)["fields"]]
    world.tables.trackers["t"] = tracker(table(schema=avro(*fields, ("PRICE", ["null", "double"]))))

    world.count()

    assert world.totals() == {("spent", UNDEFINED_SOURCE): 2.5}


def test_damaged_record_keeps_no_other_from_being_counted(world, log):
    log.append([*entries(1), LogEntry(table(), RecordKind.EVENT, b"\xff\xff"), *entries(2)], seconds=WAIT)

    world.count()

    assert world.totals() == {("views", UNDEFINED_SOURCE): 2.0}
    assert log.lag("metric_attribution", table().location) is None


def test_nothing_is_counted_twice_when_the_log_s_cursor_lags_behind(world, log, monkeypatch):
    log.append(entries(1, 2), seconds=WAIT)
    with monkeypatch.context() as killed:
        killed.setattr(type(log), "mark_consumed", _killed)
        world.count()
    assert log.lag("metric_attribution", table().location).committed_offset == 0

    world.start()
    log.append(entries(3), seconds=WAIT)
    world.count()

    assert world.totals() == {("views", UNDEFINED_SOURCE): 3.0}
    assert log.lag("metric_attribution", table().location) is None


def test_nothing_is_lost_when_the_sums_are_not_committed(world, log, monkeypatch):
    log.append(entries(1, 2), seconds=WAIT)
    with monkeypatch.context() as killed:
        killed.setattr(AttributionState, "add", _killed)
        world.count()

    world.start()
    world.count()

    assert world.totals() == {("views", UNDEFINED_SOURCE): 2.0}


def test_sums_name_no_user_and_no_session(world, log, tmp_path):
    """So that a deletion of users has nothing to do here."""
    named = [event(number, user_id=f"user-{number}-of-all", session_id=f"session-{number}-of-all") for number in (1, 2)]
    log.append([entry(item) for item in named], seconds=WAIT)
    assert world.count() == 2

    files = list(tmp_path.glob("metric_attribution.db*"))
    assert len(files) >= 1
    assert b"watch" in b"".join(path.read_bytes() for path in files)
    assert not [path for path in files if b"-of-all" in path.read_bytes()]


def test_state_of_version_1_keeps_its_sums_and_gets_a_name(world, log):
    log.append(entries(1), seconds=WAIT)
    world.count()
    world.state.close()
    with closing(sqlite3.connect(world.folder / "metric_attribution.db")) as database:
        database.executescript("DROP TABLE identity; PRAGMA user_version = 1;")

    world.start()
    name = world.state.name
    world.start()

    assert world.state.name == name != ""
    assert world.totals() == {("views", UNDEFINED_SOURCE): 1.0}


def _killed(*_, **__):
    raise OSError("killed here")


def test_events_before_the_attribution_do_not_count(world, log):
    attributions = dict(world.attributions)
    world.attributions.clear()
    log.append(entries(1, 2), seconds=WAIT)
    world.count()
    world.attributions.update(attributions)
    log.append(entries(3), seconds=WAIT)
    world.count()

    assert world.totals() == {("views", UNDEFINED_SOURCE): 1.0}


def test_what_was_in_the_log_before_the_first_start_does_not_count(world, log, tmp_path):
    log.append(entries(1, 2), seconds=WAIT)
    world.state.close()
    world.state = None
    (tmp_path / "metric_attribution.db").unlink()

    world.start(end=log.lineage().at(log.bounds().end - 1))
    log.append(entries(3), seconds=WAIT)
    world.count()

    assert world.totals() == {("views", UNDEFINED_SOURCE): 1.0}


def test_source_is_what_the_event_says_or_what_recommended(world, log, clock):
    made = world.ids.make(CAMPAIGN, now=clock.now().timestamp())
    log.append(
        [
            entry(event(1, recommendation_id=made)),
            entry(event(2, recommendation_id=made, attribution_source="mail")),
            entry(event(3, recommendation_id="RID-6a6a2f5e-9c1c-4b7e-8f0e-1d2c3b4a5968")),
        ],
        seconds=WAIT,
    )
    world.count()

    assert world.totals() == {
        ("views", CAMPAIGN): 1.0,
        ("views", "mail"): 1.0,
        ("views", UNDEFINED_SOURCE): 1.0,
    }


def test_a_campaign_is_a_source_for_a_while_after_its_deletion(world, log, clock):
    made = world.ids.make(CAMPAIGN, now=clock.now().timestamp())
    log.append([entry(event(1, recommendation_id=made))], seconds=WAIT)
    world.count()
    world.follow(serving_arns=())
    world.start()
    log.append([entry(event(2, recommendation_id=made))], seconds=WAIT)
    world.count()

    assert world.totals() == {("views", CAMPAIGN): 2.0}


def test_there_are_a_hundred_sources_at_most_from_round_to_round(world, log):
    for first in (0, 60):
        sent = [event(number, attribution_source=f"s{number}") for number in range(first, first + 60)]
        log.append([entry(item) for item in sent], seconds=WAIT)
        world.count()

    totals = world.totals()
    assert len(totals) == MAX_SOURCES + 1
    assert totals["views", UNDEFINED_SOURCE] == 20.0


def items_row(item_id, price, *, source, offset):
    return {columns.ITEM_ID: item_id, "PRICE": price, columns.SOURCE: source, columns.LOG_OFFSET: offset}


def test_values_of_items_are_the_newest_of_their_table(world, log, store):
    rows = [
        items_row("i1", 1.0, source=columns.SOURCE_BULK, offset=0),
        items_row("i1", 5.0, source=columns.SOURCE_PUT, offset=7),
        items_row("i2", 2.0, source=columns.SOURCE_BULK, offset=0),
        items_row("i3", None, source=columns.SOURCE_BULK, offset=0),
    ]
    Table(store, ITEMS.location).append(pl.DataFrame(rows))
    world.follow(AttributedMetric("worth", "watch", "SUM(ITEMS.price)"))
    log.append(entries(1, 2, 3, 4), seconds=WAIT)
    world.count()

    assert world.totals() == {("worth", UNDEFINED_SOURCE): 7.0}


def test_without_items_nothing_is_summed_of_them(world, log):
    world.follow(AttributedMetric("worth", "watch", "SUM(Items.PRICE)"), items=None)
    log.append(entries(1), seconds=WAIT)

    assert world.count() == 1
    assert world.totals() == {}


def test_records_of_other_datasets_are_passed_over(world, log):
    log.append([entry(event(1), to=table())], seconds=WAIT)
    world.attributions = {f"{GROUP}-2": world.attributions[GROUP]}

    assert world.count() == 0
    assert log.lags("metric_attribution") == []


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be one" * 100])
def test_a_file_that_is_no_database_is_named(tmp_path, content):
    path = tmp_path / "broken.db"
    path.write_bytes(content)

    with pytest.raises(CorruptArtifact, match=r"metric attribution: .*broken\.db cannot be opened"):
        AttributionState(path, end=None)
