"""Logs that were lost, torn or restored: of items, users and actions the newest put holds all the same."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import polars as pl
import pytest

from common import columns
from common.arrow_schema import INTERNAL_TYPES
from common.newest import newest
from common.tables import Table
from events_service.domain import ActionInteraction, Entity
from events_service.log.sqlite import DATABASE, SqliteEventLog
from events_service.records import log_entry
from tests.events_service.samples import avro, table, tracker
from tests.tables import import_bulk

KINDS = {"ITEMS": "ITEM_ID", "USERS": "USER_ID", "ACTIONS": "ACTION_ID"}


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


class Entities:
    """A table of items, users or actions, each with a number, and what is done with it."""

    def __init__(self, kind, store, folder) -> None:
        self.key = KINDS[kind]
        schema = avro((self.key, "string"), ("NUMBER", "int"))
        self.target = replace(table(f"datasets/{kind.lower()}", schema), dataset_type=kind)
        self.table = Table(store, self.target.location)
        self._folder = folder
        self._imports = 0

    def put(self, log, **numbers: int) -> None:
        for name, number in numbers.items():
            log.append([log_entry(self.target, Entity(name, json.dumps({"number": number})))], seconds=20)

    def import_incrementally(self, **numbers: int) -> None:
        rows = pl.DataFrame(
            {
                self.key: list(numbers),
                "NUMBER": pl.Series(list(numbers.values()), dtype=pl.Int32),
                columns.SOURCE: columns.SOURCE_BULK,
                columns.LOG_OFFSET: pl.Series(
                    [self.table.offset_of_import()] * len(numbers), dtype=INTERNAL_TYPES[columns.LOG_OFFSET]
                ),
            }
        )
        self._imports += 1
        import_bulk(self.table, rows, import_id=f"import-{self._imports}", folder=self._folder)

    def numbers(self) -> dict[str, int]:
        """Return the number that holds, by id; each id is put once."""
        rows = self.table.read()
        assert rows.select(self.key, columns.SOURCE).is_duplicated().sum() == 0
        held = newest(rows, [self.key])
        return dict(sorted(held.select(self.key, "NUMBER").iter_rows()))


@pytest.fixture(params=KINDS)
def entities(request, store, trackers, tmp_path):
    made = Entities(request.param, store, tmp_path)
    trackers.trackers["arn"] = tracker(made.target)
    return made


@pytest.fixture
def restored(tmp_path, open_log, make_sink, entities):
    """A log that was restored from a backup of two records, after ten were in the table."""
    first = open_log("first")
    entities.put(first, a=1, b=1)
    make_sink(log=first).rounds.run()
    first.close()
    shutil.copytree(tmp_path / "first", tmp_path / "backup")
    first = open_log("first")
    entities.put(first, a=2, c=2, d=2, e=2, f=2, g=2, h=2, i=2)
    make_sink(log=first).rounds.run()
    return open_log("backup")


BEFORE = {"a": 2, "b": 1, **dict.fromkeys("cdefghi", 2)}


def test_put_into_a_restored_log_replaces_what_another_log_wrote(restored, make_sink, entities):
    entities.put(restored, a=3, k=3)

    make_sink(log=restored).rounds.run()

    assert entities.numbers() == {**BEFORE, "a": 3, "k": 3}
    assert entities.table.event_position() == restored.lineage().at(4)


def test_put_and_import_that_came_last_holds_after_a_restore(restored, make_sink, entities):
    sink = make_sink(log=restored)
    entities.import_incrementally(a=10, b=10)
    entities.put(restored, a=11)

    sink.rounds.run()
    assert entities.numbers() == {**BEFORE, "a": 11, "b": 10}

    entities.import_incrementally(a=12, b=10)
    assert entities.numbers()["a"] == 12

    entities.put(restored, b=13, a=13)
    sink.rounds.run()
    assert entities.numbers() == {**BEFORE, "a": 13, "b": 13}


def test_put_while_a_restored_log_is_noticed_is_newer_than_imports_of_before(restored, make_sink, entities):
    entities.import_incrementally(a=10)
    entities.put(restored, b=11)
    sink = make_sink(log=restored)
    # As a call that comes between: noticed is what was put before, and this is written later.
    sink.pass_other_logs(entities.target.location)
    entities.import_incrementally(a=10, b=10)
    entities.put(restored, a=12)

    sink.rounds.run()

    assert entities.numbers()["a"] == 12


def test_flush_of_a_restored_log_goes_on_above_all_rows(restored, make_sink, entities):
    make_sink(log=restored).pass_other_logs(entities.target.location)

    assert restored.bounds().end > entities.table.largest_offset()


def test_put_into_a_log_that_was_begun_anew_holds(open_log, log, make_sink, entities):
    entities.put(log, a=1, b=1, c=1)
    make_sink().rounds.run()
    entities.import_incrementally(a=5)
    fresh = open_log("fresh")
    sink = make_sink(log=fresh)
    entities.put(fresh, a=7)

    sink.rounds.run()
    entities.put(fresh, b=8)
    sink.rounds.run()

    assert entities.numbers() == {"a": 7, "b": 8, "c": 1}


def test_put_into_a_log_whose_end_was_torn_off_holds(tmp_path, open_log, make_sink, entities):
    first = open_log("first")
    entities.put(first, a=1)
    wal = tmp_path / "first" / f"{DATABASE}-wal"
    kept = wal.stat().st_size
    entities.put(first, a=2, b=2)
    make_sink(log=first).rounds.run()
    entities.import_incrementally(a=5)
    shutil.copytree(tmp_path / "first", tmp_path / "torn")
    torn_wal = tmp_path / "torn" / wal.name
    torn_wal.write_bytes(torn_wal.read_bytes()[:kept] + b"torn")
    torn = open_log("torn")
    assert torn.bounds().end == 2
    sink = make_sink(log=torn)

    entities.put(torn, a=7)
    sink.rounds.run()

    assert entities.numbers() == {"a": 7, "b": 2}


def test_interactions_with_actions_are_in_their_table_once_after_a_restore(
    tmp_path, open_log, make_sink, store, trackers
):
    schema = avro(("USER_ID", "string"), ("ACTION_ID", "string"), ("EVENT_TYPE", "string"), ("TIMESTAMP", "long"))
    target = replace(table("datasets/taken", schema), dataset_type="ACTION_INTERACTIONS")
    trackers.trackers["taken"] = tracker(target)

    def taken(*numbers):
        sent = [ActionInteraction(f"e{n}", "s", "Taken", 5000, "join", user_id="u") for n in numbers]
        return [log_entry(target, item, tracking_id="taken") for item in sent]

    first = open_log("first")
    first.append(taken(1, 2), seconds=20)
    make_sink(log=first).rounds.run()
    first.close()
    shutil.copytree(tmp_path / "first", tmp_path / "backup")
    first = open_log("first")
    first.append(taken(3, 4), seconds=20)
    make_sink(log=first).rounds.run()
    restored = open_log("backup")
    sink = make_sink(log=restored)
    # One is sent again after a lost response.
    restored.append(taken(4, 5), seconds=20)
    sink.rounds.run()

    restored.append(taken(3, 6), seconds=20)
    sink.rounds.run()

    ids = Table(store, target.location).read()[columns.EVENT_ID].to_list()
    assert sorted(ids) == [f"e{n}" for n in range(1, 7)]
