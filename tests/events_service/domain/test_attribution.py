"""What events add to the metrics of an attribution."""

from __future__ import annotations

import pytest

from common.attribution import MAX_SOURCES, UNDEFINED_SOURCE, FollowedMetric, SumKey, bounded_source
from common.metric_expressions import MathFunction, MetricExpression
from events_service.domain.attribution import add_up
from tests.events_service.samples import NOW_MILLIS, SCHEMA, event

NOW = NOW_MILLIS / 1000
WINDOW = int(NOW) // 900 * 900
DAY = 86_400_000


def metric(expression, *, name="m", event_type="watch"):
    return FollowedMetric(name, event_type, MetricExpression.parse(expression))


def values(expression, *events, items=None):
    sums = add_up(events, [metric(expression)], SCHEMA, now=NOW, source_of=lambda _: "web", item_values=items or {})
    return {key.window_seconds: value for key, value in sums.items()}


def test_counts_are_of_events_of_exactly_the_type():
    events = [event(1), event(2), event(3, event_type="Watch"), event(4, event_type="click")]

    assert values("SAMPLECOUNT()", *events) == {WINDOW: 2.0}


def test_sums_are_of_a_column_of_the_interactions_in_any_case():
    events = [event(1, event_value=1.5), event(2, event_value=-1.0), event(3)]

    assert values("SUM(interactions.event_value)", *events) == {WINDOW: 0.5}


def test_sums_of_items_take_the_value_of_each_event_s_item():
    items = {"i1": {"PRICE": 10.0}, "i2": {"PRICE": float("nan")}}

    assert values("SUM(Items.Price)", event(1), event(1), event(2), event(3), items=items) == {WINDOW: 20.0}


def test_each_event_is_in_the_window_of_its_own_time():
    events = [event(1), event(2, sent_at_millis=NOW_MILLIS - 900_000)]

    assert values("SAMPLECOUNT()", *events) == {WINDOW: 1.0, WINDOW - 900: 1.0}


@pytest.mark.parametrize(("days", "counted"), [(-15, 0), (-13, 1), (0.5, 1), (2, 0)])
def test_events_far_from_now_do_not_count(days, counted):
    assert len(values("SAMPLECOUNT()", event(1, sent_at_millis=NOW_MILLIS + int(days * DAY)))) == counted


def test_a_sum_says_of_what_it_is():
    sums = add_up([event(1)], [metric("samplecount()")], SCHEMA, now=NOW, source_of=lambda _: "web", item_values={})

    assert sums == {SumKey(WINDOW, "m", "watch", MathFunction.COUNT, "web"): 1.0}


def test_sources_beyond_the_limit_are_undefined():
    sources = set()

    names = [bounded_source(f"s{number}", sources) for number in range(MAX_SOURCES + 1)]
    assert names[-2:] == [f"s{MAX_SOURCES - 1}", UNDEFINED_SOURCE]
    assert bounded_source("s0", sources) == "s0"
    assert {bounded_source(name, set()) for name in (None, "", UNDEFINED_SOURCE)} == {UNDEFINED_SOURCE}
