"""What filters know of the past: every interaction of a table, whatever its model learns from."""

from __future__ import annotations

import polars as pl
import pytest

from common import columns
from common.filters import Dataset
from common.vocabulary import Vocabulary
from inference.past_events import PastEvents
from trainer.training.loading import with_users
from trainer.training.past_events import collect_events

SCHEMA = {
    columns.USER_ID: pl.String, columns.ITEM_ID: pl.String, columns.EVENT_TYPE: pl.String, columns.TIMESTAMP: pl.Int64,
    columns.LOG_OFFSET: pl.Int64, columns.EVENT_ID: pl.String, columns.SESSION_ID: pl.String,
}  # fmt: skip


@pytest.fixture
def past(tmp_path):
    def collect(*rows, dataset=Dataset.INTERACTIONS, without=()):
        frame = pl.DataFrame([dict(zip(SCHEMA, row, strict=False)) for row in rows], schema=SCHEMA).drop(without)
        if dataset is Dataset.ACTION_INTERACTIONS:
            frame = frame.rename({columns.ITEM_ID: columns.ACTION_ID})
        users, items = Vocabulary.build(["u1", "u2"]), Vocabulary.build(["i1", "i2"])
        collect_events(with_users(frame), dataset=dataset).save(tmp_path, "past", users=users, items=items)
        return PastEvents.load(tmp_path, "past", users=users, n_items=len(items))

    return collect


def used(past, user, *, window=None, **newer):
    """Return the ids of what a user used, by type of event."""
    items_by_type = past.of_user(user, None, window=window, newer=newer)
    ids = ["i1", "i2", *past.other_items.ids(range(len(past.other_items)))]
    return {name: {ids[item] for item in items} for name, items in items_by_type.items()}


def test_all_types_of_events_are_there_in_one_spelling_also_of_whom_the_model_does_not_know(past):
    collected = past(
        ("u1", "i1", "Click", 1), ("u1", "i1", "click", 2), ("u1", "i9", "Buy", 3), ("u9", "i2", "Click", 4),
        ("u2", "i1", None, 5), (None, "i1", "Click", 6), ("u2", None, "Click", 7),
    )  # fmt: skip

    assert used(collected, "u1") == {"click": {"i1"}, "buy": {"i9"}}
    assert used(collected, "u9") == {"click": {"i2"}}
    assert used(collected, "u2") == {"\0": {"i1"}}


def test_a_session_is_its_users(past):
    collected = past(
        ("u1", "i1", "click", 2, 2, "e2", "s"),
        (None, "i2", "click", 1, 1, "e1", "s"),
    )

    assert used(collected, "u1") == {"click": {"i1", "i2"}}


def test_the_newest_events_of_a_type_are_those_of_the_window(past):
    collected = past(
        ("u1", "i1", "click", 1), ("u1", "i2", "click", 2), ("u1", "i3", "click", 3), ("u1", "i1", "click", 4),
        ("u1", "i4", "buy", 0),
    )  # fmt: skip

    assert used(collected, "u1", window=1) == {"click": {"i1"}, "buy": {"i4"}}
    assert used(collected, "u1", window=2) == {"click": {"i1", "i3"}, "buy": {"i4"}}
    assert used(collected, "u1", window=2, click=1) == {"click": {"i1"}, "buy": {"i4"}}
    assert used(collected, "u1", window=1, click=1) == {"click": set(), "buy": {"i4"}}


def test_an_event_that_was_sent_twice_counts_once(past):
    collected = past(
        ("u1", "i1", "click", 1, 1, "e1"), ("u1", "i2", "click", 2, 2, "e2"), ("u1", "i2", "click", 2, 3, "e2"),
    )  # fmt: skip

    assert used(collected, "u1", window=2) == {"click": {"i1", "i2"}}


def test_data_need_not_tell_event_types_and_there_may_be_none_at_all(past):
    assert used(past(("u1", "i1", None, 1), without=[columns.EVENT_TYPE]), "u1") == {"\0": {"i1"}}
    assert used(past(), "u1") == {}


def test_actions_are_collected_by_their_own_spellings(past):
    collected = past(("u1", "i1", "Not_Taken", 1), ("u1", "i2", "not taken", 2), dataset=Dataset.ACTION_INTERACTIONS)

    assert used(collected, "u1") == {"not taken": {"i1", "i2"}}
