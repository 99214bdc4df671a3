"""What users did since a training, from the table: whose each event is, which of them count, and in what order."""

from __future__ import annotations

import math

import polars as pl
import pytest

from common import columns
from common.positions import Epoch, Lineage, Position
from common.tables import Table
from tests.control_plane.world import avro, column
from tests.runtime_service.world import local_store
from tests.trainer.batch.running import Sent, append_events
from trainer.batch.recent_events import LearntEvents, TableHistory, read_recent_events
from trainer.worker import CancelReason, JobCancelled

SCHEMA = avro(
    "Interactions", column("USER_ID"), column("ITEM_ID"), column("TIMESTAMP", "long"), column("EVENT_TYPE"),
    column("EVENT_VALUE", ["null", "float"]),
)  # fmt: skip
LOCATION = "datasets/group/interactions"
WATERMARK = Position(7, 10)


@pytest.fixture
def store(tmp_path):
    return local_store(tmp_path)


def write(store, *events):
    """Append events: offset, user, session, item."""
    sent = [Sent(offset, who, session, what, "watch", 100, f"{offset}-{what}") for offset, who, session, what in events]
    append_events(Table(store, LOCATION), SCHEMA, sent)


def read(store, *user_ids, most=200, learnt=None):
    learnt = learnt or LearntEvents(WATERMARK)
    recent = read_recent_events(store, LOCATION, learnt=learnt, most=most).of_users(user_ids)
    return {name: [(event[0], event[3]) for event in events] for name, events in recent.items()}


def test_events_up_to_the_watermark_are_in_the_model_already(store):
    write(store, (9, "u", "", "before"), (10, "u", "", "last"), (11, "u", "", "first"), (12, "u", "", "second"))

    assert read(store, "u", "nobody") == {"u": [(11, "first"), (12, "second")]}


def test_a_stop_is_noticed_while_events_are_read(store):
    write(store, (11, "u", "", "first"))

    def stop():
        raise JobCancelled(CancelReason.STOP)

    with pytest.raises(JobCancelled):
        read_recent_events(store, LOCATION, learnt=LearntEvents(WATERMARK), most=5, check=stop)


def test_a_session_comes_to_its_user_when_the_user_is_known_however_old_it_is(store):
    write(
        store,
        (3, "", "old", "long ago"), (5, "", "tied", "seen"), (6, "w", "tied", "log-in"),
        (11, "u", "old", "log-in"), (12, "", "new", "look"), (13, "u", "new", "buy"), (14, "w", "tied", "again"),
        (15, "", "guest", "look"),
    )  # fmt: skip

    # What comes later counts from the event on that named the user; what came before the training has counted.
    assert read(store, "u", "w", "guest", "new") == {
        "u": [(11, "long ago"), (11, "log-in"), (13, "look"), (13, "buy")],
        "w": [(14, "again")],
        "guest": [(15, "look")],
    }


def test_as_many_of_the_newest_are_read_as_runtimes_keep(store):
    write(store, *((number, "u", "", f"i{number}") for number in range(11, 21)))

    assert read(store, "u", most=3) == {"u": [(18, "i18"), (19, "i19"), (20, "i20")]}


def test_imported_rows_are_no_events(store):
    write(store, (11, "u", "", "sent"))
    rows = {"USER_ID": ["u"], "ITEM_ID": ["imported"], "TIMESTAMP": [1], "EVENT_TYPE": ["watch"]}
    Table(store, LOCATION).append(
        pl.DataFrame(rows).with_columns(
            pl.lit(columns.SOURCE_BULK).alias(columns.SOURCE), pl.lit(99, pl.Int64).alias(columns.LOG_OFFSET)
        )
    )

    assert read(store, "u") == {"u": [(11, "sent")]}


def test_a_group_without_events_has_none(store):
    assert read(store, "u") == {}


def test_events_have_what_the_log_had_but_for_parts_of_seconds(store):
    write(store, (11, "u", "", "sent"))

    (sent,) = read_recent_events(store, LOCATION, learnt=LearntEvents(WATERMARK), most=5).of_users(["u"]).values()

    history = TableHistory.of(sent, WATERMARK)
    (event,) = history.events()
    assert (event.offset, event.millis, event.event_type, event.item_id) == (11, 100_000, "watch", "sent")
    assert math.isnan(event.value)
    assert (history.last_offset, history.size, history.lineage.shared(WATERMARK)) == (11, 1, 10)
    assert history.up_to(Position(7, 10)) is None


def restored(store, *, version=None):
    """Return what a model has that was trained up to offset 10 of a log which parted at offset 7."""
    version = Table(store, LOCATION).version() if version is None else version
    return LearntEvents(WATERMARK, version, Lineage([Epoch(7, 1), Epoch(8, 8)]))


def test_offsets_that_a_restored_log_gives_again_are_of_later_events(store):
    write(store, (6, "u", "", "shared"), (8, "u", "", "lost"), (9, "", "s", "lost too"), (10, "w", "", "lost"))
    learnt = restored(store)
    write(store, (8, "u", "", "again"), (9, "u", "s", "log-in"), (11, "w", "", "later"))

    # As if the log had gone on behind the model's place.
    assert read(store, "u", "w", learnt=learnt) == {"u": [(11, "again"), (12, "log-in")], "w": [(14, "later")]}
    (sent,) = read_recent_events(store, LOCATION, learnt=learnt, most=5).of_users(["w"]).values()
    assert TableHistory.of(sent, WATERMARK).lineage.shared(WATERMARK) == 10


def test_a_restored_log_of_which_the_models_table_is_gone_counts_from_where_the_model_ends(store):
    write(store, (8, "u", "", "learnt"))
    learnt = restored(store, version=99)
    write(store, (9, "u", "", "again"), (11, "u", "", "later"))

    assert read(store, "u", learnt=learnt) == {"u": [(11 + 3, "later")]}
