"""Items, users and actions in their tables: the last one of each id, once, beside what was imported."""

from __future__ import annotations

import json
from dataclasses import replace

import polars as pl
import pytest
from structlog.testing import capture_logs

from common import columns
from common.arrow_schema import frame_schema
from common.avro import AvroSchema
from common.tables import Table
from events_service.domain import ActionInteraction, Entity
from events_service.log import LogEntry, RecordKind
from events_service.records import log_entry
from tests.events_service.samples import ITEMS_SCHEMA_TEXT, SINK, avro, table, tracker
from tests.tables import import_bulk

ITEMS = replace(table("datasets/items", ITEMS_SCHEMA_TEXT), dataset_type="ITEMS")


def item(entity_id: str, price: float, *, to=ITEMS):
    return log_entry(to, Entity(entity_id, json.dumps({"price": price, "creationTimestamp": 5})))


@pytest.fixture
def trackers(trackers):
    trackers.trackers["arn:items"] = tracker(ITEMS)
    return trackers


@pytest.fixture
def items(store, trackers):
    return Table(store, ITEMS.location)


def rows(items) -> list[tuple[str, float, str, int | None]]:
    read = items.read().sort(columns.ITEM_ID, columns.SOURCE)
    return list(read.select(columns.ITEM_ID, "PRICE", columns.SOURCE, columns.LOG_OFFSET).iter_rows())


def imported(**prices: float) -> pl.DataFrame:
    schema = {**frame_schema(AvroSchema.parse(ITEMS_SCHEMA_TEXT)), columns.SOURCE: pl.String()}
    return pl.DataFrame(
        [{"ITEM_ID": name, "PRICE": price, "_SOURCE": "bulk"} for name, price in prices.items()], schema=schema
    )


def test_last_item_of_an_id_is_in_the_table_once(log, sink, items):
    log.append([item("a", 1), item("b", 2), item("a", 3)], seconds=20)
    sink.rounds.run()
    log.append([item("b", 4), item("c", 5)], seconds=20)

    sink.rounds.run()

    assert rows(items) == [("a", 3.0, "put", 3), ("b", 4.0, "put", 4), ("c", 5.0, "put", 5)]
    assert items.event_position() == log.lineage().at(5)
    assert log.lags(SINK) == []


def test_imported_item_stays_beside_the_one_that_was_put(log, sink, items, tmp_path):
    items.append(imported(a=10, z=11), app_id="import-1", number=2)
    log.append([item("a", 1)], seconds=20)
    sink.rounds.run()
    log.append([item("a", 2)], seconds=20)
    sink.rounds.run()

    assert rows(items) == [("a", 10.0, "bulk", None), ("a", 2.0, "put", 2), ("z", 11.0, "bulk", None)]

    import_bulk(items, imported(a=12), import_id="import-2", folder=tmp_path)
    assert rows(items) == [("a", 12.0, "bulk", None), ("a", 2.0, "put", 2)]


def test_crash_between_commit_and_cursor_changes_nothing(log, make_sink, items):
    log.append([item("a", 1), item("b", 2)], seconds=20)
    make_sink().rounds.run()
    version = items.version()
    # The state that a process leaves which dies right after its commit.
    log.mark_consumed(SINK, ITEMS.location, 0)

    make_sink().rounds.run()

    assert (items.version(), log.lags(SINK)) == (version, [])


@pytest.fixture
def with_country():
    """A record of a schema that got a column."""
    document = json.loads(ITEMS_SCHEMA_TEXT)
    document["fields"].append({"name": "COUNTRY", "type": ["null", "string"]})
    later = replace(ITEMS, schema=json.dumps(document))
    return log_entry(later, Entity("b", '{"creationTimestamp":5,"country":"ch"}'))


def test_column_that_the_schema_got_later_is_written(log, sink, items, with_country):
    log.append([item("a", 1)], seconds=20)
    sink.rounds.run()
    log.append([item("c", 2)], seconds=20)
    log.append([with_country], seconds=20)

    sink.rounds.run()

    read = items.read().sort(columns.ITEM_ID)
    assert read["COUNTRY"].to_list() == [None, "ch", None]


def test_column_that_the_schema_got_after_a_round_began_is_written(log, sink, items, with_country):
    log.append([item("a", 1)], seconds=20)
    lag = log.lag(SINK, ITEMS.location)
    log.append([with_country], seconds=20)

    assert sink.consume(lag, stopping=lambda: False) == 1
    assert sink.rounds.run() == 1

    assert items.read().sort(columns.ITEM_ID)["COUNTRY"].to_list() == [None, "ch"]


@pytest.mark.parametrize(
    "bad",
    [
        LogEntry(ITEMS, RecordKind.ITEM, b"\xff\xff"),
        log_entry(ITEMS, Entity("bad", '{"price":"much","creationTimestamp":5}')),
    ],
    ids=["damaged", "unfit"],
)
def test_record_that_makes_no_row_keeps_no_other_from_the_table(log, sink, items, bad):
    log.append([item("a", 1), bad, item("b", 2)], seconds=20)
    with capture_logs() as logs:
        sink.rounds.run()
    log.append([bad], seconds=20)
    sink.rounds.run()

    assert [name for name, *_ in rows(items)] == ["a", "b"]
    assert (log.lags(SINK), items.event_position().offset) == ([], 4)
    (left_out,) = [entry for entry in logs if entry["event"] == "record_left_out"]
    assert (left_out["log_level"], left_out["offset"]) == ("error", 2)
    assert "much" not in str(left_out)


def test_interactions_with_actions_are_appended(log, sink, store, trackers):
    schema = avro(("USER_ID", "string"), ("ACTION_ID", "string"), ("EVENT_TYPE", "string"), ("TIMESTAMP", "long"))
    taken = replace(table("datasets/actions", schema), dataset_type="ACTION_INTERACTIONS")
    trackers.trackers["actions"] = tracker(taken)
    sent = ActionInteraction("e1", "s", "Taken", 5000, "join", user_id="u")
    log.append([log_entry(taken, sent, tracking_id="actions")] * 2, seconds=20)

    sink.rounds.run()

    assert Table(store, taken.location).read().to_dicts() == [
        {
            "USER_ID": "u",
            "ACTION_ID": "join",
            "EVENT_TYPE": "Taken",
            "TIMESTAMP": 5,
            "_SOURCE": "put",
            "_EVENT_ID": "e1",
            "_OFFSET": 1,
            "_SESSION_ID": "s",
        }
    ]
