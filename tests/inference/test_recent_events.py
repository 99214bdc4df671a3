"""Which events count beside a snapshot, and the steps that they make."""

from __future__ import annotations

import math

import numpy as np

from inference.recent_events import EventRule, RecentEvent, newer_events, to_history


def event(offset, *, millis=0, event_type="watch", item_id="a", value=math.nan):
    return RecentEvent(offset, millis, event_type, item_id, offset, value)


def test_newer_events_are_those_behind_the_watermark_in_the_order_they_happened():
    events = [event(10, millis=1), event(11, millis=9), event(12, millis=3), event(13, millis=9)]

    assert [one.offset for one in newer_events(events, watermark=10, event_type=None)] == [12, 11, 13]


def test_newer_events_are_of_the_wanted_type():
    events = [event(1), event(2, event_type="click"), event(3)]

    assert [one.offset for one in newer_events(events, watermark=0, event_type="click")] == [2]


def test_newer_events_are_those_that_a_rule_takes():
    rules = [EventRule("click", None), EventRule("watch", 3.0)]
    events = [
        event(1, value=2.9), event(2, value=3.0), event(3), event(4, event_type="click"), event(5, event_type="buy"),
    ]  # fmt: skip

    assert [one.offset for one in newer_events(events, watermark=0, event_type=None, rules=rules)] == [2, 4]
    any_type = [EventRule(None, 2.0)]
    assert [one.offset for one in newer_events(events, watermark=0, event_type=None, rules=any_type)] == [1, 2]
    assert newer_events(events, watermark=0, event_type="buy", rules=rules) == []


def test_events_become_steps_of_items_that_the_model_knows_with_types_and_seconds():
    events = [
        event(1, item_id="a", millis=1_700_000_000_999),
        event(2, item_id="new", millis=1_700_000_001_000),
        event(3, item_id="b", millis=1_700_000_002_000, event_type="buy"),
        event(4, item_id="a", millis=1_700_000_003_500, event_type="like"),
    ]

    steps = to_history(events, index_of={"a": 7, "b": 8}.get, event_types={"watch": 1, "buy": 2})

    assert steps.items.tolist() == [7, 8, 7]
    assert steps.event_types.tolist() == [1, 2, 0]
    assert steps.times.tolist() == [1_700_000_000, 1_700_000_002, 1_700_000_003]
    assert [column.dtype for column in (steps.items, steps.event_types, steps.times)] == [np.int32, np.uint8, np.int64]


def test_no_events_are_no_steps():
    steps = to_history([], index_of={}.get, event_types={})

    assert len(steps) == 0
    assert [column.dtype for column in (steps.items, steps.event_types, steps.times)] == [np.int32, np.uint8, np.int64]
